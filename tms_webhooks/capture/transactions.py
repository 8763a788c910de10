"""Opens the transaction that a change shares with its events, where the host has not opened one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from django.db import connections, router, transaction

from tms_webhooks.models import Event


def has_outbox(using: str) -> bool:
    """Return whether a database has an outbox: whether the host's routers allow this app's tables in it."""
    return bool(router.allow_migrate_model(using, Event))


@contextmanager
def atomic(using: str) -> Iterator[None]:
    """Open a transaction, unless the host has opened one: that gets no savepoint.

    An error inside the host's transaction is the host's to catch.
    """
    if connections[using].in_atomic_block:
        yield
        return
    with ExitStack() as stack:
        with _sqlite_begins_with_lock(using):
            stack.enter_context(transaction.atomic(using=using))
        yield


@contextmanager
def _sqlite_begins_with_lock(using: str) -> Iterator[None]:
    """Have SQLite lock on BEGIN: a transaction that reads first fails if another one writes before it does."""
    connection: Any = connections[using]
    if not _begins_unlocked(connection):
        yield
        return
    connection.transaction_mode = "IMMEDIATE"
    try:
        yield
    finally:
        connection.transaction_mode = None


def _begins_unlocked(connection: Any) -> bool:
    if connection.vendor != "sqlite":
        return False
    # Django sets the transaction mode when it connects.
    connection.ensure_connection()
    return getattr(connection, "transaction_mode", "unknown") is None
