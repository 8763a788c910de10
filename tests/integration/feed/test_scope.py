"""Whose events an organization reads in the feed: what it owns, and what its own learners do elsewhere."""

import pytest

from example_project.training.factories import OrganizationFactory
from tests.integration.feed.rows import keys, loop, write
from tms_webhooks.models import Event


@pytest.fixture
def school():
    """Who owns the class."""
    return OrganizationFactory.create()


@pytest.fixture
def employer():
    """Whose learner attends it."""
    return OrganizationFactory.create()


def attended(school, employer, number=1):
    written = keys(write(school, number))
    Event.objects.filter(pk__in=written).update(learner_organization=employer)
    return written


def test_owner_and_learners_organization_both_read_the_event(school, employer):
    written = attended(school, employer)

    assert loop(school)[0] == written
    assert loop(employer)[0] == written
    assert loop(OrganizationFactory.create())[0] == []


def test_who_sees_an_event_in_both_ways_reads_it_once(school, employer):
    written = attended(school, employer, 3) + attended(school, school, 2)

    assert loop(school, employer, limit=2)[0] == written
    assert loop(school, limit=2)[0] == written


def test_own_events_and_those_of_learners_elsewhere_come_in_one_order(school, employer):
    written = [*attended(school, employer), *keys(write(employer)), *attended(school, employer)]
    write(school)

    assert loop(employer, limit=1)[0] == written
