"""An object's values as the database has them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db import models
from django.db.models import Exists

from tms_webhooks.models import Subscription
from tms_webhooks.sources.base import Source

INTEREST = "tms_webhooks_interest"


@dataclass(frozen=True, slots=True)
class Before:
    """What an object's row held before a change (None: there is no row), and whether anybody wants its events."""

    raw: dict[str, Any] | None
    wanted: bool


def read_before(source: Source, pk: Any, *, using: str) -> Before:
    """Read and lock the object's own values, and ask in the same query whether anybody subscribes to its events.

    The lock keeps a concurrent change from slipping in between what is read here and what is written next.
    """
    interest = Subscription.objects.using(using).wanting(source.event_types)
    if pk is None:
        return Before(None, wanted=interest.exists())
    names = list(source.own)
    lookups = [source.own[name].lookup for name in names]
    rows = _rows(source, pk, using=using).annotate(**{INTEREST: Exists(interest)}).select_for_update()
    row = rows.values_list(*lookups, INTEREST).first()
    if row is None:
        return Before(None, wanted=interest.exists())
    return Before(dict(zip(names, row, strict=False)), wanted=bool(row[-1]))


def read_whole(source: Source, instance: models.Model, *, using: str) -> dict[str, Any] | None:
    """Read all that the payload needs, through the object's foreign keys, in one query; None if the row is gone.

    What only Python can follow is read from ``instance``.
    """
    found = read_rows(source, _rows(source, instance.pk, using=using), instances={instance.pk: instance})
    return found[0][1] if found else None


def read_rows(
    source: Source, rows: models.QuerySet[Any], *, instances: Mapping[Any, models.Model] | None = None
) -> list[tuple[Any, dict[str, Any]]]:
    """Read the same of many rows: (key, raw values) in their order, in one query, or two where Python has to follow."""
    columns = {name: mapped.lookup for name, mapped in source.mapped.items() if mapped.lookup is not None}
    followed = {name: mapped for name, mapped in source.mapped.items() if mapped.lookup is None}
    found = [(row[0], dict(zip(columns, row[1:], strict=True))) for row in rows.values_list("pk", *columns.values())]
    if followed:
        known = instances or source.model._base_manager.using(rows.db).in_bulk([pk for pk, _raw in found])
        for pk, raw in found:
            raw.update({name: mapped.read(known[pk]) for name, mapped in followed.items()})
    return found


def _rows(source: Source, pk: Any, *, using: str) -> models.QuerySet[Any]:
    # The base manager, because a default manager may hide the very row that is being saved.
    return source.model._base_manager.using(using).filter(pk=pk).order_by()
