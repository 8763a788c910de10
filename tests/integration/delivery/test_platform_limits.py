"""A platform that takes a number of requests a second, and answers 429 to others, gets each event without a pause.

Workato takes 20 a second, from a bucket that fills steadily: https://docs.workato.com/troubleshooting/webhook-gateway-limits.
Make takes 300 in an interval of 10 seconds: https://help.make.com/webhooks.
"""

import pytest

from tests.integration.delivery.rows import subscribed
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


WORKATO = {"rate": 20, "size": 20}
MAKE = {"most": 300, "seconds": 10}


@pytest.mark.parametrize("seconds", [0.02, 0.1])
@pytest.mark.parametrize("headers", [{}, {"retry-after": "1"}], ids=["without Retry-After", "with Retry-After"])
@pytest.mark.parametrize("limit, values", [(Bucket, WORKATO), (Interval, MAKE)], ids=["Workato", "Make"])
def test_a_platform_that_takes_20_requests_a_second_gets_each_event_without_a_pause(
    simulate, clock, heard, limit, values, headers, seconds
):
    webhook = subscribed(happened=400)
    platform, answers = limit(clock, **values), []

    def receive(_request):
        answers.append(200 if platform.takes() else 429)
        return seconds, answer(answers[-1], headers=headers if answers[-1] == 429 else {})

    simulate(receive).run(seconds=600)

    webhook.state.refresh_from_db()
    assert answers.count(200) == webhook.deliveries.filter(status="delivered").count() == 400
    assert (webhook.state.pauses, webhook.state.failing_since, heard) == (0, None, [])


def test_a_429_pauses_the_webhook_15_seconds_after_the_last_success(alice, due, wire, clock):
    webhook = subscribed()
    due(webhook, 1)
    alice.work()
    wire.otherwise = 429
    paused = []
    for seconds in (14.9, 0.1):
        clock.advance(seconds=seconds)
        due(webhook, 4)
        alice.work()
        webhook.state.refresh_from_db()
        paused.append(webhook.state.paused_until is not None)

    assert paused == [False, True]
