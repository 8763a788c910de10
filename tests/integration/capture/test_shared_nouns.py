"""A change of a course, classroom, company, organization, profile or department is one event for each organization that shows it."""

import json
from collections import Counter
from unittest import mock

import pytest
from django.db import transaction
from django.db.models import QuerySet
from django.urls import reverse

from example_project.training import models
from example_project.training.factories import (
    ClassEnrollmentFactory,
    ClassroomFactory,
    CompanyFactory,
    CourseAssignmentFactory,
    CourseFactory,
    DepartmentFactory,
    OrganizationFactory,
    SubscriptionAssignmentFactory,
    SubscriptionProfileFactory,
    TrainingClassFactory,
    UserFactory,
)
from example_project.training.webhooks import Enrollments
from tests.factories import WebhookFactory
from tms_webhooks import sharing, sources
from tms_webhooks.actors import actor_context
from tms_webhooks.choices import Audience, PayloadDetail
from tms_webhooks.comparison import Comparison
from tms_webhooks.digests import digest_of
from tms_webhooks.models import Event
from tms_webhooks.outbox import emit, fanout, numbers
from tms_webhooks.outbox.fanout import fan_out
from tms_webhooks.sources import registry


class Killed(BaseException):
    """Ends a worker at some point."""


def course(owner):
    return CourseFactory(organization=owner, name="Cooking")


def shown_by_class(thing, organization, *, name):
    return TrainingClassFactory(
        organization=organization, course=CourseFactory(organization=organization), **{name: thing}
    )


def taught_by(instructor, organization):
    shown_by_class(instructor, organization, name="primary_instructor")


def taught_with(instructor, organization):
    training_class = TrainingClassFactory(organization=organization, primary_instructor=None)
    training_class.instructors.add(instructor)


def learner_of(owner, organization):
    """A class of ``organization`` has a learner of ``owner``."""
    ClassEnrollmentFactory(
        training_class=TrainingClassFactory(organization=organization), user=UserFactory(organization=owner)
    )


# How a thing of one organization is made, and how an object of another one comes to show it.
THINGS = {
    "course": (course, lambda thing, other: TrainingClassFactory(course=thing, organization=other)),
    "course of an enrollment": (
        course,
        lambda thing, other: ClassEnrollmentFactory(
            training_class=TrainingClassFactory(course=thing), user=UserFactory(organization=other)
        ),
    ),
    "course of an assignment": (
        course,
        lambda thing, other: CourseAssignmentFactory(course=thing, user=UserFactory(organization=other)),
    ),
    "course of a profile": (
        course,
        lambda thing, other: SubscriptionProfileFactory(organization=other).courses.add(thing),
    ),
    "classroom": (
        lambda owner: ClassroomFactory(organization=owner),
        lambda thing, other: shown_by_class(thing, other, name="primary_classroom"),
    ),
    "company": (
        lambda owner: CompanyFactory(organization=owner),
        lambda thing, other: shown_by_class(thing, other, name="company"),
    ),
    "organization": (lambda owner: owner, learner_of),
    "profile": (
        lambda owner: SubscriptionProfileFactory(organization=owner),
        lambda thing, other: SubscriptionAssignmentFactory(profile=thing, user=UserFactory(organization=other)),
    ),
    "department": (
        lambda owner: DepartmentFactory(organization=owner),
        lambda thing, other: UserFactory(organization=other, department=thing),
    ),
    "user": (lambda owner: UserFactory(organization=owner, first_name="Bob"), taught_by),
    "user beside others": (lambda owner: UserFactory(organization=owner), taught_with),
    "user who learns": (
        lambda owner: UserFactory(organization=owner),
        lambda thing, other: ClassEnrollmentFactory(
            user=thing, training_class=TrainingClassFactory(organization=other)
        ),
    ),
}

each_thing = pytest.mark.parametrize("kind", THINGS)


@pytest.fixture
def owner():
    return OrganizationFactory(name="Owner")


@pytest.fixture
def shows():
    return OrganizationFactory(name="Shows", external_id="SHOWS")


@pytest.fixture
def others():
    """Organizations of which one shows the thing and does not subscribe to it, and the other one does not show it."""
    return OrganizationFactory(name="Not subscribed"), OrganizationFactory(name="Elsewhere")


@pytest.fixture
def thing(kind, owner, shows, others):
    make, show = THINGS[kind]
    thing = make(owner)
    for organization in (shows, shows, others[0]):
        show(thing, organization)
    return thing


@pytest.fixture
def webhooks(thing, owner, shows, others, kind):
    """Webhooks of the owner, of the organization that shows the thing, and of the one that does not."""
    events = [f"{kind.partition(' ')[0]}.*"]
    WebhookFactory(organization=others[0], events=["webhook.*"])
    return [WebhookFactory(organization=one, events=events) for one in (owner, shows, others[1])]


def rename(thing, name="Renamed"):
    field = "first_name" if isinstance(thing, models.User) else "name"
    setattr(thing, field, name)
    thing.save()


def fan_out_all(clock):
    while fan_out(clock.now):
        pass


def received(webhook):
    return [json.loads(event.body) for event in Event.objects.filter(deliveries__webhook=webhook).order_by("pk")]


@each_thing
def test_a_new_name_is_one_event_for_each_organization_that_shows_it(thing, webhooks, clock):
    rename(thing)
    fan_out_all(clock)

    of_owner, of_other, of_none = map(received, webhooks)
    assert [event["data"]["id"] for event in (*of_owner, *of_other)] == [thing.pk, thing.pk]
    assert of_none == []
    assert Event.objects.count() == 2
    assert of_owner[0]["organization"]["id"] == webhooks[0].organization_id
    assert of_other[0]["organization"] == {"id": webhooks[1].organization_id, "external_id": "SHOWS"}
    assert of_owner[0]["id"] != of_other[0]["id"]
    assert of_other[0]["changed"] == of_owner[0]["changed"]
    assert of_other[0]["previous"] == of_owner[0]["previous"]


@each_thing
def test_each_organization_has_numbers_of_its_own(thing, webhooks, clock):
    for name in ("One", "Two", "Three"):
        rename(thing, name)
        if name == "Two":
            fan_out_all(clock)
    fan_out_all(clock)

    for webhook in webhooks[:2]:
        assert [event["sequence"] for event in received(webhook)] == [1, 2, 3]


@each_thing
def test_nothing_is_recorded_that_no_webhook_subscribes_to(thing, others):
    WebhookFactory(organization=others[1], events=["webhook.*"])

    rename(thing)
    type(thing)._default_manager.filter(pk=thing.pk).update(
        **{"first_name" if isinstance(thing, models.User) else "name": "Bulk"}
    )

    assert not Event.objects.exists()


@each_thing
def test_an_organization_that_shows_it_gets_it_where_the_owner_does_not_subscribe(thing, webhooks, clock):
    webhooks[0].subscriptions.all().delete()

    rename(thing)
    fan_out_all(clock)

    assert [len(received(webhook)) for webhook in webhooks] == [0, 1, 0]


@pytest.mark.parametrize("kind", ["course", "user"])
@pytest.mark.parametrize("point", ["copied", "numbered"])
def test_a_worker_that_is_killed_repeats_without_a_second_event(thing, webhooks, clock, point):
    rename(thing)
    killed = {
        "copied": mock.patch.object(QuerySet, "bulk_create", side_effect=Killed),
        "numbered": mock.patch.object(numbers, "number", side_effect=Killed),
    }[point]
    with killed, pytest.raises(Killed), transaction.atomic():
        fan_out(clock.now)
    assert Event.objects.filter(is_copy=True).count() == 0

    fan_out_all(clock)

    assert [len(received(webhook)) for webhook in webhooks] == [1, 1, 0]


@pytest.mark.parametrize("kind", ["course"])
def test_a_worker_that_is_killed_after_the_copies_makes_no_second_one(thing, webhooks, clock):
    rename(thing)
    with mock.patch.object(fanout.numbers, "number", side_effect=Killed), pytest.raises(Killed):
        fan_out(clock.now)
    assert Event.objects.filter(is_copy=True).count() == 1

    fan_out_all(clock)

    assert [len(received(webhook)) for webhook in webhooks] == [1, 1, 0]
    assert Counter(Event.objects.values_list("organization_id", flat=True)).most_common(1)[0][1] == 1


@pytest.mark.parametrize("kind", ["course"])
def test_many_copies_are_made_a_few_at_a_time_and_in_order(thing, webhooks, clock, monkeypatch):
    monkeypatch.setattr(sharing, "COPIES", 2)
    more = [WebhookFactory(events=["course.updated"]) for _ in range(4)]
    for webhook in more:
        TrainingClassFactory(course=thing, organization=webhook.organization)
    rename(thing, "First")
    rename(thing, "Second")

    assert fan_out(clock.now) == 1
    assert Event.objects.filter(is_copy=True).count() == 2
    assert not Event.objects.filter(is_copy=False, fanned_out_at__isnull=False).exists()
    fan_out_all(clock)

    for webhook in (*webhooks[:2], *more):
        assert [event["data"]["name"] for event in received(webhook)] == ["First", "Second"]


@pytest.mark.parametrize("kind", ["course"])
def test_a_parent_of_the_owner_gets_the_owners_event_and_no_copy(thing, webhooks, clock, owner):
    owner.parent = OrganizationFactory()
    owner.save()
    TrainingClassFactory(course=thing, organization=owner.parent)
    webhook = WebhookFactory(organization=owner.parent, events=["course.*"], include_children=True)

    rename(thing)
    fan_out_all(clock)

    assert [event["organization"]["id"] for event in received(webhook)] == [owner.pk]


@pytest.mark.parametrize("kind", ["course of an enrollment"])
def test_a_webhook_for_learners_gets_what_their_objects_show(thing, webhooks, clock):
    webhooks[1].audience = Audience.LEARNER
    webhooks[1].save()

    rename(thing)
    fan_out_all(clock)

    assert len(received(webhooks[1])) == 1


@pytest.mark.parametrize("kind", ["department"])
def test_a_deletion_is_an_event_for_those_who_got_events_of_the_object(thing, webhooks, clock):
    rename(thing)
    fan_out_all(clock)

    thing.delete()
    fan_out_all(clock)

    assert [[event["type"] for event in received(webhook)] for webhook in webhooks] == [
        ["department.updated", "department.deleted"],
        ["department.updated", "department.deleted"],
        [],
    ]


@pytest.mark.parametrize("kind", ["profile"])
def test_the_name_and_the_courses_of_a_profile_are_changed_in_one_event(thing, webhooks, clock):
    with transaction.atomic():
        rename(thing)
        thing.courses.add(CourseFactory())
    fan_out_all(clock)

    for webhook in webhooks[:2]:
        (event,) = received(webhook)
        assert set(event["changed"]) == {"name", "course_ids"}


def test_a_new_course_is_an_event_for_its_owner_alone(owner, clock):
    of_owner, of_other = (
        WebhookFactory(organization=one, events=["course.*"]) for one in (owner, OrganizationFactory())
    )

    TrainingClassFactory(course=CourseFactory(organization=owner), organization=of_other.organization)
    fan_out_all(clock)

    assert [event["type"] for event in received(of_owner)] == ["course.created"]
    assert received(of_other) == []


@pytest.mark.parametrize("kind", ["course"])
def test_two_thousand_objects_that_show_it_are_one_event_and_no_more_statements(
    thing, webhooks, clock, shows, django_assert_max_num_queries
):
    classes = [TrainingClassFactory.build(course=thing, organization=shows, external_id=None) for _ in range(2000)]
    models.TrainingClass.objects.bulk_create(classes)
    Event.objects.all().delete()
    rename(thing)

    with django_assert_max_num_queries(60):
        fan_out_all(clock)

    assert [len(received(webhook)) for webhook in webhooks] == [1, 1, 0]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["course"])
def test_a_bulk_update_of_many_courses_is_an_event_of_each_with_few_statements(
    thing, webhooks, clock, owner, shows, django_assert_max_num_queries, monkeypatch
):
    courses = [thing, *CourseFactory.create_batch(499, organization=owner)]
    models.SubscriptionProfile.objects.filter(organization=shows).delete()
    SubscriptionProfileFactory(organization=shows).courses.set(courses)
    Event.objects.all().delete()
    with django_assert_max_num_queries(60):
        models.Course.objects.filter(organization=owner).update(name="All")
    assert Event.objects.count() == 500

    monkeypatch.setattr(sharing, "BUDGET", 60.0)
    with django_assert_max_num_queries(500 * 13):
        fan_out_all(clock)

    for webhook in webhooks[:2]:
        events = received(webhook)
        assert {event["data"]["id"] for event in events} == {one.pk for one in courses}
        assert (len(events), {event["sequence"] for event in events}) == (500, {1})


@pytest.mark.parametrize("kind", ["user"])
def test_a_closed_account_is_an_event_for_those_that_show_its_name(thing, webhooks, clock):
    thing.disable()
    thing.close()
    fan_out_all(clock)

    of_owner, of_other, of_none = ([event["type"] for event in received(webhook)] for webhook in webhooks)
    assert of_owner == of_other == ["user.deactivated", "user.closed"]
    assert of_none == []
    closed = received(webhooks[1])[-1]
    assert (closed["data"]["first_name"], closed["data"]["last_name"]) == ("Closed", "Account")
    assert closed["data"]["closed_at"] is not None
    assert "first_name" not in closed["previous"]


@pytest.mark.parametrize("kind", ["user who learns"])
@pytest.mark.parametrize("subscribes", [True, False], ids=["the owner, too", "the owner does not"])
def test_a_merged_account_is_an_event_for_those_that_got_events_of_it(thing, webhooks, clock, owner, subscribes):
    into = UserFactory(organization=owner)
    if not subscribes:
        webhooks[0].subscriptions.all().delete()
    rename(thing)
    fan_out_all(clock)

    key = thing.pk
    into.merge(thing)
    fan_out_all(clock)

    of_other = [event for event in received(webhooks[1]) if event["data"]["id"] == key]
    assert [event["type"] for event in of_other] == ["user.updated", "user.merged", "user.deleted"]
    assert of_other[1]["data"]["merged_into"]["id"] == into.pk
    assert received(webhooks[2]) == []


@pytest.mark.parametrize("kind", ["user who learns"])
def test_a_merged_account_whose_data_the_host_passes_is_an_event_for_them_too(thing, webhooks, clock, owner):
    into = UserFactory(organization=owner)
    rename(thing)
    fan_out_all(clock)
    data = {**received(webhooks[0])[-1]["data"], "merged_into": {"id": into.pk, "external_id": into.external_id}}
    webhooks[0].subscriptions.all().delete()

    emit("user.merged", thing, data=data, organization=owner)
    fan_out_all(clock)

    assert [event["type"] for event in received(webhooks[1])] == ["user.updated", "user.merged"]


# An object that moves


@pytest.fixture
def moving(owner, shows, clock):
    """A user of ``owner`` who moves to ``shows``, two webhooks for users of both, and a class of the former owner that shows the user."""
    webhooks = [WebhookFactory(organization=one, events=["user.*"]) for one in (owner, shows)]
    user = UserFactory(organization=owner)
    taught_by(user, owner)
    fan_out_all(clock)
    user.organization = shows
    user.save()
    fan_out_all(clock)
    return user, webhooks


def numbers_of(webhook):
    return [event["sequence"] for event in received(webhook)]


@pytest.mark.parametrize("together", [True, False])
def test_a_former_owner_that_shows_it_gets_copies_with_higher_numbers_than_its_own_events(moving, clock, together):
    user, (of_former, of_owner) = moving

    for name in ("One", "Two"):
        rename(user, name)
        if not together:
            fan_out_all(clock)
    fan_out_all(clock)

    assert [event["type"] for event in received(of_former)][-3:] == ["user.removed", "user.updated", "user.updated"]
    for webhook in (of_former, of_owner):
        assert numbers_of(webhook) == sorted({*numbers_of(webhook)})


def test_an_object_that_moves_back_and_forth_has_each_number_once_for_each_owner(moving, clock, owner, shows):
    user, webhooks = moving
    taught_by(user, shows)

    for organization in (owner, shows, owner):
        rename(user, f"Before {organization.name}")
        user.organization = organization
        user.save()
        rename(user, f"At {organization.name}")
        fan_out_all(clock)
        user.phone = f"+31 {organization.pk}"
        user.save()
        rename(user, f"Later at {organization.name}")

    fan_out_all(clock)
    for webhook in webhooks:
        assert len({*numbers_of(webhook)}) == len(numbers_of(webhook))
        newest = max(received(webhook), key=lambda event: event["sequence"])
        assert newest["data"]["first_name"] == "Later at Owner"


def test_a_source_that_has_had_several_owners_does_not_stop_the_fan_out(owner, clock):
    webhook, course = WebhookFactory(organization=owner, events=["course.*"]), CourseFactory(organization=owner)
    Event.objects.update(numbered_by_owner=True)
    fan_out_all(clock)

    rename(course)
    fan_out_all(clock)

    assert [event["type"] for event in received(webhook)] == ["course.created", "course.updated"]


def test_the_new_owners_change_is_copied_after_those_before_the_move(owner, shows, clock, monkeypatch):
    """The former owner has more events than a batch takes."""
    webhooks = [WebhookFactory(organization=one, events=["user.*"]) for one in (owner, shows)]
    user = UserFactory(organization=owner)
    taught_by(user, owner)
    fan_out_all(clock)
    UserFactory.create_batch(20, organization=owner)
    rename(user, "One")
    user.organization = shows
    user.save()
    rename(user, "Two")

    while fan_out(clock.now, limit=4):
        pass

    assert [event["data"].get("first_name") for event in received(webhooks[0]) if event["data"]["id"] == user.pk][
        1:
    ] == ["One", None, "Two"]


def test_a_former_owner_gets_no_deletion_with_what_the_new_owner_has_set(moving, clock):
    user, (of_former, of_owner) = moving
    models.TrainingClass.objects.all().delete()
    user.email = "secret@new.example"
    user.save()
    fan_out_all(clock)

    user.delete()
    fan_out_all(clock)

    assert received(of_owner)[-1]["type"] == "user.deleted"
    assert received(of_former)[-1]["type"] == "user.removed"
    assert "secret@new.example" not in str(received(of_former))


@pytest.mark.parametrize("kind", ["user", "department"])
def test_who_got_events_of_an_object_gets_its_ids_at_the_end(thing, webhooks, clock):
    rename(thing)
    fan_out_all(clock)
    key = thing.pk

    if isinstance(thing, models.User):
        models.TrainingClass.objects.all().delete()
    thing.delete()
    fan_out_all(clock)

    event = received(webhooks[1])[-1]
    assert event["type"].endswith(".deleted")
    assert event["data"]["id"] == key
    assert event["data"].keys() <= {"id", "external_id", "merged_into", "organization"}


@pytest.mark.parametrize("kind", ["user", "user who learns"])
def test_others_get_the_ids_alone_of_a_deleted_object_whose_row_is_kept_and_still_shown(thing, webhooks, clock):
    rename(thing)
    fan_out_all(clock)

    emit("user.deleted", thing)
    fan_out_all(clock)

    of_owner, of_other = (received(webhook)[-1] for webhook in webhooks[:2])
    assert of_owner["type"] == of_other["type"] == "user.deleted"
    assert of_owner["data"]["first_name"] == "Renamed"
    assert of_other["data"]["id"] == thing.pk
    assert of_other["data"].keys() <= {"id", "external_id", "merged_into"}


def test_a_bulk_update_of_objects_of_several_owners_is_an_event_for_each_that_shows_one(owner, shows, clock):
    webhook = WebhookFactory(organization=shows, events=["course.*"])
    courses = [CourseFactory(organization=one) for one in (owner, shows)]
    TrainingClassFactory(course=courses[0], organization=shows)
    fan_out_all(clock)

    models.Course.objects.filter(pk__in=[one.pk for one in courses]).update(name="All")
    fan_out_all(clock)

    changed = {event["data"]["id"] for event in received(webhook) if event["type"] == "course.updated"}
    assert changed == {one.pk for one in courses}


# What is shown


@pytest.fixture
def showing(monkeypatch):
    """Map the enrollments of the example project in another way."""

    def showing(**attributes):
        source = type("Other", (Enrollments,), attributes)(models.ClassEnrollment, registry._sources)
        others = [one for one in registry.all_sources() if one.model is not models.ClassEnrollment]
        monkeypatch.setattr(sharing, "all_sources", lambda: [*others, source])

    return showing


def learner_with_webhook(owner, shows):
    webhook, user = WebhookFactory(organization=shows, events=["user.*"]), UserFactory(organization=owner)
    ClassEnrollmentFactory(user=user, training_class=TrainingClassFactory(organization=shows))
    return webhook, user


def test_a_learner_whom_no_payload_shows_has_no_copies(owner, shows, clock, showing):
    showing(fields={"user": None})
    webhook, user = learner_with_webhook(owner, shows)

    rename(user)
    fan_out_all(clock)

    assert received(webhook) == []
    assert Comparison(webhook, "user").objects(None, limit=10).objects == []


def test_of_a_learner_a_copy_has_the_personal_fields_that_a_payload_shows(owner, shows, clock, showing):
    showing(
        fields={"user": None}, custom={"learner": sources.Custom("user.first_name", doc="The learner's first name.")}
    )
    webhook, user = learner_with_webhook(owner, shows)

    user.email = "new@learner.example"
    user.save()
    fan_out_all(clock)
    assert received(webhook) == []
    rename(user)
    fan_out_all(clock)

    (event,) = received(webhook)
    assert event["data"].keys() == {"id", "external_id", "first_name", "disabled", "closed_at", "merged_into"}
    (one,) = Comparison(webhook, "user").objects(None, limit=10).objects
    assert (one.id, one.digest) == (str(user.pk), digest_of("user", event["data"], PayloadDetail.FULL))


@pytest.mark.parametrize("kind", ["course"])
def test_a_copy_does_not_say_who_changed_the_object_in_which_request(thing, webhooks, clock, client):
    client.force_login(UserFactory(organization=None, is_staff=True, is_superuser=True))
    with actor_context("api", "key-of-the-owner", correlation_id="request-of-the-owner"):
        rename(thing)
    fan_out_all(clock)

    assert received(webhooks[0])[0]["actor"] == {"kind": "api", "id": "key-of-the-owner"}
    assert received(webhooks[0])[0]["correlation_id"] == "request-of-the-owner"
    assert received(webhooks[1])[0]["actor"] == {"kind": "api", "id": None}
    assert "correlation_id" not in received(webhooks[1])[0]
    for event in Event.objects.all():
        page = client.get(reverse("admin:tms_webhooks_event_change", args=[event.public_id])).content.decode()
        assert ("key-of-the-owner" in page) is not event.is_copy


@pytest.mark.parametrize("kind", ["course"])
def test_a_slow_search_leaves_the_other_events_for_the_next_turns(thing, webhooks, clock, owner, monkeypatch):
    monkeypatch.setattr(sharing, "BUDGET", -1.0)
    for name in ("One", "Two", "Three"):
        rename(thing, name)

    for copies in (1, 2, 3):
        fan_out(clock.now)
        assert Event.objects.filter(is_copy=True).count() == copies
    fan_out_all(clock)

    for webhook in webhooks[:2]:
        assert [event["data"]["name"] for event in received(webhook)] == ["One", "Two", "Three"]


@pytest.mark.parametrize("kind", ["course"])
def test_the_search_compares_no_organization_with_each_other_one(thing, webhooks, clock, others, monkeypatch):
    """It reads those that subscribe, and asks for those above them only where a webhook includes children."""
    monkeypatch.setattr(sharing, "ancestors", mock.Mock(side_effect=AssertionError))
    read = mock.Mock(wraps=sharing._showing)
    monkeypatch.setattr(sharing, "_showing", lambda *arguments: found.append(read(*arguments)) or found[-1])
    found = []

    rename(thing)
    fan_out_all(clock)

    assert [one.keys() for one in found] == [{webhooks[1].organization_id}]
