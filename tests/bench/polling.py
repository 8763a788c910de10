"""The same customers and changes twice: customers who poll each minute, and customers with webhooks."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from tests.bench import environment
from tests.bench.metered import difference
from tests.bench.pollers import REQUESTS

CUSTOMERS = 120
MINUTE = 60.0
STARTING = 4.0
"""Seconds until the processes of a run have started."""
IDLE = 10.0
"""Seconds for which the idle drain is measured."""


def run(*, db: str, rounds: int) -> dict[str, Any]:
    """Measure one minute of both; return the figures of each, and the number of changes at which both cost the same."""
    with environment.database(db) as url:
        keys = environment.figures("customers", "fill", CUSTOMERS, url=url, port=0)
        polling = _poll(url, keys)
    with environment.database(db) as url:
        webhooks = _deliver(url)
    return {
        "customers": CUSTOMERS,
        "requests_of_a_poll": len(REQUESTS),
        "changes": CUSTOMERS,
        "polling": polling,
        "webhooks": webhooks,
        "equal_at_changes_an_hour": {name: _break_even(polling, webhooks, name) for name in ("database_ms", "cpu_ms")},
    }


def _break_even(polling: Mapping[str, Any], webhooks: Mapping[str, Any], name: str) -> int | None:
    """Return the changes of a customer in an hour for which webhooks need as much as polling; with fewer, they need less.

    Return None if the changes took longer during the polls than with webhooks, as on a busy machine.
    """
    idle = webhooks["idle"][name]
    # The changes themselves cost something in both; webhooks add their events.
    per_change = (webhooks[name] - idle - polling["changes"][name]) / CUSTOMERS
    spent_on_polls = polling[name] - polling["changes"][name]
    return round((spent_on_polls - idle) / CUSTOMERS / per_change * 60) if per_change > 0 else None


def _poll(url: str, keys: list[str]) -> dict[str, Any]:
    """Poll for two minutes, so that the changes of the first one are all seen; the figures are those of the first one."""
    with _metered("serve", url, 0) as (server, meters):
        assert server.stdout is not None
        port = server.stdout.readline().strip()
        start = time.monotonic() + STARTING
        times = [str(start), str(2 * MINUTE), str(MINUTE)]
        command = [sys.executable, "-m", "tests.bench.pollers", *times, port]
        with subprocess.Popen(
            command, cwd=environment.ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as pollers:
            assert pollers.stdin is not None
            pollers.stdin.write(json.dumps(keys))
            pollers.stdin.close()
            done = _change(url, 0, server, start)
            assert pollers.stdout is not None
            seen = json.loads(pollers.stdout.read())
    figures = difference(meters[1], meters[0])
    delays = [(seen["seen"][name] - moment) * 1000 for name, moment in done["changes"].items()]
    report = _report(int(figures["requests"]), done, figures, delays)
    return {**report, "latest_poll_ms": round(seen["latest"] * 1000)}


def _deliver(url: str) -> dict[str, Any]:
    """Deliver for a minute, and then let the drain be idle."""
    notes = environment.Notes()
    with environment.receiver(notes=notes) as port:
        environment.figures("customers", "fill", CUSTOMERS, url=url, port=port)
        environment.figures("customers", "subscribe", url=url, port=port)
        with _metered("drain", url, port) as (drain, meters):
            environment.figures("stamps", "attended", url=url, port=port)
            done = _change(url, port, drain, time.monotonic() + STARTING)
            environment.figures("stamps", "settled", url=url, port=port)
            for pause in (0.0, IDLE):
                time.sleep(pause)
                drain.send_signal(signal.SIGUSR1)
            time.sleep(1.0)
    delays = [(notes.arrivals[name] - moment) * 1000 for name, moment in done["events"].items()]
    idle = difference(meters[3], meters[2])
    report = _report(len(notes.arrivals), done, difference(meters[1], meters[0]), delays)
    return {**report, "idle": {name: round(idle[name] * MINUTE / IDLE) for name in ("database_ms", "cpu_ms")}}


def _change(url: str, port: int, process: subprocess.Popen[str], start: float) -> dict[str, Any]:
    """Make the changes in the minute after ``start``, at whose beginning and end the process notes its figures."""
    command = [sys.executable, "-m", "tests.bench.customers", "change", str(start), str(MINUTE)]
    with subprocess.Popen(
        command, cwd=environment.ROOT, env=environment.variables(url, port), stdout=subprocess.PIPE, text=True
    ) as changes:
        for moment in (start, start + MINUTE):
            time.sleep(max(0.0, moment - time.monotonic()))
            process.send_signal(signal.SIGUSR1)
        assert changes.stdout is not None
        printed = changes.stdout.read()
    done: dict[str, Any] = json.loads(printed.splitlines()[-1])
    return done


@contextmanager
def _metered(way: str, url: str, port: int) -> Iterator[tuple[subprocess.Popen[str], list[dict[str, float]]]]:
    """Keep `tests.bench.metered` running; its notes are there at the end."""
    notes: list[dict[str, float]] = []
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.metered", way],
        cwd=environment.ROOT,
        env=environment.variables(url, port),
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process, notes
        process.terminate()
        printed, _none = process.communicate(timeout=environment.ENDING)
        notes += json.loads(printed.splitlines()[-1])
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def _report(
    requests: int, done: Mapping[str, Any], figures: Mapping[str, float], delays: list[float]
) -> dict[str, Any]:
    """Return the figures of a minute. Those of the process that makes the changes are included, and given on their own."""
    changes = {name: round(done["figures"][name]) for name in ("statements", "database_ms", "cpu_ms")}
    return {
        "requests": requests,
        **{name: round(figures[name]) + value for name, value in changes.items()},
        "changes": changes,
        "delay_p50_ms": environment.middle(delays, 1),
        "delay_p95_ms": round(environment.percentile(delays, 0.95), 1),
    }
