"""Accounts that are locked, closed permanently, merged and deleted: each records its own event."""

from datetime import timedelta

import pytest
from django.utils import timezone

from example_project.training.factories import ClassEnrollmentFactory, UserFactory
from example_project.training.models import User
from tests.factories import WebhookFactory
from tests.outbox import prune_events
from tms_webhooks.models import Event
from tms_webhooks.sources import DatePassed, UserSource
from tms_webhooks.sources.deadlines import Deadline
from tms_webhooks.sources.rules import Change

PERSONAL = ("Alice", "Jensen", "alice@example.com", "Keizersgracht")


@pytest.fixture
def alice():
    alice = UserFactory(first_name="Alice", last_name="Jensen", email="alice@example.com", address1="Keizersgracht 100")
    WebhookFactory(organization=alice.organization, events=["user.*"])
    return alice


def types(recorded):
    return [event["type"] for event in recorded()]


def test_an_account_that_is_closed_is_recorded_without_who_it_was(alice, recorded):
    alice.close()

    assert types(recorded) == ["user.deactivated", "user.closed"]
    for event in recorded():
        assert event["data"]["first_name"] == "Closed"
        assert {"external_id", "disabled", "closed_at"} <= set(event["changed"])
        assert "first_name" not in event["changed"]
        assert event["previous"].keys() <= {"external_id", "disabled", "closed_at", "company", "manager"}
        assert (
            event["previous"]["external_id"]
            == User(pk=alice.pk, external_id=event["previous"]["external_id"]).external_id
        )
    for body in Event.objects.values_list("body", flat=True):
        assert not [word for word in PERSONAL if word in body]


def test_the_external_id_by_which_the_customer_knows_a_closed_account_is_recorded_once_more(alice, recorded):
    known_as = alice.external_id
    alice.close()

    closed = recorded()[-1]
    assert (closed["previous"]["external_id"], closed["data"]["external_id"]) == (known_as, None)


def test_an_account_that_is_locked_is_not_closed(alice, recorded):
    alice.disable()

    assert types(recorded) == ["user.deactivated"]


def test_an_account_that_is_unlocked_is_activated(alice, recorded):
    alice.disable()
    prune_events()
    alice.enable()

    assert types(recorded) == ["user.activated"]


def test_a_new_account_is_created_and_neither_activated_nor_deactivated(alice, recorded):
    UserFactory(organization=alice.organization)
    UserFactory(organization=alice.organization, disabled=True)

    assert types(recorded) == ["user.created", "user.created"]


def test_a_change_after_the_closing_quotes_old_values_again(alice, recorded):
    alice.close()
    prune_events()
    alice.first_name = "Nobody"
    alice.save()

    (event,) = recorded()
    assert (event["type"], event["previous"]) == ("user.updated", {"first_name": "Closed"})


def test_a_merged_account_says_into_which_before_it_goes(alice, recorded):
    duplicate = UserFactory(organization=alice.organization, last_name="Janssen")
    ClassEnrollmentFactory(user=duplicate)
    key = duplicate.pk
    prune_events()

    alice.merge(duplicate)

    merged, deleted = recorded()
    assert (merged["type"], deleted["type"]) == ("user.merged", "user.deleted")
    assert (merged["data"]["id"], merged["data"]["last_name"], deleted["data"]["id"]) == (key, "Janssen", key)
    assert merged["data"]["merged_into"] == {"id": alice.pk, "external_id": alice.external_id}
    assert deleted["sequence"] == merged["sequence"] + 1


def test_an_account_that_is_deleted_was_not_merged(alice, recorded):
    alice.delete()

    assert types(recorded) == ["user.deleted"]


class ExpiringAccounts(UserSource):
    """Accounts that end at a date. The example's users have one other date, which serves as that."""

    fields = {"created_at": None, "closed_at": "date_joined"}
    rules = (DatePassed("closed_at", "user.closed"),)
    deadline = Deadline("closed_at", expiring="", expired="user.closed")


def test_an_account_whose_end_is_moved_into_the_past_has_ended_once():
    source = ExpiringAccounts(User, {})
    now = timezone.now()
    before, after = ({"id": 7, "closed_at": now + timedelta(days=days)} for days in (1, -1))

    (recorded,) = source.events_for(Change(before=before, after=after, changed=("closed_at",), now=now))

    assert (recorded.once, recorded.deadline, recorded.omit_personal) == (
        f"user.closed:7:{int(after['closed_at'].timestamp())}",
        after["closed_at"],
        True,
    )
