"""A course that is taken off a learning path completes it for those who have all the others, once it is committed."""

from __future__ import annotations

import json

import pytest
from django.db import OperationalError, transaction
from django.utils import timezone

from example_project.training.factories import CourseAssignmentFactory, SubscriptionAssignmentFactory, UserFactory
from example_project.training.models import LearningPath, LearningPathCourse
from example_project.training.webhooks import LearningPaths
from tests.integration.capture.test_learning_paths import World
from tms_webhooks.capture import learning_paths
from tms_webhooks.models import EditedPath, Event, Subscription

pytestmark = pytest.mark.django_db(transaction=True)

WORLD = "training.CourseAssignment:LearningPaths"


@pytest.fixture
def world() -> World:
    """A learner who has completed the first of two courses."""
    world = World()
    world.complete(0)
    assert not Event.objects.exists()
    return world


REMOVALS = {
    "remove": lambda world: world.path.courses.remove(world.courses[1]),
    "set": lambda world: world.path.courses.set([world.courses[0]]),
    "the other side": lambda world: world.courses[1].learning_paths.remove(world.path),
    "row": lambda world: LearningPathCourse.objects.get(course=world.courses[1]).delete(),
    "rows": lambda world: LearningPathCourse.objects.filter(course=world.courses[1]).delete(),
    "course": lambda world: (world.assignments[1].delete(), world.courses[1].delete()),
}


@pytest.mark.parametrize("remove", REMOVALS.values(), ids=REMOVALS)
def test_a_course_less_completes_the_path(world, recorded, remove):
    remove(world)

    (event,) = recorded()
    assert (event["type"], event["sequence"]) == ("learning_path.completed", 1)
    assert event["data"]["user"]["id"] == world.learner.pk
    assert event["data"]["learning_path"]["id"] == world.path.pk
    assert event["data"]["course_count"] == 1


def test_a_course_that_is_replaced_by_another_completes_nothing(world):
    other = CourseAssignmentFactory(user=world.learner).course

    world.path.courses.set([world.courses[0], other])

    assert not Event.objects.exists()


def test_a_host_receives_nothing_of_what_goes_wrong_after_its_commit(world, recorded, monkeypatch, caplog):
    def break_off(*_args, **_kwargs):
        raise OperationalError("the connection was lost")

    hosts_own = []
    with monkeypatch.context() as patch, transaction.atomic():
        patch.setattr(learning_paths, "_record_path", break_off)
        world.path.courses.remove(world.courses[1])
        transaction.on_commit(lambda: hosts_own.append("called"))

    assert hosts_own == ["called"]
    assert "the connection was lost" in caplog.text
    assert recorded() == []
    learning_paths.record_overdue_edits(timezone.now() + learning_paths.OVERDUE_AFTER)
    assert [event["type"] for event in recorded()] == ["learning_path.completed"]


def test_each_learner_is_recorded_once(world, recorded):
    bob = UserFactory(organization=world.learner.organization)
    SubscriptionAssignmentFactory(profile=world.profile, user=bob)
    stranger = UserFactory(organization=world.learner.organization)
    for user in (bob, stranger):
        CourseAssignmentFactory(course=world.courses[0], user=user).complete(at=world.now)

    world.path.courses.remove(world.courses[1])
    world.path.courses.add(world.courses[1])
    world.path.courses.remove(world.courses[1])

    assert sorted(event["data"]["user"]["id"] for event in recorded()) == sorted([world.learner.pk, bob.pk])


def test_a_path_without_courses_is_completed_by_nobody(world):
    world.path.courses.clear()

    assert not Event.objects.exists()


def test_a_disabled_path_is_not_completed(world):
    LearningPath.objects.update(enabled=False)

    world.path.courses.remove(world.courses[1])

    assert not Event.objects.exists()


def test_an_edit_that_is_rolled_back_completes_nothing(world):
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        world.path.courses.remove(world.courses[1])
        raise ZeroDivisionError

    assert not Event.objects.exists()


def test_an_edit_whose_process_died_is_looked_at_by_the_sweep(world, recorded, monkeypatch):
    monkeypatch.setattr(learning_paths, "record_completions", lambda *_args, **_options: None)
    world.path.courses.remove(world.courses[1])
    monkeypatch.undo()
    assert not Event.objects.exists()

    learning_paths.record_overdue_edits(timezone.now())
    assert not Event.objects.exists()
    learning_paths.record_overdue_edits(timezone.now() + learning_paths.OVERDUE_AFTER)
    learning_paths.record_overdue_edits(timezone.now() + learning_paths.OVERDUE_AFTER)

    (event,) = recorded()
    assert (event["type"], event["data"]["learning_path"]["id"]) == ("learning_path.completed", world.path.pk)
    assert not EditedPath.objects.exists()


def test_an_edit_that_was_looked_at_is_forgotten(world):
    world.path.courses.remove(world.courses[1])

    assert Event.objects.count() == 1
    assert not EditedPath.objects.exists()


def test_an_edit_that_was_made_while_another_looked_is_left_to_the_next(world, monkeypatch):
    own = LearningPaths.completions

    def meanwhile(self, *args, **options):
        EditedPath.objects.create(source=self.name, key=str(world.path.pk), edited_at=timezone.now())
        return own(self, *args, **options)

    monkeypatch.setattr(LearningPaths, "completions", meanwhile)
    world.path.courses.remove(world.courses[1])

    assert EditedPath.objects.count() == 1


def test_one_path_that_fails_holds_up_no_other(world, monkeypatch, caplog):
    for key in ("no key", world.path.pk):
        EditedPath.objects.create(source=WORLD, key=json.dumps(key), edited_at=timezone.now())
    LearningPathCourse.objects.filter(course=world.courses[1])._raw_delete("default")

    learning_paths.record_overdue_edits(timezone.now() + learning_paths.OVERDUE_AFTER)

    assert Event.objects.count() == 1
    assert "could not be recorded; the next sweep tries again" in caplog.text
    assert EditedPath.objects.count() == 1
    learning_paths.record_overdue_edits(timezone.now() + learning_paths.GIVE_UP_AFTER)
    assert not EditedPath.objects.exists()


def test_where_nobody_listens_no_path_is_even_looked_at(world, monkeypatch):
    looked_at = []
    Subscription.objects.all().delete()
    # What is raised after a commit nobody hears of.
    monkeypatch.setattr(LearningPaths, "completions", lambda _self, key, **_options: looked_at.append(key) or iter(()))

    world.path.courses.remove(world.courses[1])

    assert looked_at == []
    assert not EditedPath.objects.exists()
