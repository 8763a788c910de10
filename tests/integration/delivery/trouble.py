"""A database that refuses some statements, for a while."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db import Error, OperationalError


class Trouble:
    """Refuses the first ``times`` statements that have ``verb`` for their first word, or one of a CTE, and name ``table``.

    ``only`` narrows it to those with this text in their parameters, ``error`` is what it raises. Use it with
    ``connection.execute_wrapper``.
    """

    def __init__(
        self,
        verb: str,
        table: str,
        *,
        times: int,
        only: str | None = None,
        error: Callable[[str], Error] = OperationalError,
    ) -> None:
        self.verb = verb
        self.table = table
        self.left = times
        self.only = only
        self.error = error
        self.refused = 0

    def __call__(self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
        begins = sql.lstrip().upper().startswith(self.verb)
        in_one = sql.lstrip().upper().startswith("WITH") and self.verb in sql.upper()
        meant = (begins or in_one) and self.table in sql
        # One parameter may be JSON that holds the value.
        if self.left and meant and (self.only is None or self.only in str(params)):
            self.left -= 1
            self.refused += 1
            raise self.error("the connection was lost")
        return execute(sql, params, many, context)
