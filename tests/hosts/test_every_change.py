"""Any single change of the other host's objects is exactly one event: see ``tests/changes.py``."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st

from tests.changes import check_all
from tests.hosts.models import Meetup, Member, Place, Topic
from tms_webhooks.sources.registry import sources_of

pytestmark = pytest.mark.django_db(databases="__all__")


@pytest.fixture(autouse=True)
def _others(tenant):
    """Another object of each kind, for the foreign keys."""
    Member.objects.create(email="bob@example.com", given_name="Bob", tenant=tenant)
    Meetup.objects.create(tenant=tenant, topic=Topic.objects.create(name="Python"), title="Python, evenings")


def test_of_a_member(member):
    check_all(sources_of(Member)[0], member)


def test_of_a_meetup(meetup):
    check_all(sources_of(Meetup)[0], meetup)


def test_of_a_place(meetup, member):
    place = Place.objects.create(meetup=meetup, member=member)

    check_all(sources_of(Place)[0], place, state=st.sampled_from(["requested", "enrolled", "waitlisted", "denied"]))
