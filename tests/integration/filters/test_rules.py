"""The rules of a subscription are compiled once, and again after they have changed."""

import logging

import pytest

from tests.integration.audience.world import told_to
from tests.integration.delivery.rows import body_of, subscribed, write_event
from tms_webhooks.choices import Audience
from tms_webhooks.outbox.fanout import fan_out
from tms_webhooks.routing import filtered, subscription_rules


@pytest.fixture(autouse=True)
def nothing_is_kept(monkeypatch):
    monkeypatch.setattr(filtered, "_cache", filtered._Cache())


@pytest.fixture
def parsed(monkeypatch):
    """Collect the types of events that a condition is parsed for."""
    types = []
    parse = subscription_rules.parse

    def counting(condition, event_types):
        types.extend(event_type.name for event_type in event_types)
        return parse(condition, event_types)

    monkeypatch.setattr(subscription_rules, "parse", counting)
    return types


@pytest.fixture
def webhook():
    return subscribed(events=["class.*"])


def cancel(webhook, clock, event_type="class.cancelled"):
    write_event(webhook.organization, event_type)
    fan_out(clock.now)


def test_a_condition_is_parsed_once_for_all_types_with_the_same_field(webhook, parsed, clock):
    webhook.subscriptions.update(condition={"any": [{"data.name": "Zoë's class"}, {"not": {"data.course.id": [7]}}]})

    for event_type in ("class.cancelled", "class.completed", "class.updated"):
        cancel(webhook, clock, event_type)

    assert len(told_to(webhook)) == 3
    assert parsed == ["class.cancelled"]


def test_a_condition_is_parsed_again_for_a_type_without_the_field(parsed, caplog):
    found = subscription_rules.SubscriptionRules(None, {}, {"data.late_cancel": True}, Audience.BOTH)

    with caplog.at_level(logging.CRITICAL, "tms_webhooks"):
        names = [len(found.checks(name)) for name in ("enrollment.cancelled", "class.cancelled", "enrollment.enrolled")]

    assert names == [1, 1, 1]
    assert parsed == ["enrollment.cancelled", "class.cancelled"]


@pytest.mark.parametrize(
    "change",
    [{"condition": {"data.name": "another"}}, {"filters": {"actor_kind": ["user"]}}],
    ids=["condition", "filters"],
)
def test_a_change_counts_from_the_next_event_on(webhook, clock, change):
    webhook.subscriptions.update(condition={"data.name": "Zoë's class"})
    cancel(webhook, clock)

    # Also in bulk, which changes no instance.
    webhook.subscriptions.update(**change)
    cancel(webhook, clock)
    assert len(told_to(webhook)) == 1

    webhook.subscriptions.update(condition={"data.name": "Zoë's class"}, filters={})
    cancel(webhook, clock)
    assert len(told_to(webhook)) == 2


def test_rules_are_kept_up_to_a_size_and_match_all_the_same_beyond_it(webhook, parsed, clock, monkeypatch):
    monkeypatch.setattr(filtered, "MOST_KEPT", 50)
    webhook.subscriptions.update(condition={"data.name": "Zoë's class"})
    other = subscribed(organization=webhook.organization, events=["class.*"])
    other.subscriptions.update(condition={"data.name": "Zoë's class"})

    for _ in range(2):
        cancel(webhook, clock)

    assert (len(told_to(webhook)), len(told_to(other))) == (2, 2)
    # One of the two fits.
    assert len(parsed) == 4 - 1


@pytest.mark.parametrize("chunk", [1, 2, 50])
def test_subscriptions_are_read_in_chunks_of_any_size(clock, monkeypatch, chunk):
    monkeypatch.setattr(filtered, "CHUNK", chunk)
    webhooks = [subscribed(events=["class.*"])]
    webhooks += [subscribed(events=["class.*"], organization=webhooks[0].organization) for _ in range(4)]
    for number, webhook in enumerate(webhooks):
        webhook.subscriptions.update(condition={"data.name": "Zoë's class" if number % 2 else "another"})

    write_event(webhooks[0].organization, body=body_of("class.cancelled"))
    fan_out(clock.now)

    assert [len(told_to(webhook)) for webhook in webhooks] == [0, 1, 0, 1, 0]
