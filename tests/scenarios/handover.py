"""``python -m tests.scenarios.handover NUMBER``: short drains, one after the other, until so many of them have sent something.

Each is a drain of its own, so it takes its webhooks over from another one. It prints how many requests they sent together.
"""

import sys
from random import Random

import django

SHORTEST, LONGEST = 0.005, 0.05
"""Seconds of a drain."""


def hand_over(number):
    """Run them; return how many requests they sent."""
    from tms_webhooks.outbox.fanout import fan_out
    from tms_webhooks.worker.drain import Drain

    random, sent = Random(number), 0
    while number > 0:
        tally = Drain(fan_out=fan_out).run(seconds=random.uniform(SHORTEST, LONGEST))
        sent += tally.sent
        number -= tally.sent > 0
    return sent


if __name__ == "__main__":
    django.setup()
    print(hand_over(int(sys.argv[1])))  # noqa: T201
