"""A savepoint for code of the host that seldom queries the database: it begins with the first statement."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db import connections, transaction


class SavepointAtStatement:
    """Runs the block in a savepoint, or in a transaction of its own outside one, if the block runs any statement."""

    def __init__(self, using: str) -> None:
        self._connection = connections[using]
        self._atomic = transaction.atomic(using=using)
        self._has_begun = False

    def __enter__(self) -> None:
        self._connection.execute_wrappers.append(self)

    def __call__(self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:  # noqa: FBT001 (Django's)
        """Begin before the first statement, as a wrapper of Django's ``execute_wrapper``."""
        self._connection.execute_wrappers.remove(self)
        self._atomic.__enter__()
        self._has_begun = True
        return execute(sql, params, many, context)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: Any) -> None:
        if self._has_begun:
            self._atomic.__exit__(kind, error, traceback)
        else:
            self._connection.execute_wrappers.remove(self)
