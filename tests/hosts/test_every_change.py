"""Any single change of the other host's objects is exactly one event: see ``tests/changes.py``."""

import pytest
from hypothesis import strategies as st

from tests.changes import check_all
from tests.hosts.assigned.models import Program, Proposal
from tests.hosts.inherited.models import OnlineTraining
from tests.hosts.models import Meetup, Member, Place, Topic
from tests.hosts.softdeleted.models import Clinic
from tests.hosts.tagged.models import TaggedClass
from tests.hosts.translated.models import Lecture
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


STATES = st.sampled_from(["scheduled", "cancelled", "tentative", "completed"])


@pytest.mark.parametrize("model", [OnlineTraining, Clinic])
def test_of_a_class_of_another_shape(model, tenant, topic):
    (source,) = sources_of(model)

    check_all(source, model.objects.create(tenant=tenant, topic=topic, title="Azure"), state=STATES)


def test_of_a_class_with_titles_in_a_second_table(tenant, topic):
    (source,) = sources_of(Lecture)

    check_all(source, Lecture.objects.create(tenant=tenant, topic=topic, titles={"en": "Azure"}), state=STATES)


def test_of_a_class_with_a_computed_status(tenant, topic):
    (source,) = sources_of(TaggedClass)

    check_all(source, TaggedClass.objects.create(tenant=tenant, topic=topic, title="Azure"))


def test_of_a_class_with_two_ways_to_its_organization(tenant, topic):
    (source,) = sources_of(Proposal)
    program = Program.objects.create(tenant=tenant)

    check_all(source, Proposal.objects.create(program=program, topic=topic, title="Azure"), state=STATES)
