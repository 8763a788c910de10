"""``python -m tests.bench NAME`` runs one benchmark; ``python -m tests.bench all --write PAGE`` writes the page of all."""

from __future__ import annotations

import argparse
import json
import os
import signal
from pathlib import Path

from tests.bench import environment, page, suite
from tests.bench.figures import DATABASES


def main():
    """Parse the command line, run, and print."""
    options = _parser().parse_args()
    # The ports of the receivers that are running, and no others.
    os.environ.pop("TMS_DEMO_PORTS", None)
    # Each of them ends the processes and drops the databases, also where a script has started this in its background.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    if options.scale:
        # The benchmarks' modules read it when they are imported, which happens later, and their processes have it as well.
        os.environ["TMS_BENCH_SCALE"] = str(options.scale)
    if options.name == "all":
        return _all(options)
    db = "sqlite" if options.db == "both" else options.db
    found = suite.measure(options.name, db=db, rounds=options.rounds)
    for figure in suite.module_of(options.name).FIGURES:
        print(f"{figure.label:90} {figure.cell(db, found[figure.name])}")
    print(json.dumps(found))
    return 0


def _all(options):
    databases = list(DATABASES) if options.db == "both" else [options.db]
    results = suite.run_all(
        options.only or suite.NAMES,
        databases,
        path=options.json,
        rounds=options.rounds,
        allow_dirty=options.dirty,
        resume=options.resume,
    )
    for line in (failed := suite.failures(results)):
        print(f"Failed: {line}")
    if options.write and not failed:
        _write(results, options)
    return 1 if failed else 0


def _write(results, options):
    """Write the page, and its figures next to it. Other pages quote those of a complete run in full size."""
    if (missing := suite.missing(results)) and not options.only:
        raise SystemExit(f"{options.write} was not written. Not measured: {', '.join(missing)}.")
    options.write.write_text(page.render(results), encoding="utf-8")
    options.write.with_suffix(".json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    if not missing and environment.scale() == 1:
        page.quote(results)


def _parser():
    parser = argparse.ArgumentParser(prog="python -m tests.bench")
    parser.add_argument("name", choices=("all", *suite.NAMES, *suite.SINGLE))
    parser.add_argument("--db", choices=(*DATABASES, "both"), default="both", help="a single benchmark has one: SQLite")
    parser.add_argument("--rounds", type=int, help="the most rounds of a benchmark; each has its own number")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="write the page, if no benchmark failed")
    parser.add_argument("--only", nargs="+", choices=suite.NAMES, metavar="NAME", help="run these; the page says so")
    parser.add_argument("--dirty", action="store_true", help="run with uncommitted changes; the page says so")
    parser.add_argument("--resume", action="store_true", help="run those only that the results do not have yet")
    parser.add_argument(
        "--json",
        type=Path,
        metavar="FILE",
        default=environment.ROOT / "build" / "benchmarks.json",
        help="the results so far",
    )
    parser.add_argument(
        "--scale",
        type=float,
        help="try the benchmarks with a share of their sizes, such as 0.01; the page says so",
    )
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
