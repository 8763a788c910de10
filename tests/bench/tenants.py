"""How long an organization's events wait because of another organization, all of whose receivers are slow."""

from __future__ import annotations

import time
from contextlib import ExitStack
from operator import itemgetter

from tests.bench import environment, neighbors
from tests.bench.environment import TRANSPORTS, lasting, sized
from tests.bench.figures import Figure
from tests.bench.supply import Group, fill

ROUNDS = 1
"""A round takes a minute, so more are not made."""
TIMEOUT = 400
WEBHOOKS = sized(300)
"""Of the slow organization."""
EVENTS = 40
"""That are due for each of its webhooks at the beginning; one more comes each second."""
WEBHOOK_TIMEOUT = 30
SLOW = (lasting(14.0), lasting(28.0))
"""Seconds until the receivers of the slow organization answer 204. Each has half of the webhooks."""
INTERVAL = 0.5
COMMITS = sized(64)
"""Events of the measured organization, one per interval. With fewer, p95 would be the first event, which meets a cold drain."""
WARM_UP = 2.0
"""Seconds that the other organization has for itself."""
PATIENCE = 15.0
"""Seconds for which the last events may arrive. An event that hasn't by then counts with the time that it has waited."""
TARGETS = {"curl": 50, "threads": 500}
FIGURES = tuple(
    Figure(
        f"{way}_added",
        f"next to another organization with {WEBHOOKS} slow webhooks, {title}: what that adds to p95",
        "ms",
        at_most=TARGETS[way],
    )
    for way, title in TRANSPORTS.items()
)


def run(*, db, rounds):
    """Measure each transport, first without the slow organization and then with it."""
    return {f"{way}_added": [added(db, way, _slow) for _ in range(rounds)] for way in TRANSPORTS}


def added(db, way, others):
    """Return the milliseconds that another organization adds to p95 of an event's way to its receiver."""
    with environment.database(db):
        alone = _p95(way, lambda _stack: [])
        return _p95(way, others) - alone


def _slow(stack):
    """Return the webhooks of the slow organization. An event of it is for the webhooks of both halves."""
    ports = [stack.enter_context(environment.receiver(delay, status=204)) for delay in SLOW]
    half = {"organization": "other", "fields": {"timeout_seconds": WEBHOOK_TIMEOUT}}
    return [Group(port, WEBHOOKS // 2, EVENTS if port == ports[-1] else 0, **half) for port in ports]


def _p95(way, others):
    """Return p95 of the milliseconds from an event's commit to its receiver."""
    notes = environment.Notes()
    with environment.receiver(notes=notes) as port, ExitStack() as stack:
        groups = others(stack)
        fill(Group(port), *groups)
        environ = environment.using(way)
        with environment.managed("webhooks_drain", **environ):
            stamps, end = environment.figures("tenants", "commit", COMMITS, bool(groups), **environ)
            # Otherwise the drain would wait for its answers before it ends.
            stack.close()
    times = [(min(notes.arrivals.get(key, end), end) - stamp) * 1000 for key, stamp in stamps.items()]
    return environment.percentile(times, 0.95)


def commit(count, both):
    """Commit events for the first webhook, one per interval, and with ``both`` one a second for the other organization.

    Return when each of the first webhook's was committed, by its public id, and when waiting for them ended.
    """
    from tms_webhooks.models import Delivery, Event, Webhook

    webhook, *others = list(Webhook.objects.existing().order_by("pk")[: 2 if both else 1])
    neighbors.wait_for_drain()
    time.sleep(WARM_UP)
    plan = [(number * INTERVAL, webhook) for number in range(count)]
    plan += [((number + 0.5) * INTERVAL, other) for number in range(1, count, 2) for other in others]
    stamps = neighbors.write_steadily(sorted(plan, key=itemgetter(0)))[webhook]
    end = time.monotonic() + PATIENCE
    due = Event.objects.to_fan_out().filter(organization=webhook.organization)
    open_ones = Delivery.objects.open().filter(webhook=webhook)
    while (due.exists() or open_ones.exists()) and time.monotonic() < end:
        time.sleep(0.05)
    return stamps, time.monotonic()
