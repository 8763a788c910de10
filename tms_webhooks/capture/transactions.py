"""Transactions that a change and its events share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from django.db import connections, router, transaction

from tms_webhooks.models import Event


def has_outbox(using: str) -> bool:
    """Say whether there is an outbox in a database: whether the host's routers let this app have its tables there."""
    return bool(router.allow_migrate_model(using, Event))


@contextmanager
def atomic(using: str) -> Iterator[None]:
    """Begin a transaction where there is none. A host's own stays as it is: what fails in it may be caught in it."""
    if connections[using].in_atomic_block:
        yield
        return
    with ExitStack() as stack:
        with _locking_at_once(using):
            stack.enter_context(transaction.atomic(using=using))
        yield


@contextmanager
def _locking_at_once(using: str) -> Iterator[None]:
    """Have SQLite lock as it begins: a transaction that reads first fails at once if another one writes meanwhile."""
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
    # Its mode is known from then on.
    connection.ensure_connection()
    return getattr(connection, "transaction_mode", "unknown") is None
