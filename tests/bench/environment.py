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
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parents[2]
ENDING = 20.0
"""Seconds that a process may take to end."""
TRANSPORTS = {"curl": "libcurl", "threads": "threads"}
"""The transports of a drain, with their names on the page. Benchmarks use the first, unless they measure both."""

Rounds = Mapping[str, Sequence[float | None]]
"""The values of each figure, one per round. None means that no number limits it."""


def scale() -> float:
    """Return the share of each size that is measured: 1, unless the run only tries whether the benchmarks work."""
    return float(os.environ.get("TMS_BENCH_SCALE", "1"))


def sized(number: int, *, least: int = 20) -> int:
    """Return a size of a benchmark, or its share in a try."""
    return number if scale() == 1 else max(least, int(number * scale()))


def lasting(seconds: float, *, least: float = 1.0) -> float:
    """Return a duration of a benchmark, or its share in a try."""
    return seconds if scale() == 1 else max(least, seconds * scale())


def using(transport: str, **settings: Any) -> dict[str, str]:
    """Return the environment variables for a process that uses this transport and these settings of the app."""
    return {"TMS_BENCH_SETTINGS": json.dumps({"TRANSPORT": transport, **settings})}


def postgres() -> str:
    """Return the URL of the PostgreSQL server's own database."""
    return os.environ.get("TMS_BENCH_POSTGRES", "postgres://root@127.0.0.1/postgres")


@contextmanager
def database(kind: str, *, migrated: bool = True) -> Iterator[str]:
    """Make a fresh database, migrated by default; yield its URL and drop it afterwards.

    PostgreSQL is found at ``TMS_BENCH_POSTGRES`` (postgres://root@127.0.0.1/postgres where that isn't set). With the URL of a
    migrated database in ``TMS_BENCH_TEMPLATE_SQLITE`` or ``TMS_BENCH_TEMPLATE_POSTGRES``, the new one is its copy.
    """
    template = os.environ.get(f"TMS_BENCH_TEMPLATE_{kind.upper()}", "") if migrated else ""
    with (_sqlite if kind == "sqlite" else _postgres)(template) as url:
        if migrated and not template:
            _manage(url, "migrate", "--verbosity=0")
        yield url


@contextmanager
def _sqlite(template: str) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        if template:
            shutil.copy(urlsplit(template).path, f"{folder}/bench.sqlite3")
        yield f"sqlite:///{folder}/bench.sqlite3"


@contextmanager
def _postgres(template: str) -> Iterator[str]:
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


def command(module: str, function: str, *arguments: object) -> list[str]:
    """Return the command that calls a function of a module of this package: see `tests.bench.call`."""
    return [sys.executable, "-m", "tests.bench.call", module, function, json.dumps(arguments)]


def figures(*arguments: Any, url: str, port: int, **environ: str) -> Any:
    """Call a function of a module of this package in a process of its own, as `command` has it; return what it returns."""
    done = subprocess.run(
        command(*arguments),
        cwd=ROOT,
        env=variables(url, port) | environ,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def ratios(above: Sequence[float], below: Sequence[float]) -> list[float]:
    """Return the ratio of each round: both sides of a round had the same machine."""
    return [one / other for one, other in zip(above, below, strict=True)]


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


def wait(condition: Callable[[], object], *, seconds: float = 60.0) -> None:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "It took too long."
        time.sleep(0.02)


def _manage(url: str, *arguments: str) -> None:
    subprocess.run([sys.executable, "manage.py", *arguments], cwd=ROOT, env=variables(url), check=True)


def _statement(url: str, sql: str) -> None:
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql)
