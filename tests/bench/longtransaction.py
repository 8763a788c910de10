"""What a delivery costs the database while another transaction stays open, which makes it keep each old row and index entry."""

from __future__ import annotations

import sqlite3
from contextlib import closing, contextmanager, nullcontext
from urllib.parse import urlsplit

import psycopg

from tests.bench import environment
from tests.bench.environment import ratios, sized
from tests.bench.figures import Figure
from tests.bench.supply import Group, fill

ROUNDS = 3
TIMEOUT = 600
WEBHOOKS = 20
EVENTS = sized(20_000, least=200)

FIGURES = (
    Figure("cpu", "a delivery while a transaction stays open: CPU time", "µs"),
    Figure("cpu_ratio", "the same, divided by one without an open transaction", at_most=2),
    Figure("wal", "write-ahead log of a delivery with its attempt", "bytes", at_most=1_000),
)


def run(*, db, rounds):
    """Deliver in each round without an open transaction, then with one that began before the events."""
    cpu = {False: [], True: []}
    wal = []
    with environment.database(db) as url, environment.receiver() as port:
        for _ in range(rounds):
            for is_open, times in cpu.items():
                with open_transaction(url) if is_open else nullcontext():
                    fill(Group(port, WEBHOOKS, EVENTS), fan_out=True)
                    start = written(url)
                    found = environment.figures("loops", "drain", EVENTS)
                times.append(found["database_us"] if db == "postgres" else found["cpu_us"])
                if db == "postgres" and not is_open:
                    wal.append((written(url) - start) / EVENTS)
    return {"cpu": cpu[True], "cpu_ratio": ratios(cpu[True], cpu[False]), "wal": wal}


@contextmanager
def open_transaction(url):
    """Keep a transaction open that has read."""
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        with closing(sqlite3.connect(parts.path, isolation_level=None)) as file:
            file.execute("BEGIN")
            file.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
            yield
    else:
        with psycopg.connect(url) as connection:
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            connection.execute("SELECT 1")
            yield


def written(url):
    """Return how many bytes of write-ahead log PostgreSQL has written so far; 0 for SQLite."""
    if urlsplit(url).scheme == "sqlite":
        return 0
    with psycopg.connect(url, autocommit=True) as connection:
        (size,) = connection.execute("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn").fetchone() or (0,)
        return int(size)
