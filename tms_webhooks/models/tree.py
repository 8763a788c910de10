"""The tree that the host's organizations form, asked of the database: any depth, and a ring comes to an end."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.apps import apps
from django.core.exceptions import FieldDoesNotExist
from django.db import connections

from tms_webhooks.conf import app_settings
from tms_webhooks.models.organization import organization_model

# UNION and not UNION ALL: what was found before is not looked at again, and that ends a ring.
LINEAGES = """
WITH RECURSIVE line (start, above) AS (
    SELECT {key}, {key} FROM {organization} WHERE {key} IN ({places})
    UNION SELECT line.start, o.{parent} FROM line JOIN {organization} o ON o.{key} = line.above
    WHERE o.{parent} IS NOT NULL
)
SELECT start, above FROM line"""

OFFSPRING = """
WITH RECURSIVE branch (below) AS (
    SELECT {key} FROM {organization} WHERE {key} IN ({places})
    UNION SELECT o.{key} FROM branch JOIN {organization} o ON o.{parent} = branch.below
)
SELECT below FROM branch"""

KEYS_AT_ONCE = 500


def parent_column() -> str | None:
    """Return the column of the organization model that leads to the parent; None where there is no tree."""
    try:
        field = apps.get_model(organization_model())._meta.get_field(app_settings.ORGANIZATION_PARENT)
    except FieldDoesNotExist:
        return None  # there is none, or a check tells
    return getattr(field, "column", None)


def lineages(keys: Collection[Any], *, using: str) -> dict[Any, frozenset[Any]]:
    """Return, for each of these organizations, its own key and those of all above it."""
    found: dict[Any, set[Any]] = {key: {key} for key in keys}
    for start, above in _ask(LINEAGES, keys, using=using):
        found[start].add(above)
    return {key: frozenset(line) for key, line in found.items()}


def offspring(keys: Collection[Any], *, using: str) -> set[Any]:
    """Return the keys of these organizations and of all below them."""
    return {*keys, *(below for (below,) in _ask(OFFSPRING, keys, using=using))}


def names(using: str) -> dict[str, str]:
    """Return what stands for the organizations' table and columns in a statement; only where there is a tree."""
    model = apps.get_model(organization_model())
    quote = connections[using].ops.quote_name
    return {
        "organization": quote(model._meta.db_table),
        "key": quote(str(model._meta.pk.column)),
        "parent": quote(str(parent_column())),
    }


def _ask(sql: str, keys: Collection[Any], *, using: str) -> list[tuple[Any, ...]]:
    if parent_column() is None:
        return []
    connection, key = connections[using], apps.get_model(organization_model())._meta.pk
    prepared = [key.get_db_prep_value(one, connection) for one in keys]
    rows: list[tuple[Any, ...]] = []
    with connection.cursor() as cursor:
        for start in range(0, len(prepared), KEYS_AT_ONCE):
            some = prepared[start : start + KEYS_AT_ONCE]
            cursor.execute(sql.format(places=", ".join(["%s"] * len(some)), **names(using)), some)
            rows += [tuple(map(key.to_python, row)) for row in cursor.fetchall()]
    return rows
