"""Costly conditions take time from the turn of their own organization, and from no other."""

from collections import Counter

import pytest

from example_project.training.factories import OrganizationFactory
from tests.integration.delivery.objects import happen
from tests.integration.delivery.rows import distinct, fan_out_all, subscribed, write_event, write_events
from tms_webhooks.models import Delivery, Event, Webhook
from tms_webhooks.outbox import fanout
from tms_webhooks.outbox.fanout import FanOutPlan, fan_out
from tms_webhooks.routing.budget import BUDGETS_PER_TURN, BudgetedMatcher
from tms_webhooks.routing.filtered import Evaluation

CONDITION = {"data.name": "Zoë's class"}
OTHER_CONDITION = {"data.name": "another"}


class Costs:
    """The time that each evaluation of a subscription takes, by the key of its webhook, and the evaluations so far."""

    def __init__(self):
        self.time = 0.0
        self.of_webhook = {}
        self.evaluated = Counter()

    def clock(self):
        return self.time


@pytest.fixture
def costs(monkeypatch, settings):
    """Have evaluations take as long as the test says; the budget is 50 ms."""
    monkeypatch.setattr("tms_webhooks.routing.budget.MATCHING_BUDGET", 0.05)
    costs, evaluate = Costs(), Evaluation.verdict

    def verdict(self, event_id, subscription_id):
        webhook = Webhook.objects.get(subscriptions=subscription_id)
        costs.time += costs.of_webhook.get(webhook.pk, 0.0)
        costs.evaluated[event_id, subscription_id] += 1
        return evaluate(self, event_id, subscription_id)

    monkeypatch.setattr(Evaluation, "verdict", verdict)
    monkeypatch.setattr(fanout, "_rotation", fanout._Rotation())
    monkeypatch.setattr(fanout._rotation, "matcher", BudgetedMatcher(costs.clock))
    return costs


@pytest.fixture
def filtered(costs):
    """Make a webhook with so many subscriptions that have a condition, each of which takes so many seconds."""

    def filtered(subscriptions=1, *, seconds=0.0, **values):
        webhook = subscribed(**{"events": ["class.*"] * subscriptions, **values})
        webhook.subscriptions.update(condition=CONDITION)
        costs.of_webhook[webhook.pk] = seconds
        return webhook

    return filtered


def fanned_out(organization):
    return Event.objects.filter(organization=organization, fanned_out_at__isnull=False).count()


def test_a_costly_organization_takes_its_own_turn_and_the_others_get_all_of_theirs(filtered, costs, clock):
    costly, cheap, plain = filtered(3, seconds=0.02), filtered(3, seconds=0.0001), subscribed()
    for webhook in (costly, cheap, plain):
        write_events(webhook.organization, 10)

    assert fan_out(clock.now) == 21

    assert [webhook.deliveries.count() for webhook in (costly, cheap, plain)] == [1, 10, 10]


def test_what_is_left_of_a_costly_organization_comes_in_its_next_turns_the_oldest_first(filtered, clock):
    costly = filtered(3, seconds=0.02)
    write_events(costly.organization, 4)
    keys = list(Event.objects.order_by("pk").values_list("pk", flat=True))

    for number in range(1, 5):
        assert fan_out(clock.now) == 1
        assert sorted(costly.deliveries.values_list("event_id", flat=True)) == keys[:number]

    assert fan_out(clock.now) == 0


def test_an_event_that_takes_longer_than_the_budget_is_evaluated_in_parts_and_no_part_twice(filtered, costs, clock):
    costly = filtered(10, seconds=0.03)
    write_event(costly.organization)
    other = subscribed()

    for _ in range(5):
        write_event(other.organization)
        assert fan_out(clock.now) >= 1
        assert not Event.objects.filter(organization=other.organization, fanned_out_at=None).exists()

    assert costly.deliveries.count() == 1
    assert (len(costs.evaluated), set(costs.evaluated.values())) == (10, {1})
    assert fan_out(clock.now) == 0


def test_many_costly_organizations_take_turns_and_hold_up_none_without_conditions(filtered, clock):
    webhooks = [filtered(seconds=0.06) for _ in range(BUDGETS_PER_TURN + 2)]
    plain = subscribed()
    for webhook in (*webhooks, plain):
        write_events(webhook.organization, 3)

    fan_out(clock.now)
    first = [fanned_out(webhook.organization) for webhook in webhooks]
    assert plain.deliveries.count() == 3
    for _ in range(2):
        fan_out(clock.now)

    assert first == [1] * BUDGETS_PER_TURN + [0] * 2
    assert [fanned_out(webhook.organization) for webhook in webhooks] == [2] * len(webhooks)


def test_time_is_charged_to_the_organization_of_the_webhook_not_to_the_owner_of_the_event(filtered, clock):
    owner = filtered(seconds=0.001)
    costly = filtered(10, seconds=0.06, audience="learner")
    write_event(owner.organization)
    Event.objects.update(learner_organization=costly.organization)
    write_events(owner.organization, 5)

    assert fan_out(clock.now) == 5
    assert owner.deliveries.count() == 5
    fan_out_all(clock.now)

    assert (owner.deliveries.count(), costly.deliveries.count()) == (6, 1)


@pytest.mark.parametrize("condition, matches", [(CONDITION, True), (OTHER_CONDITION, False)])
def test_a_subscription_that_gets_a_condition_after_the_matching_is_asked_all_the_same(
    costs, clock, monkeypatch, condition, matches
):
    webhook = subscribed(events=["class.*"])
    # So that there is something to match.
    other = subscribed(organization=webhook.organization)
    other.subscriptions.update(condition=CONDITION)
    write_event(webhook.organization)
    match = FanOutPlan.match

    def then_changed(plan, events):
        result = match(plan, events)
        webhook.subscriptions.update(condition=condition)
        return result

    monkeypatch.setattr(FanOutPlan, "match", then_changed)

    assert fan_out(clock.now) == 1

    assert webhook.deliveries.exists() is matches
    assert other.deliveries.count() == 1


def test_a_first_occurrence_is_recorded_when_its_event_is_done(filtered, clock):
    costly = filtered(2, seconds=0.06)
    costly.subscriptions.update(filters={"first_occurrence": True})
    events = [happen(costly.organization, "a") for _ in range(3)]

    fan_out_all(clock.now)

    assert costly.deliveries.get().event == events[0]
    assert not Event.objects.filter(fanned_out_at=None).exists()


def test_an_ordered_webhook_of_a_costly_organization_keeps_the_order(filtered, alice, clock):
    costly = filtered(4, seconds=0.03, ordered=True)
    events = [happen(costly.organization, subject) for subject in "abab"]
    sent = []

    while fan_out(clock.now):
        sent += [request.event_id for request in alice.work()]
    while requests := alice.work():
        sent += [request.event_id for request in requests]

    assert sent == [event.public_id for event in events]
    assert distinct(Delivery, "status") == {"delivered"}


def test_organizations_without_filters_are_not_matched_at_all(costs, clock):
    write_events(OrganizationFactory(), 3)
    subscribed(happened=3)

    assert fan_out(clock.now) == 6

    assert not costs.evaluated


def test_a_batch_of_unfinished_events_alone_counts_as_one_so_that_a_drain_goes_on(filtered, run, clock):
    costly = filtered(10, seconds=0.06)
    write_event(costly.organization)

    run()

    assert costly.deliveries.get().status == "delivered"
