"""Keys and values of every kind are remembered so that what is the same is found to be the same."""

import uuid
from datetime import date

import pytest

from example_project.training.factories import CourseFactory, OrganizationFactory, UserFactory
from tests.integration.capture.reconcile.conftest import Workshops, unseen, unseen_insert
from tests.testapp.models import Banquet, DatedAssignment, OnsiteWorkshop, Plaque, Ticket
from tms_webhooks import sources
from tms_webhooks.reconciliation import ReconcileResult

MADE = {
    Ticket: lambda organization, n: Ticket(uuid.UUID(int=n + 1), organization.pk, f"T{n}"),
    Plaque: lambda organization, n: Plaque(code=f"Ä-{n}%", organization=organization, title=f"T{n}"),
}


@pytest.mark.parametrize("model", MADE)
def test_any_kind_of_key(listen, organization, reconcile, recorded, model):
    source = listen(Workshops, model)
    for number in range(5):
        unseen_insert(MADE[model](organization, number))
    assert reconcile(source, batch=2) == ReconcileResult(seen=5, noted=5)

    table = model._meta.db_table
    unseen(f"UPDATE {table} SET title = 'Renamed' WHERE title = 'T2'")
    unseen(f"DELETE FROM {table} WHERE title = 'T3'")

    assert reconcile(source, batch=2) == ReconcileResult(seen=4, changed=1, deleted=1, events=2)
    assert [event["previous"] for event in recorded()] == [{"title": "T2"}, {}]
    assert reconcile(source, batch=2) == ReconcileResult(seen=4)


@pytest.mark.parametrize("model", [Banquet, OnsiteWorkshop])
def test_a_row_with_parts_in_two_tables(listen, organization, reconcile, recorded, model):
    source = listen(Workshops, model)
    made = model.objects.create(organization=organization, title="Dinner")
    reconcile(source)
    made.title = "Supper"
    made.save()
    assert reconcile(source).changed == 0

    unseen("UPDATE testapp_workshop SET title = 'Lunch'")

    assert reconcile(source).changed == 1
    assert recorded()[-1]["previous"] == {"title": "Supper"}


class DatedAssignments(sources.CourseAssignmentSource):
    reconcile = True
    fields = {
        "assignment_status": "state",
        "started_at": "started_on",
        "completed_at": "completed_on",
        "expires_at": "expires_on",
        "progress": "percent",
    }


def test_days_figures_and_statuses_as_text(listen, reconcile, recorded):
    from tests.factories import WebhookFactory

    organization = OrganizationFactory()
    WebhookFactory(organization=organization, events=["course_assignment.*"])
    source = listen(DatedAssignments, DatedAssignment)
    made = DatedAssignment(
        user=UserFactory(organization=organization),
        course=CourseFactory(),
        started_on=date(2026, 1, 2),
        expires_on=date(2099, 1, 2),
        percent=0.1 + 0.2,
    )
    unseen_insert(made)
    assert reconcile(source).noted == 1
    assert reconcile(source) == ReconcileResult(seen=1)

    unseen("UPDATE testapp_datedassignment SET completed_on = '2026-02-03', percent = 100")

    assert reconcile(source) == ReconcileResult(seen=1, changed=1, events=1)
    (completed,) = recorded()
    assert completed["changed"] == ["completion_status", "completed_at", "progress"]
    assert completed["previous"]["progress"] == pytest.approx(0.3)
    assert completed["data"]["completed_at"] == "2026-02-03T00:00:00.000Z"
    assert completed["type"] == "course_assignment.completed"
