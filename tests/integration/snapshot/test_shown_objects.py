"""A course, classroom or profile of others that an organization shows is compared and sent like one of its own objects."""

import json

import pytest

from example_project.training.factories import CourseFactory, OrganizationFactory, TrainingClassFactory, UserFactory
from example_project.training.models import Course, Role
from tests.factories import WebhookFactory
from tests.integration.capture.conftest import listening
from tests.integration.capture.test_shared_nouns import THINGS, rename
from tests.integration.snapshot.test_mirror import Mirror
from tms_webhooks import snapshot, sources
from tms_webhooks.choices import Audience, JobKind, PayloadDetail, PayloadFormat
from tms_webhooks.comparison import Comparison
from tms_webhooks.manage.jobs import start
from tms_webhooks.models import Event

NOTHING = set(), set(), set()


@pytest.fixture
def mirror_of(client, organization, deliver_to):
    """Return a whole copy of the objects of a noun that a webhook may see."""

    def mirror_of(noun, **values):
        webhook = WebhookFactory(organization=organization, events=[f"{noun}.*"], **values)
        mirror = Mirror(client, webhook, noun)
        mirror.ask_for()
        deliver_to(mirror)
        return mirror

    return mirror_of


@pytest.mark.parametrize("kind", THINGS)
def test_what_an_object_shows_is_in_the_copy_which_stays_equal(kind, organization, mirror_of, deliver_to):
    make, show = THINGS[kind]
    thing, elsewhere = (make(OrganizationFactory()) for _ in range(2))
    show(thing, organization)

    mirror = mirror_of(kind.partition(" ")[0])
    assert mirror.compare() == NOTHING
    assert str(thing.pk) in mirror.rows
    assert str(elsewhere.pk) not in mirror.rows

    rename(thing)
    rename(elsewhere)
    assert mirror.compare() == (set(), {str(thing.pk)}, set())
    deliver_to(mirror)

    assert mirror.compare() == NOTHING
    assert "Renamed" in mirror.rows[str(thing.pk)][0].values()


@pytest.mark.parametrize("detail", PayloadDetail)
@pytest.mark.parametrize("kind", ["course", "user"])
def test_a_snapshot_sends_what_an_event_sends(kind, detail, organization, mirror_of, deliver_to):
    make, show = THINGS[kind]
    thing = make(OrganizationFactory())
    show(thing, organization)
    mirror = mirror_of(kind, payload=detail)
    rename(thing)
    deliver_to(mirror)
    of_event = mirror.rows[str(thing.pk)]

    mirror.ask_for(ids=[str(thing.pk)])
    deliver_to(mirror)

    assert mirror.rows[str(thing.pk)] == of_event
    assert mirror.sequences[str(thing.pk)] == 1
    assert Event.objects.filter(type=f"{kind}.snapshot").last().organizations == (
        organization.pk,
        organization.pk,
        None,
        False,
    )


@pytest.mark.parametrize(("kind", "name"), [("course", "Name"), ("user", "FirstName")])
def test_in_the_skillable_format_an_event_and_a_snapshot_have_the_same_object(
    kind, name, organization, run, wire, clock
):
    make, show = THINGS[kind]
    thing = make(OrganizationFactory())
    show(thing, organization)
    webhook = WebhookFactory(organization=organization, events=[f"{kind}.*"], format=PayloadFormat.SKILLABLE)
    rename(thing)
    run()
    job = start(JobKind.SNAPSHOT, webhook, nouns=[kind], now=clock.now)
    while snapshot.work_on(job, now=clock.now):
        pass
    run()

    bodies = [json.loads(request.body) for request in wire.requests]
    of_event, of_snapshot = (
        {key: value for key, value in body.items() if not key.startswith(("Event", "Changed", "Previous"))}
        for body in bodies
        if body["Id"] == thing.pk
    )
    assert of_event == of_snapshot
    assert of_event[name] == "Renamed"
    assert "Phone" not in of_event


def test_an_object_that_is_shown_no_longer_is_a_ghost_and_one_that_is_shown_from_now_on_is_lost(
    organization,
    mirror_of,
):
    before, after = CourseFactory.create_batch(2)
    training_class = TrainingClassFactory(course=before, organization=organization)
    mirror = mirror_of("course")

    training_class.course = after
    training_class.save()

    assert mirror.compare() == ({str(after.pk)}, set(), {str(before.pk)})


def test_what_no_organization_owns_is_in_the_copy_of_those_that_show_it(
    organization,
    mirror_of,
    deliver_to,
):
    class Public(sources.CourseSource):
        owner = None

    with listening(Public, Role):
        shown, _elsewhere = Role.objects.create(name="Shown"), Role.objects.create(name="Elsewhere")
        UserFactory(organization=organization).roles.add(shown)

        mirror = mirror_of("course")
        rename(shown)
        deliver_to(mirror)

        assert mirror.compare() == NOTHING
    assert mirror.rows[str(shown.pk)][0]["name"] == "Renamed"
    assert len(mirror.rows) == 1


def test_a_parent_copies_what_its_children_show(organization, mirror_of, deliver_to):
    course = TrainingClassFactory(organization=OrganizationFactory(parent=organization)).course

    assert str(course.pk) not in mirror_of("course").rows
    mirror = mirror_of("course", include_children=True)
    rename(course)
    deliver_to(mirror)

    assert mirror.compare() == NOTHING
    assert mirror.rows[str(course.pk)][0]["name"] == "Renamed"


def test_a_page_of_shown_objects_takes_few_statements(organization, django_assert_max_num_queries):
    for course in CourseFactory.create_batch(60):
        TrainingClassFactory(course=course, organization=organization)
    webhook = WebhookFactory(organization=organization, events=["course.*"])

    with django_assert_max_num_queries(20):
        (bucket,) = Comparison(webhook, "course").buckets(of=1).buckets

    assert bucket.count == Course.objects.count() == 60


def test_a_webhook_for_learners_has_no_copy_of_what_its_own_organization_owns(organization, mirror_of, deliver_to):
    own, shown = CourseFactory(organization=organization), CourseFactory()
    for course in (own, shown):
        TrainingClassFactory(course=course, organization=organization)

    mirror = mirror_of("course", audience=Audience.LEARNER)
    for course in (own, shown):
        rename(course)
    deliver_to(mirror)

    assert mirror.compare() == NOTHING
    assert mirror.rows.keys() == {str(shown.pk)}


def test_a_former_owner_that_shows_an_object_keeps_an_equal_copy_of_it(organization, mirror_of, deliver_to):
    course = CourseFactory(organization=organization)
    TrainingClassFactory(course=course, organization=organization)
    mirror = mirror_of("course")
    for name in ("One", "Two"):
        rename(course, name)
    course.organization = OrganizationFactory()
    course.save()
    deliver_to(mirror)
    assert mirror.compare() == ({str(course.pk)}, set(), set())
    mirror.ask_for()
    deliver_to(mirror)
    assert mirror.compare() == NOTHING

    rename(course, "Three")
    deliver_to(mirror)

    assert mirror.compare() == NOTHING
    assert mirror.rows[str(course.pk)][0]["name"] == "Three"
