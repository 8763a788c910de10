"""An object's values as the database has them."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db import connections, models, transaction
from django.db.models import Exists

from tms_webhooks.conf import strict_payloads
from tms_webhooks.exceptions import PayloadError
from tms_webhooks.models import Subscription
from tms_webhooks.sources.base import Source
from tms_webhooks.sources.mapping import MappedField

INTEREST = "tms_webhooks_interest"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Before:
    """What an object's row held before a change (None: there is no row), and whether anybody wants its events."""

    raw: dict[str, Any] | None
    wanted: bool


def key_of(source: Source, instance: models.Model) -> Any:
    """Return the key of ``instance`` in the source's own table, or None where it has none yet.

    The two differ where the instance's model extends the source's and has other parents besides.
    """
    meta = source.model._meta
    key = getattr(instance, meta.pk.attname)
    if key is None:
        # A row that extends one that exists names it by the link alone.
        link = instance._meta.get_ancestor_link(source.model)
        key = getattr(instance, link.attname) if link is not None else None
    unset = (isinstance(key, tuple) and None in key) or hasattr(key, "resolve_expression")
    return None if unset else key


def read_before(
    source: Source, key: Any, *, using: str, new: bool = False, event_types: Iterable[str] | None = None
) -> Before:
    """Read and lock the object's own values, and ask in the same query whether anybody subscribes to its events.

    The lock keeps a concurrent change from slipping in between what is read here and what is written next.
    ``new`` says that there is probably no such row. ``event_types`` narrows the question: all of the source's.
    """
    interest = Subscription.objects.using(using).wanting(source.event_types if event_types is None else event_types)
    wanted: bool | None = None
    if key is None or new:
        wanted = interest.exists()
        if key is None or not wanted:
            return Before(None, wanted=wanted)
    names = list(source.own)
    lookups = [str(source.own[name].lookup) for name in names]
    rows = _locked(_rows(source, key, using=using).annotate(**{INTEREST: Exists(interest)}))
    row = rows.values_list(*lookups, INTEREST).first()
    if row is None:
        return Before(None, wanted=interest.exists() if wanted is None else wanted)
    return Before(dict(zip(names, row, strict=False)), wanted=bool(row[-1]))


def read_whole(source: Source, key: Any, *, using: str) -> dict[str, Any] | None:
    """Read all that the payload needs, through the object's foreign keys, in one query; None if the row is gone.

    What only Python can follow takes a second query, for an object that holds nothing that is not saved.
    """
    found = read_rows(source, _rows(source, key, using=using))
    return found[0][1] if found else None


def read_rows(source: Source, rows: models.QuerySet[Any]) -> list[tuple[Any, dict[str, Any]]]:
    """Read the same of many rows: (key, raw values) in their order, in one query, or two where Python has to follow.

    A value that Python fails to read is the `PayloadError` that says why; under DEBUG and in tests it is raised.
    """
    columns = {name: mapped.lookup for name, mapped in source.mapped.items() if mapped.lookup is not None}
    followed = {name: mapped for name, mapped in source.mapped.items() if mapped.lookup is None}
    found = [(row[0], dict(zip(columns, row[1:], strict=True))) for row in rows.values_list("pk", *columns.values())]
    if followed and found:
        instances = source.model._base_manager.using(rows.db).in_bulk([key for key, _raw in found])
        for key, raw in found:
            raw.update(_follow(followed, instances[key], using=rows.db))
    return found


def _follow(followed: dict[str, MappedField], instance: models.Model, *, using: str) -> dict[str, Any]:
    """Read what only Python can follow, in a savepoint: a property whose query fails must not end the host's transaction."""
    raw: dict[str, Any] = {}
    name = ""
    try:
        with transaction.atomic(using=using):
            for name, mapped in followed.items():
                raw[name] = mapped.read(instance)
    except Exception as reason:
        path = followed[name].path if name else ""
        error = PayloadError(f"{name}: {instance._meta.label}.{path} raised {type(reason).__name__}.")
        if strict_payloads():
            raise error from reason
        logger.exception("%s could not be read of %s %s.", path, instance._meta.label, instance.pk)
        raw[name] = error
    return raw


def _rows(source: Source, key: Any, *, using: str) -> models.QuerySet[Any]:
    # The base manager, because a default manager may hide the very row that is being saved.
    return source.model._base_manager.using(using).filter(pk=key).order_by()


def _locked(rows: models.QuerySet[Any]) -> models.QuerySet[Any]:
    """Lock as an update of these rows does, no harder: PostgreSQL lets others refer to them meanwhile."""
    return rows.select_for_update(no_key=connections[rows.db].features.has_select_for_no_key_update)
