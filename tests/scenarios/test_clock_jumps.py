"""The wall clock jumps. What is due, and until when a webhook is paused, is on it: a jump forward makes that come early,
a jump back makes it wait until the clock has caught up. Nothing is lost, and nothing waits longer than that."""

from collections import Counter
from datetime import timedelta

import pytest

from tests.integration.delivery.rows import fan_out_all, write, write_event, write_events
from tests.receiver import Answer
from tests.scenarios.jumps import DAYS, HOURS, brought, either_way, far, late_attempts, once_each, states
from tests.scenarios.timeline import Timeline
from tms_webhooks.outbox.fanout import fan_out

pytestmark = pytest.mark.slow

# During a drain


@either_way
def test_a_jump_during_a_drain_loses_nothing_and_sends_nothing_twice(webhook, receiver, clock, drain, jump):
    write_events(webhook.organization, 30)
    came = []

    def respond(request):
        came.append(None)
        if len(came) == 5:
            clock.now += jump
        return Answer()

    receiver.respond = respond
    drain()
    # What was due, and waits after a jump back, is due again when the clock has caught up.
    clock.now += max(-jump, timedelta())
    drain()

    assert states(webhook) == {("delivered", 1): 30}
    assert brought(receiver) == once_each()
    assert late_attempts() == 0


# What is due, and what is to be tried again


@far
def test_what_was_due_before_a_jump_back_waits_for_the_clock_to_catch_up_and_what_is_new_does_not(
    webhook, receiver, clock, drain, jump
):
    old = write_event(webhook.organization)
    fan_out(clock.now)
    clock.now -= jump
    new = write_event(webhook.organization)

    drain()
    assert list(brought(receiver)) == [new.public_id]
    clock.now += jump - timedelta(microseconds=1)
    drain()
    assert list(brought(receiver)) == [new.public_id]
    clock.now += timedelta(microseconds=1)
    drain()

    assert list(brought(receiver)) == [new.public_id, old.public_id]
    assert states(webhook) == {("delivered", 1): 2}


@far
def test_a_webhook_with_a_rate_does_not_wait_for_the_clock_to_catch_up(webhook, receiver, clock, drain, jump):
    write(webhook, rate_limit_per_second=1)
    write_event(webhook.organization)
    drain()
    clock.now -= jump
    write_events(webhook.organization, 2)

    drain()
    assert len(receiver.received) == 2  # the rate begins anew, and holds
    clock.advance(seconds=1.1)
    drain()

    assert brought(receiver) == once_each()


@pytest.mark.parametrize("jump", [-HOURS, -DAYS], ids=str)
def test_after_a_jump_back_in_the_midst_of_everything_nothing_stays_behind(
    webhook, receiver, clock, drain, worker, jump
):
    began_at = clock.now
    write_events(webhook.organization, 4)
    receiver.answers = [Answer(500), Answer(503, {"retry-after": "60"})]
    drain()
    # The receiver asked to be left alone for a minute.
    clock.advance(seconds=61)
    write_events(webhook.organization, 4)
    fan_out_all(clock.now)
    assert worker("killed").claim(limit=1)
    clock.now += jump
    write_events(webhook.organization, 4)

    timeline = Timeline(clock)
    timeline.live_until(began_at + timedelta(minutes=2))

    assert Counter(webhook.deliveries.values_list("status", flat=True)) == {"delivered": 12}
    assert set(brought(receiver)) == set(once_each())
    assert len(receiver.received) == 12 + 2
