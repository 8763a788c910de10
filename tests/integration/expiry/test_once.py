"""Each assignment is recorded once in a window, whose ends are excluded, and once when it has expired."""

from __future__ import annotations

import pytest

from tests.integration.expiry.assignments import (
    DAY,
    EXPIRED,
    EXPIRING,
    HOUR,
    INSTANT,
    MINUTE,
    NOW,
    ZERO,
    assign,
    play,
    recorded,
    subscribed_organization,
)
from tms_webhooks.models import Occurrence


@pytest.mark.parametrize(
    ("event_types", "expires", "scans", "counts"),
    [
        pytest.param([EXPIRING], 6 * DAY, [n * HOUR for n in range(0, 150, 5)], [1] + [0] * 29, id="through a window"),
        pytest.param([EXPIRED], MINUTE, [n * MINUTE for n in range(12)], [0, 1] + [0] * 10, id="past its date"),
        pytest.param([EXPIRING, EXPIRED], 6 * DAY, [n * DAY for n in range(10)], [1, *[0] * 5, 1, 0, 0, 0], id="both"),
        pytest.param([EXPIRING], 7 * DAY, [ZERO, INSTANT], [0, 1], id="after the upper end is reached"),
        pytest.param([EXPIRED], DAY, [ZERO, DAY - INSTANT, DAY], [0, 0, 1], id="at the very moment of its date"),
        pytest.param([EXPIRING, EXPIRED], ZERO, [-10 * DAY, ZERO], [0, 1], id="expired, and not expiring"),
    ],
)
def test_an_assignment_is_recorded_once(event_types, expires, scans, counts):
    assignment = assign(subscribed_organization(*event_types), expires_at=NOW + expires)

    assert play(assignment, *scans) == counts
    kinds = ["expired"] if expires == ZERO else [one.rpartition(".")[2] for one in event_types]
    assert recorded() == [(kind, assignment.pk) for kind in kinds]
    assert {one.deadline for one in Occurrence.objects.all()} == {assignment.expires_at}
