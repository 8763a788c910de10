"""All values of a column as one value, which a query of other rows can hold."""

from __future__ import annotations

import json
from typing import Any

from django.db import models
from django.db.models import Func


class Gathered(Func):
    """A JSON array, which `gathered_values` reads. A text, whatever the column's type is: see `CompiledQuery`."""

    function = "JSON_ARRAYAGG"
    output_field = models.TextField()

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> tuple[str, Any]:
        """Call it by PostgreSQL's name, and have it as text."""
        template = "%(function)s(%(expressions)s)::text"
        return self.as_sql(compiler, connection, function="JSON_AGG", template=template, **context)

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> tuple[str, Any]:
        """Call it by SQLite's name."""
        return self.as_sql(compiler, connection, function="JSON_GROUP_ARRAY", **context)


def gathered_values(gathered: Any) -> list[Any]:
    """Return the values in what the database's driver returned, in no order; none where there was no row."""
    values: list[Any] = json.loads(gathered) if gathered else []
    return values
