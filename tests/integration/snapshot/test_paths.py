"""Computed learning paths in snapshots and comparisons: no row has them, and yet they are objects as any other."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from example_project.training.factories import (
    CourseAssignmentFactory,
    CourseFactory,
    LearningPathCourseFactory,
    LearningPathFactory,
    OrganizationFactory,
    SubscriptionAssignmentFactory,
    SubscriptionProfileFactory,
    UserFactory,
)
from example_project.training.models import CourseAssignment, SubscriptionAssignment
from example_project.training.webhooks import LearningPaths
from tests.factories import WebhookFactory
from tests.integration.api.people import at
from tests.integration.snapshot.conftest import bodies
from tests.outbox import number_events
from tms_webhooks import snapshot
from tms_webhooks.comparison import Comparison
from tms_webhooks.digests import bucket_of, digested
from tms_webhooks.models import Event
from tms_webhooks.payloads.envelope import from_text
from tms_webhooks.snapshot import Selection, count_objects
from tms_webhooks.sources.tms import ComputedLearningPathSource

NOW = timezone.now().replace(microsecond=0)


class World:
    """An organization with a profile, whose subscription gives learners its paths."""

    def __init__(self, organization):
        self.organization = organization
        self.profile = SubscriptionProfileFactory(organization=organization)
        self.webhook = None

    def path(self, *courses):
        path = LearningPathFactory(organization=self.organization)
        path.subscription_profiles.add(self.profile)
        for position, course in enumerate(courses):
            LearningPathCourseFactory(learning_path=path, course=course, position=position)
        return path

    def learner(self):
        learner = UserFactory(organization=self.organization)
        SubscriptionAssignmentFactory(profile=self.profile, user=learner)
        return learner

    def complete(self, learner, course, days=0):
        """Assign a course and complete it so many days ago; return the assignment."""
        subscription = SubscriptionAssignmentFactory(profile=self.profile, user=learner)
        made = CourseAssignmentFactory(course=course, user=learner, subscription=subscription)
        made.complete(at=NOW - timedelta(days=days))
        return made

    def digests(self, **selection):
        objects = Comparison(self.webhook, "learning_path", Selection(**selection)).objects(None, limit=100).objects
        assert len({one.id for one in objects}) == len(objects)
        return {one.id: one.digest for one in objects}

    def events(self):
        number_events()
        rows = Event.objects.filter(type="learning_path.completed").order_by("pk")
        return [from_text(digested(one.body, self.webhook.payload)) for one in rows]


@pytest.fixture
def world(organization):
    world = World(organization)
    world.webhook = WebhookFactory(organization=organization, events=["learning_path.*"])
    return world


@pytest.fixture
def courses(organization):
    return CourseFactory.create_batch(3, organization=organization)


def key(path, learner):
    return f"{path.pk}:{learner.pk}"


@pytest.mark.parametrize("days", [(3, 2, 1), (1, 2, 3), (2, 2, 2), (2, 3, 2)], ids=str)
def test_a_snapshot_sends_what_the_event_sent(world, courses, take, days):
    path, learner = world.path(*courses), world.learner()
    made = [world.complete(learner, course, ago) for course, ago in zip(courses, days, strict=True)]
    (event,) = world.events()

    job = take(world.webhook, "learning_path")

    (sent,) = (body for body in bodies(world.webhook) if body["type"] == "learning_path.snapshot")
    assert (job.total, job.done, job.skipped) == (1, 1, 0)
    assert sent["data"] == event["data"]
    assert sent["sequence"] == event["sequence"] == 1
    assert world.digests() == {key(path, learner): event["digest"]}
    # The last completion counts, also where it was recorded earlier: of several at one time, the one of the highest key.
    last = max(made, key=lambda one: (one.completed_at, one.pk))
    assert sent["data"]["subscription"]["id"] == last.subscription_id
    assert [one["id"] for one in sent["data"]["courses"]] == [course.pk for course in courses]


def test_a_path_counts_as_completed_with_the_first_completion_of_each_course(world, courses):
    path, learner = world.path(*courses[:2]), world.learner()
    for course, days in zip(courses[:2], (5, 4), strict=True):
        world.complete(learner, course, days)
    (event,) = world.events()

    world.complete(learner, courses[0], 1)

    assert world.digests() == {key(path, learner): event["digest"]}
    assert len(world.events()) == 1


def test_a_page_never_splits_the_paths_that_one_assignment_completed(world, courses, take, monkeypatch):
    monkeypatch.setattr(snapshot, "PAGE", 1)
    paths = [world.path(courses[0]), world.path(*courses[:2]), world.path(*courses[:2]), world.path(*courses[1:])]
    ann, bob = learners = [world.learner() for _ in range(2)]
    for learner in learners:
        for course in courses[:2]:
            world.complete(learner, course)
    expected = {key(path, learner) for path in paths[:3] for learner in learners}

    job = take(world.webhook, "learning_path")

    sent = [body["data"]["id"] for body in bodies(world.webhook) if body["type"] == "learning_path.snapshot"]
    assert sorted(sent) == sorted(expected)
    assert (job.total, job.done) == (6, 6)
    assert count_objects(world.webhook, ["learning_path"]) == 6
    reader = Comparison(world.webhook, "learning_path")
    pages, place = [], None
    while place is not None or not pages:
        pages.append(reader.objects(place, limit=1))
        place = pages[-1].next
    assert [sorted(one.id for one in page.objects) for page in pages if page.objects] == [
        sorted(key(path, learner) for path in some) for learner in (ann, bob) for some in (paths[:1], paths[1:3])
    ]


def test_objects_that_filters_leave_out_are_not_counted(world, courses):
    world.path(courses[0])
    other = world.path(courses[0])
    learner = world.learner()
    world.complete(learner, courses[0])
    world.webhook.subscriptions.update(condition={"data.learning_path.id": other.pk})

    assert count_objects(world.webhook, ["learning_path"]) == 1
    assert list(world.digests()) == [key(other, learner)]


def test_of_many_rows_the_first_are_examined_and_the_others_are_estimated(world, courses, monkeypatch):
    monkeypatch.setattr(snapshot, "MOST_EXAMINED", 4)
    path = world.path(courses[0])
    for _ in range(4):
        learner = world.learner()
        for course in courses[:2]:
            world.complete(learner, course)
    reads, objects_of = [], ComputedLearningPathSource._objects_of

    def counted(source, rows, *, using):
        reads.append(len(rows))
        return objects_of(source, rows, using=using)

    monkeypatch.setitem(snapshot.SourceReader.ids.__kwdefaults__, "together", 4)
    monkeypatch.setattr(ComputedLearningPathSource, "_objects_of", counted)

    assert count_objects(world.webhook, ["learning_path"]) == 4
    for key, number in ((path.pk, 4), (0, 0)):
        world.webhook.subscriptions.update(condition={"data.learning_path.id": key})
        assert count_objects(world.webhook, ["learning_path"]) == number
    assert reads == [4, 4, 2, 4, 2]


def test_paths_of_a_learner_whose_paths_the_host_can_not_read_are_left_out_alone(
    world, courses, take, monkeypatch, settings_of_app, caplog
):
    path, (ann, bob) = world.path(courses[0]), [world.learner() for _ in range(2)]
    for learner in (ann, bob):
        world.complete(learner, courses[0])
    settings_of_app(STRICT_PAYLOADS=False)
    paths_with = LearningPaths.paths_with
    monkeypatch.setattr(
        LearningPaths,
        "paths_with",
        lambda source, course, learner: learner == ann.pk and 1 / 0 or paths_with(source, course, learner),
    )

    job = take(world.webhook, "learning_path")

    assert (job.error, job.done, job.total) == ("", 1, 1)
    assert list(world.digests()) == [key(path, bob)]
    assert "ZeroDivisionError" in caplog.text


def test_the_paths_of_a_course_are_read_once_for_all_learners_unless_the_host_limits_them(world, courses, monkeypatch):
    monkeypatch.delattr(LearningPaths, "paths_with")
    path, expected, counts = world.path(courses[0]), set(), set()

    for learners in (1, 4):
        for _ in range(learners):
            learner = world.learner()
            world.complete(learner, courses[0])
            expected.add(key(path, learner))
        with CaptureQueriesContext(connection) as queries:
            found = world.digests()
        assert found.keys() == expected
        counts.add(len(queries))

    assert len(counts) == 1


def test_some_are_chosen_by_their_ids_or_buckets(world, courses, client):
    paths = [world.path(courses[0]), world.path(courses[0])]
    learners = [world.learner() for _ in range(5)]
    for learner in learners:
        world.complete(learner, courses[0])
    everything = world.digests()
    chosen = key(paths[1], learners[3])

    assert len(everything) == 10
    assert world.digests(ids=frozenset({chosen, "7", "no:number", "1:99"})) == {chosen: everything[chosen]}
    for number in range(3):
        expected = {one: digest for one, digest in everything.items() if bucket_of(one, 3) == number}
        assert world.digests(buckets=(number,), of=3) == expected
        found = Comparison(world.webhook, "learning_path").differences(expected, of=3, bucket=number)
        assert found == (len(expected), [], [], [])
    answer = client.get(at(world.webhook, "digests"), {"noun": "learning_path", "buckets": 3}).json()
    assert [one["count"] for one in answer["results"]] == [
        sum(bucket_of(one, 3) == number for one in everything) for number in range(3)
    ]
    body = {"nouns": ["learning_path"], "ids": [chosen]}
    assert client.post(at(world.webhook, "snapshot"), {**body, "dry_run": True}, format="json").json()["total"] == 1


def undone(world, path, learner, courses):
    one = CourseAssignment.objects.get(course=courses[0])
    one.completed_at = None
    one.save()


def given_a_course(world, path, learner, courses):
    LearningPathCourseFactory(learning_path=path, course=courses[2])


def disabled(world, path, learner, courses):
    path.enabled = False
    path.save()


def cancelled(world, path, learner, courses):
    SubscriptionAssignment.objects.filter(user=learner).delete()


def moved(world, path, learner, courses):
    learner.organization = OrganizationFactory()
    learner.save()


@pytest.mark.parametrize("change", [undone, given_a_course, disabled, cancelled, moved])
def test_a_path_that_is_no_longer_complete_is_a_ghost(world, courses, change):
    path, learner = world.path(*courses[:2]), world.learner()
    for course in courses[:2]:
        world.complete(learner, course)
    copy = world.digests()

    change(world, path, learner, courses)

    assert Comparison(world.webhook, "learning_path").differences(copy) == (0, [], [], [key(path, learner)])


def test_other_courses_make_a_path_stale_and_other_names_do_not(world, courses):
    path, learner = world.path(*courses[:2]), world.learner()
    for course, days in zip((courses[2], *courses[:2]), (9, 5, 4), strict=True):
        world.complete(learner, course, days)
    copy = world.digests()

    courses[0].name = path.name = "Renamed"
    courses[0].save()
    path.save()
    assert world.digests() == copy

    LearningPathCourseFactory(learning_path=path, course=courses[2])
    assert Comparison(world.webhook, "learning_path").differences(copy).stale == [key(path, learner)]


def test_the_paths_of_others_and_those_in_progress_are_not_sent(world, courses):
    world.path(*courses[:2])
    learner, stranger = world.learner(), UserFactory()
    world.complete(learner, courses[0])
    for course in courses[:2]:
        # Without the subscription that has the path, and in another organization.
        CourseAssignmentFactory(course=course, user=UserFactory(organization=world.organization)).complete(at=NOW)
        world.complete(stranger, course)

    assert world.digests() == {}


def test_a_few_queries_read_many(world, courses, django_assert_max_num_queries):
    path = world.path(*courses[:2])
    learners = [world.learner() for _ in range(10)]
    for learner in learners:
        for course in courses[:2]:
            world.complete(learner, course)

    # Those of the digests read a page in a few, and ask the source once for each object.
    with django_assert_max_num_queries(90):
        assert world.digests().keys() == {key(path, learner) for learner in learners}


def test_of_a_field_with_the_courses_the_order_is_that_of_the_path(world, courses, take):
    world.path(courses[2], courses[0])
    learner = world.learner()
    for course in courses:
        world.complete(learner, course)

    take(world.webhook, "learning_path")

    (sent,) = (body for body in bodies(world.webhook) if body["type"] == "learning_path.snapshot")
    assert [one["id"] for one in sent["data"]["courses"]] == [courses[2].pk, courses[0].pk]


def test_objects_that_no_column_finds_are_all_counted(world, courses, monkeypatch):
    monkeypatch.setattr(snapshot, "MOST_EXAMINED", 2)
    # As of an id that a property of the row returns.
    monkeypatch.setattr(snapshot, "rows_with", lambda *_values: None)
    path, learners = world.path(courses[0]), [world.learner() for _ in range(4)]
    for learner in learners:
        world.complete(learner, courses[0])
    chosen = Selection(ids=frozenset({key(path, learners[3])}))

    assert count_objects(world.webhook, ["learning_path"], chosen) == 1
    world.webhook.subscriptions.update(condition={"data.learning_path.id": path.pk})
    assert count_objects(world.webhook, ["learning_path"], chosen) == 1


def test_a_filter_takes_the_key_of_an_organization_in_any_form(world, courses, take, monkeypatch):
    path, learner = world.path(courses[0]), world.learner()
    world.complete(learner, courses[0])
    world.webhook.subscriptions.update(filters={"organization": [str(world.organization.pk)]})
    canonical = ComputedLearningPathSource.canonical

    def as_text(source, raw):
        values = canonical(source, raw)
        return {**values, "organization.id": f"0{values['organization.id']}"}

    monkeypatch.setattr(ComputedLearningPathSource, "canonical", as_text)

    assert list(world.digests()) == [key(path, learner)]
    assert take(world.webhook, "learning_path").done == 1
