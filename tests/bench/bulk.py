"""The cost of bulk changes compared with the same number of saves: seconds, and memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from tests.bench import environment

ROWS = 10_000
SAVES = 1_000
"""Each way in a round: the saves are fewer and counted up, because they take so long."""


def run(*, db: str, rounds: int) -> dict[str, Any]:
    """Return the medians of ``update()`` on ten thousand rows, with and without webhooks, and of as many saves."""
    with environment.database(db) as url:
        variables = {**os.environ, "TMS_DATABASE": url, "DJANGO_SETTINGS_MODULE": "tests.bench.settings"}
        command = [sys.executable, "-m", "tests.bench.updates", str(ROWS), str(SAVES), str(rounds)]
        done = subprocess.run(
            command, cwd=environment.ROOT, env=variables, stdout=subprocess.PIPE, text=True, check=True
        )
    figures: dict[str, list[float]] = json.loads(done.stdout.splitlines()[-1])
    ratios = [one / other for one, other in zip(figures["update"], figures["saves"], strict=True)]
    return {
        **{
            f"{name}_seconds": environment.middle(figures[name], 3)
            for name in ("saves", "update", "unsubscribed", "bare", "insert")
        },
        "update_us_per_row": environment.middle([seconds / ROWS * 1e6 for seconds in figures["update"]], 1),
        "peak_mib": environment.middle(figures["peak_mib"], 1),
        # Round by round, because both sides of a round saw the same neighbors on the machine.
        "ratio_to_saves": environment.middle(ratios, 3),
    }
