"""A platform that takes a number of requests a second or minute, and answers 429 to others, gets each event without a pause.

Workato takes 20 a second, from a bucket that fills steadily: https://docs.workato.com/troubleshooting/webhook-gateway-limits.
Make takes 300 in an interval of 10 seconds: https://help.make.com/webhooks.
"""

from datetime import timedelta

import pytest

from tests.integration.delivery.rows import stored, subscribed, write
from tests.integration.delivery.wire import answer


class Bucket:
    """Fills steadily with a number of requests a second, and holds some of them."""

    def __init__(self, clock, *, rate, size):
        self.clock, self.rate, self.size = clock, rate, size
        self.level, self.at = size, clock.now

    def takes(self):
        passed = (self.clock.now - self.at).total_seconds()
        self.level, self.at = min(self.size, self.level + passed * self.rate), self.clock.now
        if self.level < 1:
            return False
        self.level -= 1
        return True


class Interval:
    """Takes a number of requests in each interval of seconds."""

    def __init__(self, clock, *, most, seconds):
        self.clock, self.most, self.seconds = clock, most, seconds
        self.number, self.taken = None, 0

    def takes(self):
        number = self.clock.now.timestamp() // self.seconds
        if number != self.number:
            self.number, self.taken = number, 0
        self.taken += 1
        return self.taken <= self.most


LIMITS = {
    "Workato": (400, Bucket, {"rate": 20, "size": 20}),
    "Make": (400, Interval, {"most": 300, "seconds": 10}),
    "one a second": (130, Bucket, {"rate": 1, "size": 1}),
    "60 a minute": (130, Interval, {"most": 60, "seconds": 60}),
}


@pytest.mark.parametrize(
    "limit, schedule, headers",
    [
        ("Workato", "standard", {}),
        ("Make", "skillable", {}),
        ("one a second", "none", {}),
        ("60 a minute", "none", {"retry-after": "1"}),
    ],
)
def test_a_platform_that_limits_the_rate_of_requests_gets_each_event_without_a_pause(
    simulate, clock, heard, limit, headers, schedule
):
    number, kind, values = LIMITS[limit]
    webhook = subscribed(happened=number, schedule=schedule)
    platform, answers = kind(clock, **values), []

    def receive(_request):
        answers.append(200 if platform.takes() else 429)
        return 0.1, answer(answers[-1], headers=headers if answers[-1] == 429 else {})

    simulate(receive).run(seconds=300)

    webhook.state.refresh_from_db()
    assert answers.count(200) == webhook.deliveries.filter(status="delivered").count() == number
    assert (webhook.state.pauses, webhook.state.failing_since, heard) == (0, None, [])


def test_a_429_holds_a_webhook_for_a_second_in_the_two_minutes_after_a_success_and_is_a_failure_later(
    alice, due, wire, clock
):
    webhook = subscribed(schedule="none", max_in_flight=1)
    due(webhook, 1)
    alice.work()
    wire.otherwise = 429

    states = []
    for seconds in (119.9, 0.1):
        clock.advance(seconds=seconds)
        write(webhook, held_until=None)
        (delivery,) = due(webhook, 1)
        alice.write(alice.send(alice.claim()[0]))
        held_until, failures = stored(webhook.state, "held_until", "failures")
        states.append((held_until and held_until - clock.now, failures, *stored(delivery, "status", "charged")))

    assert states == [(timedelta(seconds=1), 0, "waiting", 0), (None, 1, "exhausted", 1)]


def test_a_429_that_is_recorded_with_the_first_success_holds_the_webhook(alice, due, wire):
    webhook = subscribed(schedule="none")
    due(webhook, 2)
    wire.answers = [200, 429]
    results = [alice.send(request) for request in alice.claim()]

    alice.write(*results)

    assert set(webhook.deliveries.values_list("status", "charged")) == {("delivered", 1), ("waiting", 0)}


def test_a_429_that_asks_to_be_disabled_disables_the_webhook(alice, due, wire):
    webhook = subscribed()
    due(webhook, 2)
    wire.answers = [200, answer(429, {"webhook-delivery": "disable"})]
    for request in alice.claim():
        alice.write(alice.send(request))

    assert stored(webhook, "disabled_reason") == "receiver_requested"
