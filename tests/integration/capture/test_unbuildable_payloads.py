"""A payload that can't be built: raised where developers see it; in production recorded with its error, and never
in the way of the host's own save."""

import logging

import pytest
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from example_project.training.factories import OrganizationFactory, TrainingClassFactory
from tests import uncaptured
from tests.factories import WebhookFactory
from tests.integration.capture.lessons import Lessons
from tests.integration.capture.workshops import WorkshopSource
from tests.outbox import number_events
from tests.testapp.models import Lesson, Workshop
from tms_webhooks.choices import ClassStatus
from tms_webhooks.exceptions import PayloadError
from tms_webhooks.models import Delivery, Event, EventSequence
from tms_webhooks.outbox.fanout import fan_out
from tms_webhooks.sources import Computed, rows

pytestmark = pytest.mark.django_db(transaction=True)


class Broken(WorkshopSource):
    """A source whose required title can't be read."""

    fields = {"title": "broken"}


class Failing(WorkshopSource):
    fields = {"title": "failing"}


class BrokenHeadline(WorkshopSource):
    """A source one of whose optional values can't be read."""

    fields = {"headline": "broken"}


class FailingHeadline(WorkshopSource):
    fields = {"headline": "failing"}


class Elsewhere(WorkshopSource):
    """A source with a path that ends early: the organization has no such attribute."""

    fields = {"headline": "alias.headline"}


@pytest.fixture
def workshop(organization):
    return Workshop.objects.create(organization=organization, title="Pair programming")


def rename(workshop):
    workshop.title, workshop.seats = "Mob programming", 3
    workshop.save()


# A property that raises


@pytest.mark.parametrize("source", [Broken, Failing, BrokenHeadline, FailingHeadline])
def test_a_property_that_raises_is_raised_to_the_developer_and_nothing_is_saved(listen, workshop, source):
    listen(source, Workshop)

    with pytest.raises(PayloadError, match=r"(title|headline): testapp\.Workshop\.\w+ raised"):
        rename(workshop)

    workshop.refresh_from_db()
    assert workshop.title == "Pair programming"
    assert not Event.objects.exists()


@pytest.mark.parametrize("source, error", [(Broken, "broken raised RuntimeError"), (Failing, "failing raised ")])
@pytest.mark.parametrize("autocommit", [True, False])
def test_in_production_the_save_succeeds_and_the_event_records_why_it_can_not_be_sent(
    listen, lenient, workshop, caplog, source, error, autocommit
):
    listen(source, Workshop)

    if autocommit:
        rename(workshop)
    else:
        with transaction.atomic():
            rename(workshop)
            # The failing query has not ended the host's transaction.
            Workshop.objects.create(organization=OrganizationFactory(), title="Another")

    workshop.refresh_from_db()
    assert workshop.title == "Mob programming"
    number_events()
    event = Event.objects.get()
    assert (event.type, event.body, event.sequence) == ("workshop.changed", "", 1)
    assert error in event.error
    assert "Pair programming" not in event.error
    assert "Mob programming" not in event.error
    logged = [record for record in caplog.records if record.name.startswith("tms_webhooks")]
    assert [record.levelno for record in logged if record.levelno == logging.ERROR]


@pytest.mark.parametrize("source", [BrokenHeadline, FailingHeadline])
def test_in_production_an_optional_value_that_can_not_be_read_is_null_with_one_warning(
    listen, lenient, workshop, recorded, caplog, source, monkeypatch
):
    monkeypatch.setattr(rows, "_reported", set())
    listen(source, Workshop)

    rename(workshop)
    Workshop.objects.update(title="Solo programming")

    assert [event["data"]["headline"] for event in recorded()] == [None, None]
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert [record.getMessage().partition(".")[0] for record in warnings] == ["headline of testapp"]
    assert warnings[0].exc_info


def test_a_path_that_ends_at_an_object_without_the_attribute_is_null_for_the_developer_too(
    listen, workshop, recorded, monkeypatch
):
    monkeypatch.setattr(Workshop, "alias", property(lambda self: self.organization), raising=False)
    listen(Elsewhere, Workshop)

    rename(workshop)

    (event,) = recorded()
    assert (event["type"], event["data"]["headline"]) == ("workshop.changed", None)


def test_the_fan_out_numbers_it_and_makes_no_delivery(listen, lenient, workshop):
    listen(Broken, Workshop)
    rename(workshop)

    assert fan_out(timezone.now()) == 1

    assert not Delivery.objects.exists()


def test_later_events_of_the_object_go_on_counting(listen, lenient, workshop, monkeypatch):
    listen(Broken, Workshop)
    rename(workshop)

    monkeypatch.setattr(Workshop, "broken", "mended")
    workshop.seats = 4
    workshop.save()

    number_events()
    assert list(Event.objects.order_by("pk").values_list("sequence", "error")) == [
        (1, "title: testapp.Workshop.broken raised RuntimeError."),
        (2, ""),
    ]


def test_a_property_is_read_from_the_row_and_not_from_the_instance(listen, workshop, recorded):
    class Told(WorkshopSource):
        fields = {"headline": "headline"}

    listen(Told, Workshop)
    workshop.title, workshop.seats = "Never written", 3

    workshop.save(update_fields=["seats"])

    assert recorded()[0]["data"]["headline"] == "Pair programming for 3"


# Values that a function can't make


def status_of(called_off):
    raise KeyError("a name that may be personal")


class WithoutStatus(Lessons):
    """Can't compute the required status."""

    fields = {"status": Computed(status_of, reads={"called_off": "called_off"})}


def _cancel(lesson):
    lesson.called_off = True
    lesson.save()


LESSON_CHANGES = {
    "create": (lambda lesson: Lesson.objects.create(title="Logic", host=lesson.host), "class.scheduled"),
    "bulk_create": (
        lambda lesson: Lesson.objects.bulk_create([Lesson(title="Logic", host=lesson.host)]),
        "class.scheduled",
    ),
    "save": (_cancel, "class.updated"),
    "update": (lambda _lesson: Lesson.objects.update(called_off=True), "class.updated"),
    "delete": (lambda lesson: lesson.delete(), "class.deleted"),
}


@pytest.mark.parametrize("change, event_type", LESSON_CHANGES.values(), ids=LESSON_CHANGES)
def test_in_production_an_error_in_a_function_is_recorded_with_the_event(
    listen, lenient, organization, caplog, change, event_type
):
    lesson = Lesson.objects.create(title="Algebra", host=organization)
    listen(WithoutStatus, Lesson)

    change(lesson)

    number_events()
    event = Event.objects.get()
    assert (event.type, event.body, event.sequence) == (event_type, "", 1)
    assert event.error == "status: Computed(status_of) of WithoutStatus raised KeyError."
    assert "Traceback" in caplog.text


def test_an_error_in_a_function_is_raised_to_the_developer_and_nothing_is_saved(listen, organization):
    lesson = Lesson.objects.create(title="Algebra", host=organization)
    listen(WithoutStatus, Lesson)

    with pytest.raises(KeyError):
        _cancel(lesson)

    assert not Lesson.objects.filter(called_off=True).exists()


# A status without a mapping


@pytest.fixture
def strange(listen, workshop):
    listen(WorkshopSource, Workshop)
    uncaptured.update(QuerySet(Workshop), state="on ice")
    workshop.refresh_from_db()
    return workshop


def test_an_unknown_status_is_raised_to_the_developer(strange):
    with pytest.raises(PayloadError, match=r"state: the value 'on ice' has no entry in statuses\['state'\]"):
        rename(strange)

    assert not Event.objects.exists()


def test_in_production_an_unknown_optional_status_is_null(strange, lenient, recorded, caplog):
    rename(strange)

    (event,) = recorded()
    assert (event["type"], event["data"]["state"], event["changed"]) == ("workshop.changed", None, ["title", "seats"])
    assert "state: the value 'on ice' has no entry" in caplog.text


def test_in_production_leaving_an_unknown_status_is_recorded_without_the_old_one(strange, lenient, recorded):
    strange.state = "called off"
    strange.save()

    changed, cancelled = recorded()
    assert (changed["type"], cancelled["type"]) == ("workshop.changed", "workshop.cancelled")
    assert cancelled["previous"] == {"state": None}


def test_a_new_object_with_a_status_that_the_training_system_does_not_have_is_recorded(lenient):
    WebhookFactory(organization=(organization := OrganizationFactory()), events=["class.*"])

    TrainingClassFactory(organization=organization, confirmation_status_id=99)

    event = Event.objects.get()
    assert (event.type, event.body) == ("class.scheduled", "")
    assert "99 is not a ClassStatus" in event.error


def test_statuses_by_words_numbers_and_dictionaries(listen, workshop, recorded):
    class ByName(WorkshopSource):
        statuses = {"state": {"planned": "Guaranteed to run", "called off": ClassStatus.CANCELLED}}

    listen(ByName, Workshop)
    rename(workshop)

    assert recorded()[0]["data"]["state"] == {"code": 1, "name": "Guaranteed To Run"}


# Values of another kind, and values that no JSON holds


class Mistaken(WorkshopSource):
    fields = {"seats": "title"}


def test_a_value_of_another_kind_is_raised_to_the_developer(listen, workshop):
    listen(Mistaken, Workshop)

    with pytest.raises(PayloadError, match="seats: a str can't be sent as integer; map the field to another path"):
        rename(workshop)

    assert not EventSequence.objects.exists()


def test_in_production_it_is_null_and_logged(listen, lenient, workshop, recorded, caplog):
    listen(Mistaken, Workshop)

    rename(workshop)

    (event,) = recorded()
    assert (event["data"]["seats"], event["data"]["title"]) == (None, "Mob programming")
    assert "seats: a str can't be sent as integer" in caplog.text


def test_a_payload_that_breaks_its_schema_is_sent_as_it_is_in_production(listen, lenient, workshop, monkeypatch):
    monkeypatch.setattr(Workshop, "nothing", None, raising=False)

    class Odd(WorkshopSource):
        fields = {"title": "nothing", "headline": None}

    listen(Odd, Workshop)
    workshop.seats = 3
    workshop.save()

    event = Event.objects.get()
    assert '"title":null' in event.body
    assert fan_out(timezone.now()) == 1
