"""Sources that select rows: a row that begins to match is a new object, and one that no longer matches is deleted."""

import pytest

from tests.integration.capture.lessons import BARE, LearnersLessons
from tests.testapp.models import Label, Lesson, Series
from tms_webhooks import sources
from tms_webhooks.models import SourceState


def types(recorded):
    return [event["type"] for event in recorded()]


@pytest.fixture
def lesson(organization):
    return Lesson.objects.create(title="Algebra", host=organization, role="teacher")


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
