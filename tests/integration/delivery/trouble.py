"""A database that refuses some statements, for a while."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db import OperationalError


class Trouble:
    """Refuses the first ``times`` statements that begin with ``verb`` and name ``table``.

    Use it with ``connection.execute_wrapper``.
    """

    def __init__(self, verb: str, table: str, *, times: int) -> None:
        self.verb = verb
        self.table = table
        self.left = times
        self.refused = 0

    def __call__(self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
        if self.left and sql.lstrip().upper().startswith(self.verb) and self.table in sql:
            self.left -= 1
            self.refused += 1
            raise OperationalError("the connection was lost")
        return execute(sql, params, many, context)
