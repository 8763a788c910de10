"""``python -m tests.bench NAME --db sqlite|postgres --json``: run one measurement; the last line is one JSON object."""

from __future__ import annotations

import argparse
import importlib
import json
import platform
from typing import Any

NAMES = (
    "throughput",
    "slow",
    "one",
    "tenants",
    "ordered",
    "latency",
    "producer",
    "fairness",
    "backlog",
    "memory",
    "bulk",
    "reconcile",
    "snapshot",
    "log",
    "api",
    "matching",
    "prune",
    "polling",
    "django_package",
)


def main() -> None:
    """Parse the command line, run, and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench")
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("--db", choices=("sqlite", "postgres"), default="sqlite")
    parser.add_argument("--rounds", type=int, default=5, help="medians are taken over so many rounds")
    parser.add_argument("--all", action="store_true", help="also the variants of a measurement")
    parser.add_argument("--json", action="store_true", help="print nothing but the JSON object")
    options = parser.parse_args()
    module = importlib.import_module(f"tests.bench.{options.name}")
    extra: dict[str, Any] = {"variants": True} if options.all else {}
    report = {
        "bench": options.name,
        "db": options.db,
        "python": platform.python_version(),
        "rounds": options.rounds,
        **module.run(db=options.db, rounds=options.rounds, **extra),
    }
    if not options.json:
        for name, value in report.items():
            print(f"{name:28} {value}")
    print(json.dumps(report))


if __name__ == "__main__":
    main()
