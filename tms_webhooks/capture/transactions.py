"""Opens the transaction that a change shares with its events, where the host has not opened one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Any

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


class Step:
    """A step of capture in the transaction that `atomic` has opened or found: an error in it breaks the transaction."""

    __slots__ = ("_connection",)

    def __init__(self, using: str) -> None:
        self._connection = connections[using]

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: Any) -> None:
        if error is not None:
            self._connection.set_rollback(True)
