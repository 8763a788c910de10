"""Where a measurement takes place: a database of its own, and a receiver in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def database(kind: str) -> Iterator[str]:
    """Make a fresh, migrated database; yield its URL and drop it afterwards.

    PostgreSQL is found at ``TMS_BENCH_POSTGRES`` (postgres://root@127.0.0.1/postgres where that isn't set).
    """
    with tempfile.TemporaryDirectory() as folder:
        if kind == "sqlite":
            url = f"sqlite:///{folder}/bench.sqlite3"
            _manage(url, "migrate", "--verbosity=0")
            yield url
            return
        admin = os.environ.get("TMS_BENCH_POSTGRES", "postgres://root@127.0.0.1/postgres")
        name = f"tms_bench_{uuid.uuid4().hex[:12]}"
        url = urlsplit(admin)._replace(path=f"/{name}").geturl()
        _statement(admin, f"CREATE DATABASE {name}")
        try:
            _manage(url, "migrate", "--verbosity=0")
            yield url
        finally:
            _statement(admin, f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def receiver(delay: float = 0.0) -> Iterator[int]:
    """Start a receiver that answers every request after ``delay`` seconds; yield its port."""
    command = [sys.executable, "-m", "tests.bench.server", str(delay)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.stdin.close()


def prepare(url: str, *ports: int, **settings: Any) -> None:
    """Set Django up in this process for a database and receivers on these ports. Call it once."""
    import django
    from django.conf import settings as django_settings

    os.environ["TMS_DATABASE"] = url
    os.environ["TMS_DEMO_PORTS"] = ",".join(map(str, ports))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.bench.settings")
    django.setup()
    django_settings.TMS_WEBHOOKS = {**django_settings.TMS_WEBHOOKS, **settings}


def middle(values: list[float], digits: int = 2) -> float:
    """Return the median, rounded."""
    return round(median(values), digits)


def percentile(values: list[float], share: float) -> float:
    """Return the value below which this share of the values lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def _manage(url: str, *arguments: str) -> None:
    environment = {**os.environ, "TMS_DATABASE": url, "DJANGO_SETTINGS_MODULE": "tests.bench.settings"}
    subprocess.run([sys.executable, "manage.py", *arguments], cwd=ROOT, env=environment, check=True)


def _statement(url: str, sql: str) -> None:
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql)
