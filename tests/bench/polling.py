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


def run(*, db: str, rounds: int) -> dict[str, Any]:
    """Measure one minute of both; return the figures of each, and how often the ones of polling are those of webhooks."""
    with environment.database(db) as url:
        keys = environment.figures("customers", "fill", CUSTOMERS, url=url, port=0)
        polling = _poll(url, keys)
    notes = environment.Notes()
    with environment.database(db) as url, environment.receiver(notes=notes) as port:
        environment.figures("customers", "fill", CUSTOMERS, url=url, port=port)
        environment.figures("customers", "subscribe", url=url, port=port)
        done, drained = _deliver(url, port)
    delays = [(notes.arrivals[name] - moment) * 1000 for name, moment in done["events"].items()]
    webhooks = _report(len(notes.arrivals), done, drained, delays, found=len(notes.arrivals))
    return {
        "customers": CUSTOMERS,
        "requests_of_a_poll": len(REQUESTS),
        "changes": len(done["changes"]),
        "polling": polling,
        "webhooks": webhooks,
        **{f"ratio_{name}": round(polling[name] / webhooks[name], 2) for name in ("requests", "database_ms", "cpu_ms")},
    }


def _poll(url: str, keys: list[str]) -> dict[str, Any]:
    """Poll for two minutes, so that the changes of the first one are all seen; the figures are those of the first one."""
    with _metered("serve", url, 0) as (server, notes):
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
    figures = difference(notes[1], notes[0])
    delays = [(seen["seen"][name] - moment) * 1000 for name, moment in done["changes"].items()]
    report = _report(int(figures["requests"]), done, figures, delays, found=seen["found"])
    return {**report, "late_ms": round(seen["latest"] * 1000)}


def _deliver(url: str, port: int) -> tuple[dict[str, Any], dict[str, float]]:
    """Deliver for a minute; return the changes and the figures of the drain."""
    with _metered("drain", url, port) as (drain, notes):
        environment.figures("stamps", "attended", url=url, port=port)
        done = _change(url, port, drain, time.monotonic() + STARTING)
        environment.figures("stamps", "settled", url=url, port=port)
    return done, difference(notes[1], notes[0])


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
    requests: int, done: Mapping[str, Any], figures: Mapping[str, float], delays: list[float], *, found: int
) -> dict[str, Any]:
    """Return the figures of a minute. Those of the changes themselves are included, and also given on their own."""
    changing = done["figures"]
    return {
        "requests": requests,
        "with_news": found,
        "statements": int(figures["statements"] + changing["statements"]),
        "database_ms": round(figures["database_ms"] + changing["database_ms"]),
        "cpu_ms": round(figures["cpu_ms"] + changing["cpu_ms"]),
        "changes_database_ms": round(changing["database_ms"]),
        "changes_cpu_ms": round(changing["cpu_ms"]),
        "delay_p50_ms": environment.middle(delays, 1),
        "delay_p95_ms": round(environment.percentile(delays, 0.95), 1),
    }
