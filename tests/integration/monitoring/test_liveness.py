"""Liveness: how many drains run, and when the last one stopped."""

from datetime import timedelta

import pytest

from tms_webhooks.models import DrainSlot
from tms_webhooks.monitoring.liveness import read_liveness


@pytest.mark.parametrize(
    "slots, drains, gone",
    [
        ([], 0, None),
        ([("drain", 5)], 1, 0.0),
        ([("drain", 5), ("other", 3), ("", -50)], 2, 0.0),
        ([("", -50), ("killed", -20)], 0, 20.0),
        # Given up by a process whose clock is ahead.
        ([("", 4)], 0, 0.0),
    ],
)
def test_how_long_ago_a_drain_held_a_slot(clock, slots, drains, gone):
    for number, (owner, seconds) in enumerate(slots, start=1):
        DrainSlot.objects.create(number=number, owner=owner, held_until=clock.now + timedelta(seconds=seconds))

    found = read_liveness(now=clock.now)

    assert (found.drains, found.drain_gone_seconds) == (drains, gone)
