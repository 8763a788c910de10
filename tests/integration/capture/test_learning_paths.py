"""A learning path is completed with the last of its courses: computed, and emitted once per learner and path."""

import threading
from functools import partial

import pytest
from django.db import connection, transaction
from django.db.models.sql import compiler
from django.db.models.sql.compiler import cursor_iter
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from example_project.training.factories import (
    CourseAssignmentFactory,
    CourseFactory,
    LearningPathCourseFactory,
    LearningPathFactory,
    SubscriptionAssignmentFactory,
    SubscriptionProfileFactory,
    UserFactory,
)
from example_project.training.models import Course, CourseAssignment, LearningPath, LearningPathCourse
from example_project.training.webhooks import LearningPaths
from tests.factories import WebhookFactory
from tests.patience import PATIENCE
from tests.threads import Lingering, at_once, several
from tms_webhooks.catalogue.values import instant
from tms_webhooks.models import Event, Occurrence, Subscription


class World:
    """A learner with a subscription, a path of it, and the assignments of the path's courses."""

    def __init__(self, *, courses=2):
        self.now = timezone.now().replace(microsecond=0)
        self.learner = UserFactory()
        organization = self.learner.organization
        self.profile = SubscriptionProfileFactory(organization=organization)
        self.subscription = SubscriptionAssignmentFactory(profile=self.profile, user=self.learner)
        self.path = LearningPathFactory(organization=organization, name="Cloud Engineer")
        self.path.subscription_profiles.add(self.profile)
        self.courses = CourseFactory.create_batch(courses, organization=organization)
        for course in self.courses:
            LearningPathCourseFactory(learning_path=self.path, course=course)
        self.assignments = [
            CourseAssignmentFactory(course=course, user=self.learner, subscription=self.subscription)
            for course in self.courses
        ]
        self.webhook = WebhookFactory(organization=organization, events=["learning_path.completed"])

    def complete(self, *numbers):
        for number in numbers or range(len(self.assignments)):
            self.assignments[number].complete(at=self.now)


@pytest.fixture
def world(db):
    return World()


def test_the_last_course_completes_the_path(world, recorded):
    world.complete(0)
    assert recorded() == []

    world.complete(1)

    (event,) = recorded()
    data = event["data"]
    assert event["type"] == "learning_path.completed"
    assert data["id"] == f"{world.path.pk}:{world.learner.pk}"
    assert data["learning_path"] == {"id": world.path.pk, "external_id": None, "name": "Cloud Engineer"}
    assert data["user"]["id"] == world.learner.pk
    assert (data["completed_at"], data["course_count"]) == (instant(world.now), 2)
    assert data["courses"] == [
        {
            "id": course.pk,
            "external_id": course.external_id,
            "name": course.name,
            "completed_at": instant(world.now),
        }
        for course in world.courses
    ]
    assert data["subscription"]["id"] == world.subscription.pk
    assert (event["sequence"], event["organization"]["id"]) == (1, world.learner.organization_id)
    assert Event.objects.get().subject_id == data["id"]


def test_while_a_course_is_open_a_save_reads_as_little_of_a_long_path_as_of_a_short_one(db, monkeypatch):
    rows = []

    def counted(*args):
        for some in cursor_iter(*args):
            rows.extend(some)
            yield some

    monkeypatch.setattr(compiler, "cursor_iter", counted)

    def read(completed):
        """Return the number of rows and of queries of one completion, after which one course of the path is open."""
        world = World()
        courses = Course.objects.bulk_create(CourseFactory.build_batch(completed, organization=world.path.organization))
        CourseAssignment.objects.bulk_create(
            CourseAssignmentFactory.build(course=one, user=world.learner, completed_at=world.now) for one in courses
        )
        LearningPathCourse.objects.bulk_create(
            LearningPathCourse(learning_path=world.path, course=one) for one in courses
        )
        del rows[:]
        with CaptureQueriesContext(connection) as queries:
            world.complete(0)
        return len(rows), len(queries)

    assert read(498) == read(1)
    assert not Event.objects.exists()


def test_a_course_that_is_taken_again_completes_nothing_anew(world):
    world.complete()

    again = CourseAssignmentFactory(course=world.courses[0], user=world.learner)
    again.complete(at=world.now)
    world.assignments[0].completed_at = None
    world.assignments[0].save()
    world.assignments[0].complete(at=world.now)

    assert Event.objects.count() == 1


def test_a_path_with_a_course_that_is_not_completed_is_not(world):
    LearningPathCourseFactory(learning_path=world.path)

    world.complete()

    assert not Event.objects.exists()


def test_a_course_completed_by_another_learner_does_not_count(world):
    CourseAssignmentFactory(course=world.courses[1]).complete(at=world.now)

    world.complete(0)

    assert not Event.objects.exists()


def test_a_disabled_path_is_not_completed(world):
    LearningPath.objects.update(enabled=False)

    world.complete()

    assert not Event.objects.exists()


def test_a_learner_without_the_paths_subscription_completes_nothing(world):
    world.path.subscription_profiles.clear()

    world.complete()

    assert not Event.objects.exists()


def test_one_course_may_complete_several_paths(world, recorded):
    short = LearningPathFactory(organization=world.path.organization, name="Cloud Starter")
    short.subscription_profiles.add(world.profile)
    LearningPathCourseFactory(learning_path=short, course=world.courses[1])

    world.complete()

    assert [event["data"]["learning_path"]["name"] for event in recorded()] == ["Cloud Engineer", "Cloud Starter"]


def test_no_path_is_read_without_a_matching_subscription(world):
    other = WebhookFactory(events=["learning_path.*"])
    Subscription.objects.exclude(webhook=other).delete()

    world.complete()

    assert not Occurrence.objects.exists()
    assert not Event.objects.exists()


def test_a_completion_that_is_rolled_back_may_be_emitted_later(world):
    world.complete(0)
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        world.complete(1)
        assert Event.objects.count() == 1
        raise ZeroDivisionError
    assert (Event.objects.count(), Occurrence.objects.filter(key__startswith="learning_path").count()) == (0, 0)

    world.assignments[1].refresh_from_db()
    world.complete(1)

    assert Event.objects.count() == 1


@pytest.mark.django_db(transaction=True)
@several
@pytest.mark.parametrize("courses", [2, 3])
def test_courses_that_are_completed_at_once_complete_the_path_once(courses):
    world = World(courses=courses)
    barrier = threading.Barrier(courses)

    def complete(key):
        with transaction.atomic():
            mine = CourseAssignment.objects.get(pk=key)
            barrier.wait(PATIENCE)
            mine.complete(at=world.now)
            # Long enough for all to have come so far, were it not for the lock.
            threading.Event().wait(0.3)

    assert at_once(*[partial(complete, one.pk) for one in world.assignments]) == []

    assert Event.objects.get().type == "learning_path.completed"


@pytest.mark.django_db(transaction=True)
@several
def test_two_courses_that_many_complete_at_once_wait_for_each_other_in_one_order():
    world = World()
    bob = UserFactory(organization=world.learner.organization)
    SubscriptionAssignmentFactory(profile=world.profile, user=bob)
    first, second = world.courses
    # By their keys, the learners of the one course stand in the other order than those of the other.
    CourseAssignment.objects.filter(course=first).delete()
    for learner in (bob, world.learner):
        CourseAssignmentFactory(course=first, user=learner)
    CourseAssignmentFactory(course=second, user=bob)

    def complete(course):
        CourseAssignment.objects.filter(course=course).update(completed_at=world.now)

    assert Lingering().at_once(partial(complete, first), partial(complete, second)) == []

    assert Event.objects.filter(type="learning_path.completed").count() == 2


# What else happens to paths


def test_a_course_added_after_the_completion_changes_nothing(world, recorded):
    world.complete(0)
    world.complete(1)
    late = CourseAssignmentFactory(user=world.learner, subscription=world.subscription)
    LearningPathCourseFactory(learning_path=world.path, course=late.course)
    late.complete(at=world.now)

    assert [event["data"]["course_count"] for event in recorded()] == [2]


def test_a_path_without_courses_is_never_completed(world, monkeypatch):
    empty = LearningPathFactory(organization=world.learner.organization)
    monkeypatch.setattr(LearningPaths, "paths_with", lambda *_args: LearningPath.objects.filter(pk=empty.pk))

    world.complete(0)

    assert not Event.objects.exists()
