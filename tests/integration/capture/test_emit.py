"""`emit` records what no change of a model shows."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.db import transaction

from example_project.training.factories import (
    ClassroomFactory,
    CourseAssignmentFactory,
    OrganizationFactory,
    TrainingClassFactory,
)
from tests.factories import WebhookFactory
from tests.integration.capture.workshops import WorkshopSource
from tests.outbox import number_events
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


def test_it_is_built_from_the_database_and_not_from_the_instance(workshop, recorded):
    workshop.title = "Never written"

    emit("workshop.recommended", workshop)

    assert recorded()[0]["data"]["title"] == "Pair programming"


def test_it_counts_with_the_changes_of_the_object(workshop):
    workshop.title = "Mob programming"
    workshop.save()

    event = emit("workshop.recommended", workshop)

    number_events()
    event.refresh_from_db()
    assert event.sequence == 2


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


def test_an_event_of_the_app_may_be_emitted_too(recorded):
    training_class = TrainingClassFactory()
    WebhookFactory(organization=training_class.organization, events=["class.*"])

    emit("class.updated", training_class, previous={"enrolled_count": 3})

    (event,) = recorded()
    assert (event["type"], event["changed"]) == ("class.updated", ["enrolled_count"])


def test_a_source_that_has_no_id_of_its_own_is_known_by_its_subject(recorded):
    assignment = CourseAssignmentFactory()
    organization = assignment.user.organization
    WebhookFactory(organization=organization, events=["*"])
    data = {"learning_path": {"id": 1, "name": "Cloud"}, "user": {"id": 2, "first_name": "A", "last_name": "B"}}

    emit("learning_path.completed", assignment, data=data)

    assert Event.objects.get().subject_id == str(assignment.pk)
    assert recorded()[0]["organization"]["id"] == organization.pk


# Bad input. Nothing of it leaves a number behind.


@pytest.fixture
def _nothing_is_recorded():
    yield
    assert not Event.objects.exists()
    assert not EventSequence.objects.exists()


leaving_nothing = pytest.mark.usefixtures("_nothing_is_recorded")


@leaving_nothing
def test_an_event_that_does_not_exist_is_refused(workshop):
    with pytest.raises(UnknownEventType, match=r"workshop\.recommend"):
        emit("workshop.recommend", workshop)


@leaving_nothing
@pytest.mark.parametrize("subject", [None, "workshop:1", Workshop])
def test_a_subject_that_is_no_instance_is_refused(listen, subject):
    with pytest.raises(TypeError, match="pass a model instance"):
        emit("workshop.recommended", subject)


@leaving_nothing
def test_a_subject_that_is_not_saved_is_refused(listen, organization):
    with pytest.raises(PayloadError, match="is not saved; save it first"):
        emit("workshop.recommended", Workshop(title="Pair programming"), data={"id": 1}, organization=organization)


@leaving_nothing
def test_a_subject_that_was_deleted_is_refused(workshop):
    stale = Workshop.objects.get(pk=workshop.pk)
    Workshop.objects.all()._raw_delete("default")

    with pytest.raises(PayloadError, match="is not in the database; pass data and organization"):
        emit("workshop.recommended", stale)


@leaving_nothing
def test_a_model_without_a_source_of_the_noun_is_refused(workshop):
    with pytest.raises(PayloadError, match="registered for no source of 'class'"):
        emit("class.updated", workshop)


@leaving_nothing
def test_data_without_a_required_field_is_refused(workshop):
    with pytest.raises(PayloadError, match=r"\$\.data\.title is missing"):
        emit("workshop.recommended", workshop, data={"id": 1})


@leaving_nothing
@pytest.mark.parametrize("value", [datetime(2026, 11, 24, tzinfo=UTC), float("nan"), {1, 2}, "\ud800"])
def test_data_that_json_cannot_hold_is_refused_also_in_production(workshop, lenient, value):
    with pytest.raises(PayloadError):
        emit("workshop.recommended", workshop, data={"id": 1, "title": "Mine", "extra": value})


@leaving_nothing
def test_data_that_breaks_the_schema_is_refused_also_in_production(workshop, lenient):
    with pytest.raises(PayloadError, match=r"\$\.data\.title"):
        emit("workshop.recommended", workshop, data={"id": 1, "title": 7})


@leaving_nothing
@pytest.mark.parametrize("thing", ["harborview", object(), 1.5j])
def test_what_is_no_organization_is_refused(workshop, thing):
    with pytest.raises(PayloadError, match="is no organization; pass a saved one or its key"):
        emit("workshop.recommended", workshop, organization=thing)


@leaving_nothing
def test_a_failure_leaves_the_transaction_usable(workshop):
    with transaction.atomic():
        with pytest.raises(PayloadError):
            emit("workshop.recommended", workshop, data={"id": 1})
        workshop.refresh_from_db()


def test_an_extra_value_that_the_event_does_not_have_is_refused(workshop):
    with pytest.raises(
        PayloadError,
        match=r"""extra has 'titel', which is not a field of this event. Did you mean "title" or "state"\?""",
    ):
        emit("workshop.recommended", workshop, extra={"titel": "Pairs"})
    assert not Event.objects.exists()
