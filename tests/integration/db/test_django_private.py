"""Private names of Django that no other test would miss: where the others change, capture, drains or reads fail."""

import subprocess
import sys
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from django.db import connection, connections
from django.db.models import QuerySet

from tms_webhooks.db import django_private as private
from tms_webhooks.models import DrainSlot

NOW = datetime(2025, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def pools(monkeypatch):
    """The pools of the PostgreSQL backend: one that the connection of the alias "pooled" comes from."""
    backend = pytest.importorskip("django.db.backends.postgresql.base")
    pools = {"pooled": "a pool"}
    monkeypatch.setattr(backend.DatabaseWrapper, "_connection_pools", pools)
    return pools


# Tests


def test_outside_a_test_run_it_is_not_taken_for_one():
    code = "from tms_webhooks.db.django_private import is_test_environment as is_test; print(is_test())\n"
    code += "import django.test.utils; print(is_test())"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["False", "False"]


# Connections


def test_a_forked_process_keeps_no_pool_and_no_pooled_connection_of_its_parent(pools, monkeypatch):
    pooled = SimpleNamespace(alias="pooled", connection="a socket of the pool")
    other = SimpleNamespace(alias="other", connection="a socket of its own")
    monkeypatch.setattr(private, "connections", SimpleNamespace(all=lambda initialized_only: [pooled, other]))
    monkeypatch.setattr(private, "_of_parents", [])

    private._forget_pools()

    assert (pools, pooled.connection, other.connection) == ({}, None, "a socket of its own")
    # Nothing of the parent's is finalized in the child.
    assert private._of_parents == ["a socket of the pool", {"pooled": "a pool"}]


@pytest.mark.skipif(connection.vendor != "sqlite", reason="only SQLite has transaction modes")
def test_a_transaction_mode_of_the_host_is_kept(monkeypatch):
    monkeypatch.setattr(connections["default"], "transaction_mode", "EXCLUSIVE")

    with private.locking_transaction_mode(connection):
        assert connection.transaction_mode == "EXCLUSIVE"

    assert connection.transaction_mode == "EXCLUSIVE"


def test_an_insert_that_ignores_conflicts_skips_what_is_there():
    DrainSlot.objects.create(number=1, owner="first", held_until=NOW)
    insert, suffix = private.insert_ignoring_conflicts(connection)
    table, keys = map(connection.ops.quote_name, (DrainSlot._meta.db_table, "keys"))
    held_until = connection.ops.adapt_datetimefield_value(NOW)

    with connection.cursor() as cursor:
        for number in (1, 2):
            cursor.execute(
                f"{insert} {table} (number, owner, held_until, {keys}) VALUES (%s, 'second', %s, '') {suffix}",
                [number, held_until],
            )

    assert list(DrainSlot.objects.order_by("number").values_list("number", "owner")) == [(1, "first"), (2, "second")]


def test_a_queryset_for_writing_uses_the_database_to_write_to_and_asks_again(settings, django_assert_num_queries):
    rows = QuerySet(DrainSlot)
    assert (rows.db, len(rows)) == ("default", 0)

    private.forget_results(rows)
    with django_assert_num_queries(1):
        assert len(rows) == 0

    settings.DATABASE_ROUTERS = [SimpleNamespace(db_for_write=lambda *args, **hints: "elsewhere")]
    private.use_write_database(rows)
    assert rows.db == "elsewhere"
