"""The cost of comparing many rows with their last recorded states, and what recording the state adds to a captured save."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from tests.bench import environment

ROWS = int(os.environ.get("TMS_BENCH_ROWS", "100000"))
CHANGED = 1_000
SAVES = 1_000


def run(*, db: str, rounds: int) -> dict[str, Any]:
    """Return how long the first pass takes, one that finds nothing and one that finds a few, and both kinds of saves."""
    with environment.database(db) as url:
        variables = {**os.environ, "TMS_DATABASE": url, "DJANGO_SETTINGS_MODULE": "tests.bench.settings"}
        counts = map(str, (ROWS, CHANGED, SAVES, rounds))
        command = [sys.executable, "-m", "tests.bench.comparing", *counts]
        done = subprocess.run(
            command, cwd=environment.ROOT, env=variables, stdout=subprocess.PIPE, text=True, check=True
        )
    figures: dict[str, list[float]] = json.loads(done.stdout.splitlines()[-1])
    ratios = [one / other for one, other in zip(figures["kept_us"], figures["saved_us"], strict=True)]
    return {
        "first_seconds": environment.middle(figures["first"], 1),
        "nothing_seconds": environment.middle(figures["nothing"], 2),
        "nothing_us_per_row": environment.middle([seconds / ROWS * 1e6 for seconds in figures["nothing"]], 1),
        "changed_seconds": environment.middle(figures["changed"], 2),
        "peak_mib": environment.middle(figures["peak_mib"], 1),
        "bytes_per_row": environment.middle(figures["bytes"], 0),
        "save_us": environment.middle(figures["saved_us"], 0),
        "save_and_remember_us": environment.middle(figures["kept_us"], 0),
        "ratio_of_saves": environment.middle(ratios, 3),
    }
