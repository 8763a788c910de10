"""What it costs to compare many rows with what was told of them, and what remembering adds to a captured save."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from tests.bench import place

ROWS = int(os.environ.get("TMS_BENCH_ROWS", "100000"))
CHANGED = 1_000
SAVES = 1_000


def run(*, db: str, rounds: int) -> dict[str, Any]:
    """Return how long the first pass takes, one that finds nothing and one that finds a few, and both kinds of saves."""
    with place.database(db) as url:
        environment = {**os.environ, "TMS_DATABASE": url, "DJANGO_SETTINGS_MODULE": "tests.bench.settings"}
        counts = map(str, (ROWS, CHANGED, SAVES, rounds))
        command = [sys.executable, "-m", "tests.bench.comparing", *counts]
        done = subprocess.run(command, cwd=place.ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    figures: dict[str, list[float]] = json.loads(done.stdout.splitlines()[-1])
    ratios = [one / other for one, other in zip(figures["kept_us"], figures["saved_us"], strict=True)]
    return {
        "first_seconds": place.middle(figures["first"], 1),
        "nothing_seconds": place.middle(figures["nothing"], 2),
        "nothing_us_per_row": place.middle([seconds / ROWS * 1e6 for seconds in figures["nothing"]], 1),
        "changed_seconds": place.middle(figures["changed"], 2),
        "peak_mib": place.middle(figures["peak_mib"], 1),
        "bytes_per_row": place.middle(figures["bytes"], 0),
        "save_us": place.middle(figures["saved_us"], 0),
        "save_and_remember_us": place.middle(figures["kept_us"], 0),
        "ratio_of_saves": place.middle(ratios, 3),
    }
