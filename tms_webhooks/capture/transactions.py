"""Transactions that a change and its events share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from django.db import connections, router, transaction

from tms_webhooks.db.django_private import locking_transaction_mode
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
        with locking_transaction_mode(connections[using]):
            stack.enter_context(transaction.atomic(using=using))
        yield
