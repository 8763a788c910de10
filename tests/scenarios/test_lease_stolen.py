"""Two workers want the same: one sleeps beyond its leases, as on a machine that is suspended, or both start at once."""

import os
import signal
import threading
import time

import pytest

from tests.patience import PATIENCE
from tests.receiver import Answer
from tests.scenarios.answers import held
from tests.scenarios.outcome import came, fill
from tests.scenarios.processes import stop
from tms_webhooks.models import Delivery, DeliveryAttempt, Webhook

pytestmark = pytest.mark.slow

# What the sleeper is answered, and what the other one: one of the two deliveries fails for each of them.
SLEEPER = {"/first": 500, "/second": 200}
OTHER = {"/first": 200, "/second": 500}
STOPPED = float(os.environ.get("TMS_SCENARIO_STOPPED", "0"))
"""Seconds for which the sleeper is stopped: 0, or more than the timeout of a request."""
RETRY_LATER = {"RETRY_DELAYS_SECONDS": [3600], "RETRY_JITTER": 0}


def states(tables):
    """All that a result may change: the deliveries, in the order of their webhooks, and how the webhooks fare."""
    deliveries = Delivery.objects.using(tables.using).order_by("webhook")
    webhooks = Webhook.objects.using(tables.using).order_by("pk")
    columns = ("webhook__url", "status", "attempts", "charged", "due_at", "finished_at", "error_class")
    return list(deliveries.values_list(*columns)), list(
        webhooks.values_list("state__failures", "enabled", "state__paused_until")
    )


def test_a_worker_that_wakes_up_late_writes_down_a_late_attempt_and_changes_nothing(receiver, processes, tables):
    fill(processes, receiver, 1)
    gate = threading.Event()
    receiver.respond = lambda request: (
        held(gate, status=SLEEPER[request.path]) if len(receiver.received) <= 2 else Answer(status=OTHER[request.path])
    )

    # Its heartbeat comes when it wakes up, and nothing else of its writes: stopped in the middle, it would hold a lock.
    with processes.but(**RETRY_LATER, **{"worker.leases.RENEWED_EVERY": 1.2}).drain("--no-timer") as sleeper:
        receiver.wait_for(2, seconds=PATIENCE)
        sleeper.send_signal(signal.SIGSTOP)
        stopped_at = time.monotonic()
        with processes.but(**RETRY_LATER).drain() as other:
            tables.wait_for({"delivered": 1, "waiting": 1})
            tables.wait_until(lambda: time.monotonic() - stopped_at >= STOPPED)
            stop(other)
        before = states(tables)

        gate.set()
        sleeper.send_signal(signal.SIGCONT)
        tables.wait_until(lambda: len(tables.outcome()["attempts"]) == 4)
        tally = stop(sleeper)

    assert tally["sent"] == 2
    assert states(tables) == before
    deliveries, webhooks = before
    assert [(url[-6:], status, attempts) for url, status, attempts, *_ in deliveries] == [
        ("/first", "delivered", 1),
        ("second", "waiting", 1),
    ]
    assert [failures for failures, *_ in webhooks] == [0, 1]
    first, second = Delivery.objects.using(tables.using).order_by("webhook").values_list("pk", flat=True)
    log = DeliveryAttempt.objects.using(tables.using).values_list(
        "delivery", "number", "status_code", "charged", "next_delay"
    )
    assert set(log) == {
        (first, 1, 200, True, None),
        (second, 1, 500, True, 3600.0),
        # Stopped for longer than the timeout, it finds both requests too late.
        (first, None, None if STOPPED else 500, False, None),
        (second, None, None if STOPPED else 200, False, None),
    }
    assert came(receiver).most_common()[-1][1] == 2
