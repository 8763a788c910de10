"""The benchmarks of the page, one after the other, in one run at one commit: see `python -m tests.bench all --help`."""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from importlib import import_module
from itertools import product
from pathlib import Path

from tests.bench import environment
from tests.bench.environment import ROOT
from tests.bench.figures import DATABASES

NAMES = (
    "throughput",
    "one",
    "latency",
    "tenants",
    "fairness",
    "ordered",
    "producer",
    "bulk",
    "reconcile",
    "backlog",
    "longtransaction",
    "pages",
    "memory",
    "polling",
    "snapshot",
    "digests",
    "prune",
)
SINGLE = ("django_package",)
"""Benchmarks that are run by their name alone, and are not on the page: this one installs packages of others."""
ENDING = 30.0
"""Seconds that a benchmark may take to end its processes and to drop its database, after its time is up."""


def module_of(name):
    """Return the module of a benchmark: it has FIGURES, ROUNDS, TIMEOUT in seconds, and `run`."""
    return import_module(f"tests.bench.{name}")


def measure(name, *, db, rounds=None):
    """Run one benchmark in this process; return the values of its figures."""
    module = module_of(name)
    found = module.run(db=db, rounds=min(module.ROUNDS, rounds or module.ROUNDS))
    promised = {figure.name for figure in module.FIGURES}
    assert found.keys() == promised, f"{name}: the figures that differ from FIGURES are {found.keys() ^ promised}"
    return {key: list(values) for key, values in found.items()}


def run_all(names, databases, *, path, rounds, allow_dirty, resume):
    """Run the benchmarks on each database, and write the results to ``path`` after each of them."""
    results = _resumed(path, allow_dirty) if resume else {**_conditions(allow_dirty), "runs": {}}
    with _templates(databases):
        for name, db in product(names, databases):
            runs = results["runs"].setdefault(db, {})
            if "figures" not in runs.get(name, {}):
                runs[name] = _run(name, db, rounds)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return results


def failures(results):
    """Return a line for each benchmark that failed."""
    return [
        f"{name} on {DATABASES[db]}: {one['error']}"
        for db, runs in results["runs"].items()
        for name, one in runs.items()
        if "error" in one
    ]


def missing(results):
    """Return the benchmarks without figures, with their databases."""
    return [
        f"{name} on {title}"
        for db, title in DATABASES.items()
        for name in NAMES
        if "figures" not in results["runs"].get(db, {}).get(name, {})
    ]


@contextmanager
def _templates(databases):
    """Keep a migrated database of each kind, which the benchmarks copy."""
    with ExitStack() as stack:
        for db in databases:
            os.environ[f"TMS_BENCH_TEMPLATE_{db.upper()}"] = stack.enter_context(environment.database(db))
        yield


def _run(name, db, rounds):
    """Run one benchmark in a process of its own; return its figures, or its error."""
    load, start = os.getloadavg()[0], time.monotonic()
    print(f"{datetime.now(UTC):%H:%M:%S}  {name} on {DATABASES[db]} (load {load:.1f})", flush=True)
    command = [sys.executable, "-m", "tests.bench", name, "--db", db]
    command += ["--rounds", str(rounds)] if rounds else []
    # A session of its own, so that Ctrl-C ends this process alone, which then ends the benchmark.
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    timeout = module_of(name).TIMEOUT
    try:
        printed, errors = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        _end(process)
        return _failed(name, f"it took longer than {timeout} s", load)
    except KeyboardInterrupt:
        _end(process)
        raise
    if process.returncode:
        print(errors, file=sys.stderr)
        return _failed(name, (errors.strip().splitlines() or [f"exit status {process.returncode}"])[-1], load)
    seconds = time.monotonic() - start
    return {"load": round(load, 2), "seconds": round(seconds), "figures": json.loads(printed.splitlines()[-1])}


def _failed(name, error, load):
    print(f"          {name} failed: {error}", flush=True)
    return {"load": round(load, 2), "error": error}


def _end(process):
    """Interrupt a benchmark, which ends its processes and drops its database; kill it if that takes too long."""
    process.send_signal(signal.SIGINT)
    try:
        process.communicate(timeout=ENDING)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def _resumed(path, allow_dirty):
    """Return the results of the run that was interrupted, if it was at this commit and of this size."""
    results = json.loads(path.read_text(encoding="utf-8"))
    for name, now in _conditions(allow_dirty).items():
        if name != "date" and results[name] != now:
            raise SystemExit(f"{path} has another {name}: {results[name]}, now {now}. Run again without --resume.")
    return results


def _conditions(allow_dirty):
    """Return commit, date, machine and versions. Nothing of it names the machine or its user."""
    import django

    dirty = bool(_git("status", "--porcelain"))
    if dirty and not allow_dirty:
        raise SystemExit("The working tree has changes. Commit them, or write --dirty: the page then says so.")
    cores = len(os.sched_getaffinity(0))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "commit": _git("rev-parse", "--short=10", "HEAD"),
        "dirty": dirty,
        "scale": environment.scale(),
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "machine": f"{_processor()}, {cores} cores, {memory:.0f} GiB of memory",
        "versions": f"Python {platform.python_version()}, Django {django.__version__}, {', '.join(_servers())}",
    }


def _git(*arguments):
    return subprocess.run(["git", *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


def _processor():
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))


def _servers():
    import sqlite3

    import psycopg

    with psycopg.connect(environment.postgres()) as connection:
        (version,) = connection.execute("SHOW server_version").fetchone() or ("",)
    return [f"SQLite {sqlite3.sqlite_version}", f"PostgreSQL {version.split()[0]}"]
