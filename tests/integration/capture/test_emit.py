"""`emit` records what no change of a model shows."""

from datetime import UTC, datetime

import pytest
from django.db import transaction

from example_project.training.factories import (
    ClassroomFactory,
    CourseAssignmentFactory,
    OrganizationFactory,
)
from tests.factories import WebhookFactory
from tests.integration.capture.workshops import WorkshopSource
from tests.testapp.models import Workshop
from tms_webhooks.actors import actor_context
from tms_webhooks.exceptions import PayloadError, UnknownEventType
from tms_webhooks.models import Event, EventSequence
from tms_webhooks.outbox import emit


@pytest.fixture
def workshop(listen, organization):
    workshop = Workshop.objects.create(organization=organization, title="Pair programming")
    listen(WorkshopSource, Workshop)
    return workshop


def test_the_payload_is_built_from_the_subject(workshop, recorded):
    with actor_context("user", 7):
        event = emit("workshop.recommended", workshop)

    (whole,) = recorded()
    assert event == Event.objects.get()
    assert (whole["id"], whole["type"], whole["sequence"]) == (event.public_id, "workshop.recommended", 1)
    assert whole["actor"] == {"kind": "user", "id": "7"}
    assert (whole["data"]["id"], whole["data"]["title"]) == (workshop.pk, "Pair programming")
    assert whole["data"]["state"] == {"code": 0, "name": "Scheduled"}
    assert whole["organization"] == {"id": workshop.organization_id, "external_id": workshop.organization.external_id}
    assert (whole["changed"], whole["previous"]) == ([], {})


@pytest.mark.parametrize("data", [None, {"id": 1, "title": "Mine"}], ids=["built", "given"])
def test_what_belongs_to_the_event_alone_is_in_its_details(workshop, recorded, data):
    at = datetime(2026, 11, 24, tzinfo=UTC)

    emit("workshop.recommended", workshop, data=data, details={"by.name": "Alice", "at": at})

    (whole,) = recorded()
    assert whole["details"] == {"by": {"name": "Alice"}, "at": "2026-11-24T00:00:00.000Z"}
    assert whole["data"].keys().isdisjoint({"by", "at"})
    assert list(whole)[list(whole).index("data") + 1] == "details"


def test_it_is_built_from_the_database_and_not_from_the_instance(workshop, recorded):
    workshop.title = "Never written"

    emit("workshop.recommended", workshop)

    assert recorded()[0]["data"]["title"] == "Pair programming"


def test_a_payload_of_the_callers_own_needs_a_source_for_the_organization_alone(workshop, recorded):
    emit("workshop.recommended", workshop, data={"id": 1, "title": "Mine", "stars": 5})

    (event,) = recorded()
    assert event["data"] == {"id": 1, "title": "Mine", "stars": 5}
    assert event["organization"]["id"] == workshop.organization_id


@pytest.mark.parametrize("by", ["object", "key", "text"])
def test_payload_and_organization_together_need_no_source(listen, organization, recorded, by):
    room = ClassroomFactory()
    owner = {"object": organization, "key": organization.pk, "text": str(organization.pk)}[by]

    emit("workshop.recommended", room, data={"id": room.pk, "title": "Room 7"}, organization=owner)

    (event,) = recorded()
    assert event["organization"] == {"id": organization.pk, "external_id": organization.external_id}
    assert Event.objects.get().subject_id == str(room.pk)


def test_old_values_are_named_by_dots(workshop, recorded):
    emit(
        "workshop.recommended",
        workshop,
        previous={"title": "Solo", "organization": {"id": 3}, "state": {"code": 2, "name": "Cancelled"}, "stars": 4},
    )

    (event,) = recorded()
    assert event["changed"] == ["title", "state", "organization.id", "stars"]
    assert event["previous"]["organization"] == {"id": 3}


def test_another_organization_than_the_sources_may_be_recorded(workshop, recorded):
    other = OrganizationFactory()
    WebhookFactory(organization=other, events=["*"])

    emit("workshop.recommended", workshop, organization=other)

    assert recorded()[0]["organization"]["id"] == other.pk


def test_nothing_is_recorded_where_nobody_subscribes(workshop):
    assert emit("workshop.recommended", workshop, organization=OrganizationFactory()) is None

    assert not Event.objects.exists()
    assert not EventSequence.objects.exists()


def test_it_is_rolled_back_with_the_transaction_around_it(workshop):
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        emit("workshop.recommended", workshop)
        raise ZeroDivisionError

    assert not Event.objects.exists()


def test_a_source_that_has_no_id_of_its_own_is_known_by_its_subject(recorded):
    assignment = CourseAssignmentFactory()
    organization = assignment.user.organization
    WebhookFactory(organization=organization, events=["*"])
    user = {"id": 2, "first_name": "A", "last_name": "B"}
    data = {"id": "1:2", "learning_path": {"id": 1, "name": "Cloud"}, "user": user}

    emit("learning_path.completed", assignment, data=data)

    assert Event.objects.get().subject_id == str(assignment.pk)
    assert recorded()[0]["organization"]["id"] == organization.pk


# Bad input. Nothing of it leaves a number behind.


def gone(workshop):
    stale = Workshop.objects.get(pk=workshop.pk)
    Workshop.objects.all()._raw_delete("default")
    return stale


MINE = {"id": 1, "title": "Mine"}
DATA = {
    "without a required field": ({"id": 1}, r"\$\.data\.title is missing"),
    "that breaks the schema": ({"id": 1, "title": 7}, r"\$\.data\.title"),
    "with a moment": ({**MINE, "extra": datetime(2026, 11, 24, tzinfo=UTC)}, "."),
    "with what is no number": ({**MINE, "extra": float("nan")}, "."),
    "with a set": ({**MINE, "extra": {1, 2}}, "."),
    "with half a character": ({**MINE, "extra": "\ud800"}, "."),
}
NO_ORGANIZATION = "is no organization; pass a saved one or its key"
WRONG = {
    "unknown event": ({"event_type": "workshop.recommend"}, UnknownEventType, r"workshop\.recommend"),
    "no subject": ({"subject": None}, TypeError, "pass a model instance"),
    "a text as subject": ({"subject": "workshop:1"}, TypeError, "pass a model instance"),
    "a class as subject": ({"subject": Workshop}, TypeError, "pass a model instance"),
    "an unsaved subject": ({"subject": Workshop(title="Pairs"), "data": MINE}, PayloadError, "is not saved; save it"),
    "a deleted subject": ({"subject": gone}, PayloadError, "is not in the database; pass data and organization"),
    "no source of the noun": ({"event_type": "class.updated"}, PayloadError, "registered for no source of 'class'"),
    "an unknown extra": (
        {"extra": {"titel": "Pairs"}},
        PayloadError,
        r"""extra has 'titel', which is not a field of this event. Did you mean "title" or "state"\?""",
    ),
    "an extra that is a detail": ({"extra": {"at": None}}, PayloadError, "extra has 'at', which is not a field"),
    "an unknown detail": (
        {"details": {"by.nmae": "Alice"}},
        PayloadError,
        r"""details has 'by.nmae', which is not a field of this event. Did you mean "by.name"\?""",
    ),
    **{f"data {name}": ({"data": data}, PayloadError, message) for name, (data, message) in DATA.items()},
    **{
        f"{thing!r} as organization": ({"organization": thing}, PayloadError, NO_ORGANIZATION)
        for thing in ("harborview", 1.5j)
    },
}


@pytest.mark.parametrize("given, error, message", WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_refused_also_in_production_and_leaves_the_transaction_usable(
    workshop, lenient, given, error, message
):
    arguments = {"event_type": "workshop.recommended", "subject": workshop, **given}
    if arguments["subject"] is gone:
        arguments["subject"] = gone(workshop)

    with transaction.atomic():
        with pytest.raises(error, match=message):
            emit(**arguments)
        assert not Event.objects.exists()

    assert not EventSequence.objects.exists()
