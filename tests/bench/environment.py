"""The environment of a measurement: its own database, and a receiver in its own process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parents[2]
ENDING = 20.0
"""Seconds that a process may take to end."""


def transports() -> list[str]:
    """Return the names of the transports to measure; the one that is used as installed comes first."""
    return ["curl", "threads"] if find_spec("pycurl") else ["threads"]


def per_transport(measure: Callable[[str], Mapping[str, Any]]) -> dict[str, Any]:
    """Return the figures that ``measure`` has for each transport under its name, and those as installed on top."""
    return installed_first({name: measure(name) for name in transports()})


def installed_first(reports: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the reports by their transports' names, preceded by the figures of the one that is used as installed."""
    return {**reports[transports()[0]], **reports}


def using(transport: str, **settings: Any) -> dict[str, str]:
    """Return the environment variables for a process that uses this transport and these settings of the app."""
    return {"TMS_BENCH_SETTINGS": json.dumps({**settings_for(transport), **settings})}


def settings_for(transport: str) -> dict[str, str]:
    """Return the settings of the app that choose a transport."""
    return {"TRANSPORT": transport}


@contextmanager
def database(kind: str, *, migrated: bool = True) -> Iterator[str]:
    """Make a fresh database, migrated by default; yield its URL and drop it afterwards.

    PostgreSQL is found at ``TMS_BENCH_POSTGRES`` (postgres://root@127.0.0.1/postgres where that isn't set).
    """
    with tempfile.TemporaryDirectory() as folder:
        if kind == "sqlite":
            url = f"sqlite:///{folder}/bench.sqlite3"
            if migrated:
                _manage(url, "migrate", "--verbosity=0")
            yield url
            return
        admin = os.environ.get("TMS_BENCH_POSTGRES", "postgres://root@127.0.0.1/postgres")
        name = f"tms_bench_{uuid.uuid4().hex[:12]}"
        url = urlsplit(admin)._replace(path=f"/{name}").geturl()
        _statement(admin, f"CREATE DATABASE {name}")
        try:
            if migrated:
                _manage(url, "migrate", "--verbosity=0")
            yield url
        finally:
            _statement(admin, f"DROP DATABASE {name} WITH (FORCE)")


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
def receiver(
    delay: float = 0.0,
    *,
    status: int = 200,
    one_at_a_time: bool = False,
    two_writes: bool = False,
    notes: Notes | None = None,
) -> Iterator[int]:
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
            yield int(process.stdout.readline())
        finally:
            process.stdin.close()
            seen = json.loads(process.stdout.readline())
            if notes is not None:
                notes.arrivals, notes.peak = seen["arrivals"], seen["peak"]


@contextmanager
def managed(*arguments: str, url: str, port: int, **environ: str) -> Iterator[subprocess.Popen[str]]:
    """Keep a management command running in a process of its own; end it with SIGTERM, and by force if need be."""
    process = subprocess.Popen(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=variables(url, port) | environ,
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


def figures(module: str, *arguments: object, url: str, port: int, **environ: str) -> Any:
    """Run a module of this package in a process of its own; return what its last line says in JSON."""
    done = subprocess.run(
        [sys.executable, "-m", f"tests.bench.{module}", *map(str, arguments)],
        cwd=ROOT,
        env=variables(url, port) | environ,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def middle(values: list[float], digits: int = 2) -> float:
    """Return the median, rounded."""
    return round(median(values), digits)


def percentile(values: list[float], share: float) -> float:
    """Return the value below which this share of the values lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def variables(url: str, *ports: int) -> dict[str, str]:
    """Return the environment of a process that works on this database, with these ports of receivers."""
    return {
        **os.environ,
        "TMS_DATABASE": url,
        "TMS_DEMO_PORTS": ",".join(map(str, ports)),
        "DJANGO_SETTINGS_MODULE": "tests.bench.settings",
    }


def _manage(url: str, *arguments: str) -> None:
    subprocess.run([sys.executable, "manage.py", *arguments], cwd=ROOT, env=variables(url), check=True)


def _statement(url: str, sql: str) -> None:
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql)
