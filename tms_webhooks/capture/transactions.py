"""Opens the transaction that a change shares with its events, where the host has not opened one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext

from django.db import connections, router, transaction

from tms_webhooks.db.django_private import locking_transaction_mode
from tms_webhooks.models import Event


def has_outbox(using: str) -> bool:
    """Return whether a database has an outbox: whether the host's routers allow this app's tables in it."""
    return bool(router.allow_migrate_model(using, Event))


def atomic(using: str) -> AbstractContextManager[None]:
    """Open a transaction, unless the host has opened one: that gets no savepoint.

    An error inside the host's transaction is the host's to catch.
    """
    return _IN_ANOTHER if connections[using].in_atomic_block else _own_transaction(using)


_IN_ANOTHER = nullcontext()


@contextmanager
def _own_transaction(using: str) -> Iterator[None]:
    with ExitStack() as stack:
        # SQLite locks on BEGIN: a transaction that reads first fails if another one writes before it does.
        with locking_transaction_mode(connections[using]):
            stack.enter_context(transaction.atomic(using=using))
        yield
