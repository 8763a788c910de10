"""Objects that get their organization later: their first event is kept until then; one that never gets one is reported."""

from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from tests import uncaptured
from tests.factories import WebhookFactory
from tests.integration.capture.lessons import BARE, Lessons
from tests.testapp.models import Lesson
from tms_webhooks import reconciliation, sources
from tms_webhooks.models import OwnerlessObject
from tms_webhooks.outbox.record import record_changes
from tms_webhooks.sources import states
from tms_webhooks.sources.rows import read_rows, rows_of
from tms_webhooks.sources.states import diff

DAY = timedelta(days=1)


def types(recorded):
    return [event["type"] for event in recorded()]


def test_a_row_that_gets_its_organization_later_emits_its_event_then(listen, recorded, organization):
    listen(Lessons, Lesson)
    lesson = Lesson.objects.create(title="Algebra")
    lesson.title = "Geometry"
    lesson.save()
    assert recorded() == []

    lesson.host = organization
    lesson.save()
    lesson.title = "Logic"
    lesson.save()

    first, second = recorded()
    assert (first["type"], first["changed"], first["data"]["name"]) == ("class.scheduled", [], "Geometry")
    assert (second["type"], second["changed"]) == ("class.updated", ["name"])
    assert not OwnerlessObject.objects.exists()


class BySeries(sources.ClassSource):
    owner = "series.organizations"
    fields = BARE


def test_an_object_that_stays_without_one_is_reported_once_and_forgotten_after_a_month(listen, organization, caplog):
    listen(Lessons, Lesson)
    Lesson.objects.create(title="Algebra")
    now = timezone.now()

    for moment in (now, now + 2 * DAY, now + 3 * DAY):
        reconciliation.settle_ownerless(moment)

    (warning,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert warning.getMessage().startswith("testapp.Lesson: objects without an organization for a day: 1. ")
    reconciliation.settle_ownerless(now + 31 * DAY)
    assert not OwnerlessObject.objects.exists()


def test_a_deleted_object_is_forgotten(listen, recorded, organization):
    listen(Lessons, Lesson)
    lesson = Lesson.objects.create(title="Algebra")
    Lesson.objects.create(title="Logic")

    lesson.delete()
    Lesson.objects.all().delete()
    reconciliation.settle_ownerless(timezone.now())

    assert not OwnerlessObject.objects.exists()
    assert recorded() == []


def test_nothing_is_kept_where_no_webhook_subscribes(listen, recorded):
    listen(Lessons, Lesson)
    Lesson.objects.create(title="Algebra")

    assert not OwnerlessObject.objects.exists()


class ByMethod(Lessons):
    def owner(self, lesson):
        if lesson.role == "unknown":
            raise LookupError("The branch is closed.")
        return lesson.host


def test_a_change_whose_organization_can_not_be_read_is_recorded_when_it_can(
    listen, lenient, recorded, organization, caplog
):
    listen(ByMethod, Lesson)
    lesson = Lesson.objects.create(title="Algebra", host=organization)
    lesson.role, lesson.title = "unknown", "Geometry"
    lesson.save()
    assert types(recorded) == ["class.scheduled"]

    uncaptured.update(Lesson.objects.all(), role="learner")
    assert reconciliation.settle_ownerless(timezone.now()) == 1

    assert [event["data"]["name"] for event in recorded()] == ["Algebra", "Geometry"]


class OfDeputies(Lessons):
    owner = "deputy"


def test_a_source_that_fails_is_logged_and_does_not_stop_the_others(
    listen, lenient, recorded, organization, caplog, monkeypatch
):
    # Checked in the order of their names.
    failing, sound = listen(BySeries, Lesson), listen(OfDeputies, Lesson)
    assert failing.name < sound.name
    lesson = Lesson.objects.create(title="Algebra")
    monkeypatch.setattr(failing, "canonical", lambda *_args, **_kwargs: 1 / 0)
    uncaptured.update(Lesson.objects.filter(pk=lesson.pk), deputy=organization)

    assert reconciliation.settle_ownerless(timezone.now()) == 1

    assert types(recorded) == ["class.scheduled"]
    assert "without an organization could not be checked" in caplog.text


def test_a_database_without_an_outbox_is_not_asked(listen, monkeypatch):
    listen(Lessons, Lesson)
    monkeypatch.setattr(reconciliation, "has_outbox", lambda using: False)
    monkeypatch.setattr(OwnerlessObject.objects, "using", lambda using: 1 / 0)

    assert reconciliation.settle_ownerless(timezone.now()) == 0


def test_an_id_that_is_too_long_to_be_kept_does_not_break_the_save(listen, organization, caplog, monkeypatch):
    monkeypatch.setattr("tms_webhooks.outbox.owners.LONGEST_KEY", 0)
    listen(Lessons, Lesson)

    Lesson.objects.create(title="Algebra")

    assert not OwnerlessObject.objects.exists()
    assert "can't wait for an organization" in caplog.text


def test_a_change_that_is_rolled_back_keeps_and_forgets_nothing(listen, recorded, organization):
    listen(Lessons, Lesson)
    kept = Lesson.objects.create(title="Algebra")

    for change in (lambda: Lesson.objects.create(title="Logic"), lambda: Lesson.objects.update(host=organization)):
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            change()
            raise ZeroDivisionError

    assert [row.key for row in OwnerlessObject.objects.all()] == [str(kept.pk)]
    assert recorded() == []


def test_objects_of_a_source_that_is_not_registered_hold_up_no_others_and_are_forgotten(
    listen, recorded, organization, monkeypatch
):
    monkeypatch.setattr(reconciliation, "OWNERLESS_BATCH", 1)
    listen(Lessons, Lesson)
    now = timezone.now()
    OwnerlessObject.objects.create(source="gone:Source", key="1", since=now - DAY, checked_at=now - DAY)
    lesson = Lesson.objects.create(title="Algebra")
    uncaptured.update(Lesson.objects.filter(pk=lesson.pk), host=organization)

    assert reconciliation.settle_ownerless(now + DAY) == 1
    assert types(recorded) == ["class.scheduled"]
    assert OwnerlessObject.objects.get().source == "gone:Source"
    reconciliation.settle_ownerless(now + 30 * DAY)
    assert not OwnerlessObject.objects.exists()


def raw_of(source, lesson):
    ((_key, raw),) = read_rows(source, rows_of(source).filter(pk=lesson.pk))
    return raw


def record(source, change):
    return record_changes(source, [change])[0]


def test_an_object_that_was_kept_and_moves_leaves_its_organization_and_is_new_for_the_other(listen, organization):
    source, other = listen(Lessons, Lesson), WebhookFactory(events=["*"]).organization
    lesson = Lesson.objects.create(title="Algebra", host=organization)
    now, key = timezone.now(), states.key_text(lesson.pk)
    OwnerlessObject.objects.create(source=source.name, key=key, since=now, checked_at=now)
    before = raw_of(source, lesson)
    uncaptured.update(Lesson.objects.filter(pk=lesson.pk), host=other)

    events = record(source, diff(source, before=before, after=raw_of(source, lesson), now=timezone.now()))

    assert [(event.type, event.organization_id) for event in events] == [
        ("class.removed", organization.pk),
        ("class.scheduled", other.pk),
    ]


def test_an_object_that_does_not_change_is_not_kept(listen, lenient, organization):
    source = listen(ByMethod, Lesson)
    lesson = Lesson.objects.create(title="Algebra", role="unknown")
    OwnerlessObject.objects.all().delete()
    raw = raw_of(source, lesson)

    assert record(source, diff(source, before=raw, after=raw, now=timezone.now())) == []
    assert not OwnerlessObject.objects.exists()
