"""The environment of a measurement: its own database, and a receiver in its own process."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parents[2]
ENDING = 20.0
"""Seconds that a process may take to end."""
TRANSPORTS = {"curl": "libcurl", "threads": "threads"}
"""The transports of a drain, with their names on the page. Benchmarks use the first, unless they measure both."""


def scale():
    """Return the share of each size that is measured: 1, unless the run only tries whether the benchmarks work."""
    return float(os.environ.get("TMS_BENCH_SCALE", "1"))


def sized(number, *, least=20):
    """Return a size of a benchmark, or its share in a try."""
    return number if scale() == 1 else max(least, int(number * scale()))


def lasting(seconds, *, least=1.0):
    """Return a duration of a benchmark, or its share in a try."""
    return seconds if scale() == 1 else max(least, seconds * scale())


def using(transport, **settings):
    """Return the environment variables for a process that uses this transport and these settings of the app."""
    return {"TMS_BENCH_SETTINGS": json.dumps({"TRANSPORT": transport, **settings})}


def postgres():
    """Return the URL of the PostgreSQL server's own database."""
    return os.environ.get("TMS_BENCH_POSTGRES", "postgres://root@127.0.0.1/postgres")


@contextmanager
def database(kind, *, migrated=True):
    """Make a fresh database, migrated by default; yield its URL and drop it afterwards.

    PostgreSQL is found at ``TMS_BENCH_POSTGRES`` (postgres://root@127.0.0.1/postgres where that isn't set). With the URL of a
    migrated database in ``TMS_BENCH_TEMPLATE_SQLITE`` or ``TMS_BENCH_TEMPLATE_POSTGRES``, the new one is its copy.
    """
    template = os.environ.get(f"TMS_BENCH_TEMPLATE_{kind.upper()}", "") if migrated else ""
    with (_sqlite if kind == "sqlite" else _postgres)(template) as url, _variable("TMS_DATABASE", url):
        if migrated and not template:
            subprocess.run(
                [sys.executable, "manage.py", "migrate", "--verbosity=0"], cwd=ROOT, env=variables(), check=True
            )
        yield url


@contextmanager
def _variable(name, value):
    """Set an environment variable for the processes that are started in the block."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        del os.environ[name]
        if before is not None:
            os.environ[name] = before


@contextmanager
def _sqlite(template):
    with tempfile.TemporaryDirectory() as folder:
        if template:
            shutil.copy(urlsplit(template).path, f"{folder}/bench.sqlite3")
        yield f"sqlite:///{folder}/bench.sqlite3"


@contextmanager
def _postgres(template):
    name = f"tms_bench_{uuid.uuid4().hex[:12]}"
    _statement(postgres(), f"CREATE DATABASE {name} TEMPLATE {urlsplit(template).path[1:] or 'template1'}")
    try:
        yield urlsplit(postgres())._replace(path=f"/{name}").geturl()
    finally:
        _statement(postgres(), f"DROP DATABASE {name} WITH (FORCE)")


@dataclass
class Notes:
    """The requests that a receiver saw, filled in at its end.

    Attributes:
        arrivals: When each webhook-id first came, by `time.monotonic`.
        peak: The most requests that waited for their answer at the same time.
    """

    arrivals: dict[str, float] = field(default_factory=dict)
    peak: int = 0


@contextmanager
def receiver(delay=0.0, *, status=200, one_at_a_time=False, two_writes=False, notes=None):
    """Start a receiver that answers every request with ``status``, after ``delay`` seconds; yield its port.

    See `tests.bench.server` for the rest. At the end it fills in ``notes``.
    """
    flags = {"--one-at-a-time": one_at_a_time, "--two-writes": two_writes, "--arrivals": notes is not None}
    command = [sys.executable, "-m", "tests.bench.server", f"--delay={delay}", f"--status={status}"]
    command += [flag for flag, is_set in flags.items() if is_set]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            port = process.stdout.readline().strip()
            with _variable("TMS_DEMO_PORTS", ",".join(filter(None, [os.environ.get("TMS_DEMO_PORTS"), port]))):
                yield int(port)
        finally:
            process.stdin.close()
            seen = json.loads(process.stdout.readline())
            if notes is not None:
                notes.arrivals, notes.peak = seen["arrivals"], seen["peak"]


@contextmanager
def managed(*arguments, **environ):
    """Keep a management command running in a process of its own; end it with SIGTERM, and by force if need be."""
    process = subprocess.Popen(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=variables() | environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        # A cluster has children, which have to go with it.
        start_new_session=True,
    )
    try:
        yield process
        process.terminate()
        process.wait(ENDING)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def figures(module, function, *arguments, **environ):
    """Call a function of a module of this package in a process of its own (see `tests.bench.call`); return what it returns."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.call", module, function, json.dumps(arguments)],
        cwd=ROOT,
        env=variables() | environ,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def ratios(above, below):
    """Return the ratio of each round: both sides of a round had the same machine."""
    return [one / other for one, other in zip(above, below, strict=True)]


def percentile(values, share):
    """Return the value below which this share of the values lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def variables():
    """Return the environment of a process that works on the open database, for the receivers that are running."""
    return {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.bench.settings"}


def wait(condition, *, seconds=60.0):
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "It took too long."
        time.sleep(0.02)


def _statement(url, sql):
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql)
