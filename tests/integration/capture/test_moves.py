"""An object that moves: who no longer sees it gets its ids, who sees it from now on the object without what was before."""

import json

import pytest
from django.db import transaction

from example_project.training.factories import (
    ClassEnrollmentFactory,
    OrganizationFactory,
    TrainingClassFactory,
    UserFactory,
    VoucherFactory,
)
from example_project.training.models import ClassEnrollment, Organization, TrainingClass
from tests.factories import WebhookFactory
from tests.outbox import prune_events
from tms_webhooks.models import Event, Webhook
from tms_webhooks.models.audience import visible_to
from tms_webhooks.outbox import feed
from tms_webhooks.outbox.fanout import fan_out
from tms_webhooks.payloads.formats import skillable


@pytest.fixture(autouse=True)
def webhooks(old, new):
    return [WebhookFactory(organization=organization, events=["*"]) for organization in (old, new)]


def recipients(recorded):
    return [(event["type"], event["organization"]["id"]) for event in recorded()]


def test_the_old_owner_gets_ids_alone_and_the_new_one_no_old_values(old, new, recorded):
    training_class = TrainingClassFactory(organization=old, external_id="CLS-1", name="A secret name")
    prune_events()

    training_class.organization = new
    training_class.name = "A new name"
    training_class.save()

    removed, added = recorded()
    assert removed == {
        **removed,
        "type": "class.removed",
        "organization": {"id": old.pk, "external_id": "OLD-ORG"},
        "changed": [],
        "previous": {},
    }
    assert (removed["data"]["id"], removed["data"]["external_id"]) == (training_class.pk, "CLS-1")
    assert "new" not in json.dumps(removed).lower()
    assert "name" not in removed["data"]
    assert (added["type"], added["organization"]) == ("class.added", {"id": new.pk, "external_id": "NEW-ORG"})
    assert (added["changed"], added["previous"], added["data"]["name"]) == ([], {}, "A new name")
    assert "old" not in json.dumps(added).lower()
    assert "secret" not in json.dumps(added)
    assert added["sequence"] == removed["sequence"] + 1


def test_an_enrollment_that_moves_to_another_owners_class_leaves_the_old_owner(old, new, recorded):
    enrollment = ClassEnrollmentFactory(training_class__organization=old, user__organization=new)
    destination = TrainingClassFactory(organization=new)
    prune_events()

    ClassEnrollment.objects.filter(pk=enrollment.pk).update(training_class=destination, grade=7)

    removed, added = recorded()
    assert (removed["type"], removed["organization"]["id"]) == ("enrollment.removed", old.pk)
    assert removed["data"]["class"]["id"] != destination.pk
    assert (added["type"], added["organization"]["id"]) == ("enrollment.added", new.pk)


def test_a_change_after_the_move_in_the_same_transaction_quotes_no_old_values(old, new, recorded):
    training_class = TrainingClassFactory(organization=old, name="A secret name")
    training_class.instructors.add(UserFactory(organization=old))
    prune_events()

    with transaction.atomic():
        training_class.organization = new
        training_class.save()
        training_class.name = "Another name"
        training_class.save()
        training_class.instructors.clear()

    removed, added = recorded()
    assert removed["type"] == "class.removed"
    assert (added["type"], added["changed"], added["previous"]) == ("class.added", [], {})
    assert (added["data"]["name"], added["data"]["instructor_ids"]) == ("Another name", [])


def test_a_change_after_the_move_is_an_update_for_a_learners_organization_that_sees_both(old, new, recorded):
    enrollment = ClassEnrollmentFactory(training_class__organization=old, grade=5)
    WebhookFactory(organization=enrollment.user.organization, events=["*"], audience="learner")
    destination = TrainingClassFactory(organization=new)
    prune_events()

    with transaction.atomic():
        enrollment.training_class = destination
        enrollment.save()
        enrollment.grade = 7
        enrollment.save()

    assert [event["type"] for event in recorded()] == [
        "enrollment.removed",
        "enrollment.updated",
        "enrollment.added",
        "enrollment.updated",
    ]


AUDIENCES = ("owner", "learner", "both")


@pytest.fixture
def received(clock):
    """Fan out all events, and return the types that each of these webhooks got, in their order."""

    def read(webhooks):
        while fan_out(clock()):
            pass
        found = {
            name: list(webhook.deliveries.order_by("event_id").values_list("event__type", flat=True))
            for name, webhook in webhooks.items()
        }
        from_feed = {name: feed_of(webhook, clock()) for name, webhook in webhooks.items()}
        assert from_feed == found
        return found

    return read


def feed_of(webhook, now):
    return [event.type for event in feed.read_webhook(webhook, now=now).events]


def test_each_webhook_is_told_by_what_its_audience_sees(old, new, received, clock):
    """A learner of the class's owner, then of another organization, then the class moves to that one's owner."""
    Webhook.objects.all().delete()
    enrollment = ClassEnrollmentFactory(training_class__organization=old, user__organization=old)
    webhooks = {
        (name, audience): WebhookFactory(organization=one, events=["enrollment.*"], audience=audience)
        for name, one in (("old", old), ("new", new))
        for audience in AUDIENCES
    }
    prune_events()

    enrollment.user = UserFactory(organization=new)
    enrollment.save()
    assert received(webhooks) == {
        ("old", "owner"): ["enrollment.updated"],
        ("old", "learner"): ["enrollment.removed"],
        ("old", "both"): ["enrollment.updated"],
        ("new", "owner"): [],
        ("new", "learner"): ["enrollment.added"],
        ("new", "both"): ["enrollment.added"],
    }

    prune_events()
    enrollment.training_class = TrainingClassFactory(organization=new)
    enrollment.save()
    assert received(webhooks) == {
        ("old", "owner"): ["enrollment.removed"],
        ("old", "learner"): [],
        ("old", "both"): ["enrollment.removed"],
        ("new", "owner"): ["enrollment.added"],
        ("new", "learner"): ["enrollment.updated"],
        ("new", "both"): ["enrollment.updated"],
    }


def test_no_old_value_is_shown_to_the_new_owner_in_the_event_of_those_that_see_both(old, new, clock):
    enrollment = ClassEnrollmentFactory(training_class__organization=old, user__organization=OrganizationFactory())
    learner = WebhookFactory(organization=enrollment.user.organization, events=["*"], audience="learner")
    destination = TrainingClassFactory(organization=new)
    prune_events()

    enrollment.training_class = destination
    enrollment.save()
    while fan_out(clock()):
        pass

    for organization, types in (
        (old, ["enrollment.removed"]),
        (new, ["enrollment.added"]),
        (learner.organization, ["enrollment.updated"]),
    ):
        page = feed.read(Organization.objects.filter(pk=organization.pk), now=clock())
        assert [event.type for event in page.events] == types
        visible = Event.objects.filter(visible_to([organization.pk])).order_by("pk")
        assert [event.type for event in visible] == types


def test_the_removal_passes_each_filter_and_condition_because_it_has_ids_only(old, new, received):
    Webhook.objects.all().delete()
    webhook = WebhookFactory(organization=old, events=[])
    webhook.subscriptions.create(event_type="class.*", filters={"status_to": [2]}, condition={"data.name": "None"})
    training_class = TrainingClassFactory(organization=old)
    prune_events()

    training_class.organization = new
    training_class.save()

    assert received({"one": webhook}) == {"one": ["class.removed"]}


def test_a_subscription_to_removals_alone_is_enough(old, new, recorded):
    Webhook.objects.all().delete()
    WebhookFactory(organization=old, events=["class.removed"])
    first, second = TrainingClassFactory(organization=old), TrainingClassFactory(organization=old)

    first.organization = new
    first.save()
    TrainingClass.objects.filter(pk=second.pk).update(organization=new)

    assert recipients(recorded) == [("class.removed", old.pk)] * 2


def test_feedback_and_vouchers_move_as_the_others_do(old, new, recorded):
    voucher = VoucherFactory(organization=old)
    prune_events()

    voucher.organization = new
    voucher.save()

    assert recipients(recorded) == [("voucher.removed", old.pk), ("voucher.added", new.pk)]


def test_the_flat_format_has_the_ids_of_a_removed_object(old, new, recorded):
    training_class = TrainingClassFactory(organization=old)
    prune_events()
    TrainingClass.objects.filter(pk=training_class.pk).update(organization=new)

    removed, added = map(skillable.flat, recorded())

    assert (removed["EventType"], removed["Id"], "Name" in removed) == ("class.removed", training_class.pk, False)
    assert (added["EventType"], added["Name"]) == ("class.added", training_class.name)
