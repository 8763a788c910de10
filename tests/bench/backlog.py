"""What a claim costs, and how fast a drain is, with a long history and a long backlog."""

from __future__ import annotations

import os
import threading
from datetime import timedelta
from statistics import median
from time import perf_counter, sleep

from django.utils import timezone

from tests.bench import environment
from tests.bench.environment import ratios, sized
from tests.bench.figures import Figure

ROUNDS = 3
TIMEOUT = 400
FEW, MANY = sized(10_000, least=10_000), sized(1_000_000, least=20_000)
WEBHOOKS = 100
CLAIMS = 9
"""In a round."""
SENT = sized(2_500, least=200)
LEASE = timedelta(minutes=5)

FIGURES = (
    Figure("claim", f"a claim of a batch, with {MANY:,} deliveries", "ms"),
    Figure("claim_ratio", f"the same, divided by one with {FEW:,} deliveries", at_most=1.5),
    Figure("rate", f"a drain with {MANY:,} deliveries", "/s"),
    Figure("rate_ratio", f"the same, divided by its rate with {FEW:,} deliveries"),
)


def run(*, db, rounds):
    """Measure in a fresh database for each depth."""
    few, many = (_measured(db, size, rounds) for size in (FEW, MANY))
    return {
        "claim": many["claim"],
        "claim_ratio": ratios(many["claim"], few["claim"]),
        "rate": many["rate"],
        "rate_ratio": ratios(many["rate"], few["rate"]),
    }


def _measured(db, size, rounds):
    with environment.database(db), environment.receiver():
        return environment.figures("backlog", "measure", size, rounds)


def measure(size, rounds):
    """Make so many deliveries of a hundred webhooks, half of them finished and half due, and claim and send some of them."""
    from tests.bench import world
    from tms_webhooks.models import Event

    now = timezone.now()
    world.make_webhooks(WEBHOOKS, f"http://127.0.0.1:{os.environ['TMS_DEMO_PORTS']}/hook")
    events = world.write_fanned_out(size // WEBHOOKS, now)
    middle = events[len(events) // 2]
    # The old ones first, as they come in life: a scan for due deliveries has to pass them all.
    world.write_deliveries("delivered", now, events=f"< {middle}")
    world.write_deliveries("pending", now, events=f">= {middle}", due_at=now)
    assert Event.objects.filter(pk__gte=middle).count() * WEBHOOKS > SENT
    world.analyze()
    found = {"claim": [], "rate": []}
    for _ in range(rounds):
        found["claim"].append(_claim(now))
        restore(now, since=middle)
        found["rate"].append(_rate())
        restore(now, since=middle)
    return found


def restore(now, *, since):
    """Make the deliveries of the events from key ``since`` on due again, as if they had never been claimed."""
    from tms_webhooks.models import Delivery, DeliveryAttempt

    claimed = Delivery.objects.filter(event__gte=since).exclude(status="pending")
    DeliveryAttempt.objects.filter(delivery__in=list(claimed.values_list("pk", flat=True)))._raw_delete(using="default")
    claimed.update(status="pending", due_at=now, finished_at=None, attempts=0, charged=0)


def _claim(now):
    """Return the median milliseconds of a claim."""
    from tms_webhooks.models import Delivery
    from tms_webhooks.outbox.fanout import fan_out
    from tms_webhooks.worker.drain import Drain

    drain = Drain(fan_out=fan_out, clock=lambda: now)
    queues, times = drain._queues, []
    drain._lease_free()
    for _ in range(CLAIMS):
        start = perf_counter()
        assert drain._read()
        times.append((perf_counter() - start) * 1000)
        # So that the next one goes on where this one ended, as in life.
        read = {pk for queue in queues._queues.values() for pk in queue.held}
        Delivery.objects.filter(pk__in=read).update(status="delivered", due_at=None, finished_at=now)
        for queue in queues._queues.values():
            queue.clear()
        queues.expect_more(queues.keys)
    drain._close()
    return median(times)


def _rate():
    """Return how many a drain delivers in a second, from its start to the first few thousand."""
    from tms_webhooks.outbox.fanout import fan_out
    from tms_webhooks.worker.drain import Drain

    drain, stop, start = Drain(fan_out=fan_out), threading.Event(), perf_counter()
    taken = []

    def watch():
        while drain.tally.sent < SENT:
            sleep(0.005)
        taken.append(drain.tally.sent / (perf_counter() - start))
        stop.set()

    threading.Thread(target=watch, daemon=True).start()
    drain.run(seconds=60, stop=stop)
    assert taken, f"only {drain.tally.sent} of {SENT} were sent in a minute"
    return taken[0]
