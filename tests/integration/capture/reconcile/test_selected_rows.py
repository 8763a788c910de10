"""Reconciling sources with selected rows, several owners and computed statuses."""

from tests.integration.capture.lessons import ComputedLessons, LearnersLessons, LessonsOfSeries
from tests.integration.capture.reconcile.conftest import unseen
from tests.testapp.models import Label, Lesson, Series


def types(recorded):
    return [event["type"] for event in recorded()]


class Learners(LearnersLessons):
    reconcile = True


class Owned(LessonsOfSeries):
    reconcile = True


class Computed(ComputedLessons):
    reconcile = True


def test_a_row_that_entered_and_one_that_left_out_of_band_are_detected(listen, organization, reconcile, recorded):
    leaving = Lesson.objects.create(title="Algebra", host=organization)
    entering = Lesson.objects.create(title="Logic", host=organization, role="teacher")
    source = listen(Learners, Lesson)
    reconcile(source)

    unseen("UPDATE testapp_lesson SET role = 'teacher' WHERE id = %s", leaving.pk)
    unseen("UPDATE testapp_lesson SET role = 'learner' WHERE id = %s", entering.pk)
    reconcile(source)
    reconcile(source)

    assert types(recorded) == ["class.scheduled", "class.deleted"]


def test_each_owner_gets_the_event_of_an_out_of_band_change(listen, organization, reconcile, recorded):
    series = Series.objects.create()
    series.organizations.set([organization])
    lesson = Lesson.objects.create(title="Algebra", series=series)
    source = listen(Owned, Lesson)
    reconcile(source)

    unseen("UPDATE testapp_lesson SET title = 'Logic' WHERE id = %s", lesson.pk)
    reconcile(source)
    unseen("DELETE FROM testapp_lesson WHERE id = %s", lesson.pk)
    reconcile(source)

    assert types(recorded) == ["class.updated", "class.deleted"]
    assert {event["organization"]["id"] for event in recorded()} == {organization.pk}


def test_a_computed_status_is_compared_with_its_lists(listen, organization, reconcile, recorded):
    lesson = Lesson.objects.create(title="Algebra", host=organization)
    label = Label.objects.create(word="cancelled")
    source = listen(Computed, Lesson)
    reconcile(source)

    unseen("INSERT INTO testapp_lesson_labels (lesson_id, label_id) VALUES (%s, %s)", lesson.pk, label.pk)
    reconcile(source)
    reconcile(source)

    (event,) = recorded()
    assert (event["type"], event["changed"]) == ("class.cancelled", ["status"])
