"""Sources that select rows: a row that begins to match is a new object, and one that no longer matches is deleted."""

from __future__ import annotations

import pytest

from tests.integration.capture.lessons import BARE, LearnersLessons
from tests.testapp.models import Label, Lesson, Series
from tms_webhooks import sources
from tms_webhooks.models import SourceState


def types(recorded) -> list[str]:
    return [event["type"] for event in recorded()]


@pytest.fixture
def lesson(organization):
    return Lesson.objects.create(title="Algebra", host=organization, role="teacher")


def test_rows_that_do_not_match_make_no_event(lesson, listen, recorded):
    listen(LearnersLessons, Lesson)

    lesson.title = "Geometry"
    lesson.save()
    Lesson.objects.update(title="Logic")
    Lesson.objects.bulk_create([Lesson(title="Ethics", host=lesson.host, role="teacher")])
    lesson.delete()
    Lesson.objects.all().delete()

    assert recorded() == []


def test_a_row_enters_and_leaves_by_a_save(lesson, listen, recorded):
    listen(LearnersLessons, Lesson)

    lesson.role = "learner"
    lesson.save()
    lesson.role = "teacher"
    lesson.save()

    entered, left = recorded()
    assert (entered["type"], entered["changed"], entered["previous"]) == ("class.scheduled", [], {})
    assert (left["type"], left["data"]["name"]) == ("class.deleted", "Algebra")


def test_a_row_enters_and_leaves_by_a_bulk_operation(lesson, listen, recorded):
    listen(LearnersLessons, Lesson)

    Lesson.objects.update(role="learner")
    Lesson.objects.update(role="learner", title="Geometry")
    lesson.role = "teacher"
    Lesson.objects.bulk_update([lesson], ["role"])

    assert types(recorded) == ["class.scheduled", "class.updated", "class.deleted"]


class Labeled(sources.ClassSource):
    owner = "host"
    fields = BARE
    only = {"labels.word": ["public", "open"], "series.kind": None}


def test_rows_are_selected_by_lists_and_by_other_rows(lesson, listen, recorded):
    listen(Labeled, Lesson)
    public, closed = Label.objects.create(word="public"), Label.objects.create(word="closed")

    lesson.labels.add(closed)
    lesson.labels.add(public)
    lesson.series = Series.objects.create(kind="evening")
    lesson.save()

    assert types(recorded) == ["class.scheduled", "class.deleted"]


class Kept(LearnersLessons):
    reconcile = True


def test_the_recorded_state_ends_when_the_row_no_longer_matches(lesson, listen):
    listen(Kept, Lesson)

    lesson.role = "learner"
    lesson.save()
    kept = SourceState.objects.count()
    Lesson.objects.update(role="teacher")

    assert (kept, SourceState.objects.count()) == (1, 0)
