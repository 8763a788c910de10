"""An update that follows another event of the same object in the same transaction becomes part of that event."""

import pytest
from django.db import connection, transaction
from django.utils import timezone

from example_project.training.choices import ConfirmationStatus
from example_project.training.factories import (
    TrainingClassFactory,
    UserFactory,
)
from example_project.training.models import TrainingClass
from tests.factories import WebhookFactory
from tests.outbox import prune_events
from tms_webhooks.db import django_private as private
from tms_webhooks.models import Occurrence, Subscription
from tms_webhooks.outbox import record
from tms_webhooks.sources.registry import sources_of
from tms_webhooks.sources.rules import PlannedEvent


class Refused(Exception):
    """What a test ends a savepoint with."""


@pytest.fixture
def alice():
    return UserFactory(username="alice")


def rename(training_class, name="Renamed"):
    training_class.name = name
    training_class.save()


def test_a_status_and_the_list_that_is_saved_after_it_are_one_event(training_class, alice, recorded):
    with transaction.atomic():
        training_class.cancel()
        training_class.instructors.add(alice)

    (event,) = recorded()
    assert (event["type"], event["sequence"]) == ("class.cancelled", 1)
    assert event["changed"] == ["status", "instructor_ids"]
    assert event["previous"] == {"status": {"code": 0, "name": "Scheduled"}, "instructor_ids": []}
    assert event["data"]["instructor_ids"] == [alice.pk]


def test_a_new_object_and_the_list_that_is_saved_after_it_are_one_event(training_class, alice, recorded):
    with transaction.atomic():
        new = TrainingClassFactory(organization=training_class.organization)
        new.instructors.add(alice)

    (event,) = recorded()
    assert (event["type"], event["changed"], event["previous"]) == ("class.scheduled", [], {})
    assert event["data"]["instructor_ids"] == [alice.pk]


def test_the_oldest_of_several_old_values_is_quoted(training_class, recorded):
    first = training_class.name

    with transaction.atomic():
        rename(training_class, "Second")
        rename(training_class, "Third")

    (event,) = recorded()
    assert (event["data"]["name"], event["previous"]) == ("Third", {"name": first})


def test_an_update_that_is_undone_is_no_event(training_class, recorded):
    first = training_class.name

    with transaction.atomic():
        rename(training_class)
        rename(training_class, first)
        assert recorded() == []
        rename(training_class, "Third")

    (event,) = recorded()
    assert (event["data"]["name"], event["changed"], event["previous"]) == ("Third", ["name"], {"name": first})


def test_a_field_whose_change_is_undone_is_not_named(training_class, recorded):
    first = training_class.name

    with transaction.atomic():
        training_class.name = "Second"
        training_class.confirmation_status_id = ConfirmationStatus.CANCELLED
        training_class.save()
        rename(training_class, first)

    (event,) = recorded()
    assert (event["type"], event["data"]["name"], event["changed"]) == ("class.cancelled", first, ["status"])
    assert event["previous"] == {"status": {"code": 0, "name": "Scheduled"}}


def test_bulk_updates_that_are_undone_are_no_events(training_class, recorded):
    other = TrainingClassFactory(organization=training_class.organization, name=training_class.name)
    classes = TrainingClass.objects.filter(pk__in=[training_class.pk, other.pk])
    prune_events()

    with transaction.atomic():
        classes.update(name="Second")
        classes.filter(pk=other.pk).update(name="Third")
        classes.update(name=training_class.name)

    assert recorded() == []


def test_two_changes_of_a_status_stay_two_events(training_class, recorded):
    with transaction.atomic():
        training_class.guarantee()
        training_class.cancel()
        rename(training_class)

    assert [(event["type"], event["changed"]) for event in recorded()] == [
        ("class.guaranteed_to_run", ["status"]),
        ("class.cancelled", ["name", "status"]),
    ]


def test_a_status_that_follows_an_update_is_an_event_of_its_own(training_class, recorded):
    with transaction.atomic():
        rename(training_class)
        training_class.cancel()

    assert [event["type"] for event in recorded()] == ["class.updated", "class.cancelled"]


def test_an_update_that_without_a_subscription_completes_the_event_that_has_one(training_class, alice, recorded):
    Subscription.objects.update(event_type="class.cancelled")

    with transaction.atomic():
        training_class.cancel()
        training_class.instructors.add(alice)
        rename(training_class)
    rename(training_class, "Later")

    (event,) = recorded()
    assert event["changed"] == ["name", "status", "instructor_ids"]
    assert (event["data"]["instructor_ids"], event["data"]["name"]) == ([alice.pk], "Renamed")


def test_bulk_updates_are_folded_too(training_class, recorded):
    others = TrainingClassFactory.create_batch(3, organization=training_class.organization)
    prune_events()

    with transaction.atomic():
        others[0].cancel()
        TrainingClass.objects.update(max_students=3)
        TrainingClass.objects.update(min_students=1)

    assert sorted((event["data"]["id"], event["type"], *event["changed"]) for event in recorded()) == [
        (training_class.pk, "class.updated", "min_students", "max_students"),
        (others[0].pk, "class.cancelled", "status", "min_students", "max_students"),
        (others[1].pk, "class.updated", "min_students", "max_students"),
        (others[2].pk, "class.updated", "min_students", "max_students"),
    ]
    assert {event["data"]["min_students"] for event in recorded()} == {1}


def test_an_event_that_a_savepoint_removes_takes_no_updates(training_class, recorded):
    with transaction.atomic():
        with pytest.raises(Refused), transaction.atomic():
            training_class.cancel()
            raise Refused
        training_class.refresh_from_db()
        rename(training_class)

    assert [(event["type"], event["changed"]) for event in recorded()] == [("class.updated", ["name"])]


def test_an_update_that_a_savepoint_removes_leaves_the_event_as_it_was(training_class, recorded):
    name = training_class.name

    with transaction.atomic():
        training_class.cancel()
        with pytest.raises(Refused), transaction.atomic():
            rename(training_class)
            raise Refused

    (event,) = recorded()
    assert (event["changed"], event["data"]["name"]) == (["status"], name)


def test_an_update_after_the_object_is_deleted_and_created_again_is_part_of_its_creation(training_class, recorded):
    key = training_class.pk

    with transaction.atomic():
        rename(training_class)
        training_class.delete()
        again = TrainingClassFactory(pk=key, organization=training_class.organization)
        rename(again, "Again")

    assert [(event["type"], event["data"]["name"]) for event in recorded()] == [
        ("class.updated", "Renamed"),
        ("class.deleted", "Renamed"),
        ("class.scheduled", "Again"),
    ]


def test_an_update_after_an_account_is_closed_quotes_no_personal_values(alice, recorded):
    WebhookFactory(organization=alice.organization, events=["user.*"])

    with transaction.atomic():
        alice.closed_at = timezone.now()
        alice.save()
        alice.email = "closed@example.com"
        alice.save()

    (event,) = [event for event in recorded() if event["type"] == "user.closed"]
    assert event["changed"] == ["closed_at"]
    assert event["data"]["email"] == "closed@example.com"
    assert "email" not in event["previous"]
    assert len(recorded()) == len({event["type"] for event in recorded()})


def test_an_account_whose_closing_a_savepoint_removes_is_no_closed_one(alice, recorded):
    WebhookFactory(organization=alice.organization, events=["user.*"])
    bob, email = UserFactory(organization=alice.organization), alice.email
    prune_events()

    with transaction.atomic():
        bob.email = "bob@example.com"
        bob.save()
        with pytest.raises(Refused), transaction.atomic():
            alice.closed_at = timezone.now()
            alice.save()
            raise Refused
        alice.refresh_from_db()
        alice.email = "alice@example.com"
        alice.save()

    event = recorded()[-1]
    assert (event["type"], event["changed"], event["previous"]) == ("user.updated", ["email"], {"email": email})


@pytest.fixture
def once(monkeypatch):
    """Return a function that plans updates of classes with a key, instead of the events of their rules."""
    (source,) = sources_of(TrainingClass)

    def plan(key):
        monkeypatch.setattr(source, "events_for", lambda _change: [PlannedEvent("class.updated", once=key)])

    return plan


def test_an_update_with_a_key_is_no_part_of_an_earlier_event(training_class, recorded, once):
    with transaction.atomic():
        training_class.cancel()
        once("only")
        rename(training_class)
    rename(training_class, "Again")

    assert [(event["type"], event["changed"]) for event in recorded()] == [
        ("class.cancelled", ["status"]),
        ("class.updated", ["name"]),
    ]


def test_an_update_with_a_key_is_not_undone(training_class, recorded, once):
    first = training_class.name

    with transaction.atomic():
        once("only")
        rename(training_class)
        once("")
        rename(training_class, first)

    assert [event["data"]["name"] for event in recorded()] == ["Renamed", first]


def test_an_update_that_no_subscription_matches_uses_up_no_key(training_class, recorded, once):
    Subscription.objects.update(event_type="class.cancelled")

    with transaction.atomic():
        training_class.cancel()
        once("only")
        rename(training_class)

    (event,) = recorded()
    assert (event["type"], event["changed"]) == ("class.cancelled", ["status"])
    assert not Occurrence.objects.exists()


def test_an_update_that_no_subscription_matches_is_not_logged_as_an_event(training_class, recorded, lenient, caplog):
    Subscription.objects.update(event_type="class.cancelled")

    with transaction.atomic():
        training_class.cancel()
        training_class.name = "Renamed"
        training_class.confirmation_status_id = 99
        training_class.save()

    (event,) = recorded()
    assert (event["type"], event["changed"]) == ("class.cancelled", ["status"])
    assert "without a payload" not in caplog.text


@pytest.mark.django_db(transaction=True)
def test_transactions_that_commit_or_roll_back_are_distinguished(training_class, recorded):
    @transaction.atomic
    def rename_to(name, *, fail=False):
        rename(training_class, name)
        if fail:
            raise Refused

    rename_to("Second")
    with pytest.raises(Refused):
        rename_to("Never", fail=True)
    rename_to("Third")
    rename(training_class, "Fourth")
    rename(training_class, "Fifth")

    names = [event["data"]["name"] for event in recorded()]
    assert names == ["Second", "Third", "Fourth", "Fifth"]


def test_only_so_many_objects_of_a_transaction_are_remembered(training_class, recorded, monkeypatch):
    monkeypatch.setattr(record, "MOST_SUBJECTS", 1)
    other = TrainingClassFactory(organization=training_class.organization)
    prune_events()

    with transaction.atomic():
        rename(training_class)
        rename(other)
        rename(training_class, "Again")

    assert len(recorded()) == 3


def test_the_outermost_block_of_the_host_is_found_in_a_test_case():
    assert private.transaction_block(connection) is None

    with transaction.atomic() as _, transaction.atomic():
        outer = private.transaction_block(connection)
        with transaction.atomic():
            assert private.transaction_block(connection) == outer

    with transaction.atomic():
        assert private.transaction_block(connection) != outer
