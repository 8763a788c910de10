"""A source that fails keeps no other from being scanned."""

import pytest

from example_project.training.factories import OrganizationFactory
from example_project.training.models import Activity, TrainingClass
from tests.integration.expiry.assignments import DAY, EXPIRED, EXPIRING, NOW, assign, recorded, scan_at, subscribe
from tests.registration import temporarily
from tms_webhooks import sources
from tms_webhooks.catalogue.types.course_assignment import COURSE_ASSIGNMENT
from tms_webhooks.sources.deadlines import Deadline
from tms_webhooks.sources.registry import all_sources


class Broken(sources.Source):
    """Classes, as if they were assignments that expire when they end; finding the open ones fails."""

    noun = COURSE_ASSIGNMENT
    fields = {"expires_at": "end_at"}
    deadline = Deadline("expires_at", expiring=EXPIRING, expired=EXPIRED)

    def _open_rows(self):
        raise RuntimeError("no such column")


class WithoutDate(sources.Source):
    """Activities have no date at all, which a system check reports."""

    noun = COURSE_ASSIGNMENT
    owner = "course.organization"
    deadline = Deadline("expires_at", expiring=EXPIRING, expired=EXPIRED)


@pytest.fixture
def organization():
    organization = OrganizationFactory()
    subscribe(organization, "course_assignment.*", window=(2, 7))
    return organization


@pytest.mark.parametrize("declaration, model", [(Broken, TrainingClass), (WithoutDate, Activity)])
def test_the_others_are_recorded_whichever_comes_first(organization, caplog, declaration, model):
    assignment = assign(organization, expires_at=NOW + 5 * DAY)

    with temporarily(declaration, model):
        if declaration is Broken:
            assert [source.model for source in all_sources() if source.deadline][0] is TrainingClass
        for days in range(8):
            scan_at(NOW + days * DAY)

    assert recorded() == [("expiring", assignment.pk), ("expired", assignment.pk)]
    for event_type in (EXPIRING, EXPIRED):
        message = f"The scan of <Broken of training.TrainingClass> for {event_type} failed"
        assert (message in caplog.text) is (declaration is Broken)
    assert "WithoutDate" not in caplog.text
