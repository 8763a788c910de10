"""How fast a worker delivers, compared with a plain `requests` loop and with the bare transport."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from tests.bench import environment

COUNT = 4_000
WAYS = ("requests", "transport", "drain")
SCENES = {"fast": (0.0, 8), "20ms": (0.02, 64)}
"""Receivers by their response time, each with the number of sender threads for all three ways."""


def run(*, db: str, rounds: int) -> dict[str, Any]:
    """Run each way ``rounds`` times, alternating, and return the medians and the ratios."""
    report: dict[str, Any] = {}
    for scene, (delay, threads) in SCENES.items():
        rates: dict[str, list[float]] = {way: [] for way in WAYS}
        cpu: dict[str, list[float]] = {way: [] for way in WAYS}
        with environment.database(db) as url, environment.receiver(delay) as port:
            _fill(url, port, webhooks=10)
            for _ in range(rounds):
                _fill(url, port, events=COUNT)
                for way in WAYS:
                    figures = _loop(way, url, port, threads)
                    rates[way].append(figures["rate"])
                    cpu[way].append(figures["cpu_us"])
        report[scene] = {
            **{f"{way}_per_second": environment.middle(rates[way], 0) for way in WAYS},
            **{f"{way}_cpu_us": environment.middle(cpu[way], 0) for way in WAYS},
            "ratio_to_requests": _ratio(rates["drain"], rates["requests"]),
            "ratio_to_transport": _ratio(rates["drain"], rates["transport"]),
            "cpu_ratio_to_transport": _ratio(cpu["transport"], cpu["drain"]),
        }
    return {**report["fast"], "with_20ms_receiver": report["20ms"]}


def _ratio(above: list[float], below: list[float]) -> float:
    # Round by round, because both sides of a round saw the same neighbours on the machine.
    return environment.middle([one / other for one, other in zip(above, below, strict=True)])


def _loop(way: str, url: str, port: int, threads: int) -> dict[str, float]:
    command = [sys.executable, "-m", "tests.bench.loops", way, url, str(port), str(COUNT), str(threads)]
    output = subprocess.run(command, cwd=environment.ROOT, check=True, capture_output=True, text=True).stdout
    figures: dict[str, float] = json.loads(output.splitlines()[-1])
    return figures


def _fill(url: str, port: int, *, webhooks: int = 0, events: int = 0) -> None:
    # In another process: this one keeps no connection that a dropped database would wait for.
    code = (
        f"from tests.bench import environment; environment.prepare({url!r}, {port})\n"
        "from tests.bench import world\n"
        "from tms_webhooks.models import Webhook\n"
        f"world.make_webhooks({webhooks}, 'http://127.0.0.1:{port}/hook')\n"
        f"world.write_events(list(Webhook.objects.all()), {events})\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=environment.ROOT, check=True, env=os.environ)
