"""One database of a given depth, in a process of its own: ``python -m tests.bench.depth WAY NUMBER``.

``rows`` makes NUMBER deliveries of a hundred webhooks, half of them finished and half due, and takes from them;
``waiting`` makes NUMBER webhooks that only wait for retries, and one among them that has something due. The last line
is one JSON object.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from time import perf_counter, sleep

import django
from django.utils import timezone

from tests.bench import environment

WEBHOOKS = 100
WAITING_EACH = 20
CLAIMS = 9
SENT = 2_500
LEASE = timedelta(minutes=5)


def rows(number: str) -> dict[str, float]:
    """Measure claims, and a drain, where there are so many deliveries."""
    from tests.bench import world
    from tms_webhooks.conf import app_settings

    now = timezone.now()
    world.make_webhooks(WEBHOOKS, _url())
    events = write_events(int(number) // WEBHOOKS, now)
    middle = events[len(events) // 2]
    # The old ones first, as they come in life: a scan for what is due has to pass them all.
    world.write_deliveries("delivered", now, events=f"< {middle}")
    world.write_deliveries("pending", now, events=f">= {middle}", due_at=now)
    world.analyze()
    figures = {"claim_ms": environment.middle(_claims(now, limit=app_settings.CLAIM_BATCH), 3)}
    for transport in environment.transports():
        use(transport)
        restore(now, since=middle)
        figures[f"{transport}_per_second"] = _throughput()
    return figures


def waiting(number: str) -> dict[str, float]:
    """Measure a poll that finds nothing, and claims for one webhook, where so many others wait."""
    from tests.bench import world
    from tms_webhooks.models import Delivery, Webhook, WebhookSecret
    from tms_webhooks.models.webhook import new_secret

    now = timezone.now()
    (busy,) = world.make_webhooks(1, _url())
    others = [
        Webhook(organization_id=busy.organization_id, name=f"W{count}", url=_url()) for count in range(int(number))
    ]
    others = Webhook.objects.bulk_create(others)
    WebhookSecret.objects.bulk_create([WebhookSecret(webhook=one, value=new_secret()) for one in others])
    write_events(WAITING_EACH, now)
    world.write_deliveries("waiting", now, events="> 0", due_at=now + timedelta(hours=1))
    world.analyze()
    figures = {"idle_look_ms": environment.middle(_idle_polls(now), 3)}
    Delivery.objects.filter(webhook=busy).update(due_at=now)
    return {**figures, "claim_ms": environment.middle(_claims(now, limit=WAITING_EACH // CLAIMS), 3)}


def use(transport: str) -> None:
    """Choose the transport of the drains that this process starts from now on."""
    from django.conf import settings

    settings.TMS_WEBHOOKS = {**settings.TMS_WEBHOOKS, **environment.settings_for(transport)}


def restore(now: datetime, *, since: int) -> None:
    """Make the deliveries of the events from key ``since`` on due again, as if they had never been claimed."""
    from tms_webhooks.models import Delivery, DeliveryAttempt

    claimed = Delivery.objects.filter(event__gte=since).exclude(status="pending")
    DeliveryAttempt.objects.filter(delivery__in=list(claimed.values_list("pk", flat=True)))._raw_delete(using="default")
    claimed.update(status="pending", lease="", due_at=now, finished_at=None, attempts=0, charged=0)


def write_events(count: int, now: datetime) -> list[int]:
    from tests.bench import world
    from tms_webhooks.models import Event, Webhook

    world.write_events(Webhook.objects.order_by("pk")[:1], count)
    Event.objects.update(fanned_out_at=now)
    return list(Event.objects.order_by("pk").values_list("pk", flat=True))


def _claims(now: datetime, *, limit: int) -> list[float]:
    from tms_webhooks.models import Delivery
    from tms_webhooks.worker.claim import Claimer

    claimer = Claimer("bench")

    def take() -> None:
        assert claimer.claim(now=now, until=now + LEASE, limit=limit).requests

    times = []
    for _ in range(CLAIMS):
        times.append(_timed(take))
        # So that the next one goes on where this one ended, as in life.
        Delivery.objects.filter(lease="bench").update(status="delivered", lease="", due_at=None, finished_at=now)
    return times


def _idle_polls(now: datetime) -> list[float]:
    from tms_webhooks.outbox.fanout import fan_out
    from tms_webhooks.worker.claim import Claimer, next_due_at

    claimer = Claimer("idle")

    def poll() -> None:
        assert not fan_out(now)
        assert not claimer.claim(now=now, until=now + LEASE, limit=1).requests
        assert next_due_at(now)

    return [_timed(poll) for _ in range(CLAIMS)]


def _throughput() -> float:
    """Return how many a drain delivers in a second, from its start to the first few thousand."""
    from tms_webhooks.outbox.fanout import fan_out
    from tms_webhooks.worker.drain import Drain

    drain, stop, start = Drain(fan_out=fan_out), threading.Event(), perf_counter()
    taken: list[float] = []

    def watch() -> None:
        while drain.tally.sent < SENT:
            sleep(0.005)
        taken.append(drain.tally.sent / (perf_counter() - start))
        stop.set()

    threading.Thread(target=watch, daemon=True).start()
    drain.run(seconds=60, stop=stop)
    assert taken, f"only {drain.tally.sent} of {SENT} were sent in a minute"
    return taken[0]


def _timed(work: Callable[[], object]) -> float:
    start = perf_counter()
    work()
    return (perf_counter() - start) * 1000


def _url() -> str:
    return f"http://127.0.0.1:{os.environ['TMS_DEMO_PORTS']}/hook"


WAYS = {way.__name__: way for way in (rows, waiting)}

if __name__ == "__main__":
    django.setup()
    print(json.dumps(WAYS[sys.argv[1]](*sys.argv[2:])))
