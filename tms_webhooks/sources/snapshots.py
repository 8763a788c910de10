"""An object's values as the database has them."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

from django.db import connections, models, transaction
from django.db.models import Exists

from tms_webhooks import event_names
from tms_webhooks.conf import strict_payloads
from tms_webhooks.exceptions import PayloadError
from tms_webhooks.models import Subscription
from tms_webhooks.sources.base import Source
from tms_webhooks.sources.mapping import MappedField, references_of

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
    asked: Mapping[Source, Collection[str]], key: Any, *, using: str, new: bool = False
) -> dict[Source, Before]:
    """Read and lock the object's own values, and ask in the same query whether anybody subscribes to its events.

    ``asked`` are sources of one model, and the event types that each might tell. The lock keeps a concurrent change
    from slipping in between what is read here and what is written next. ``new`` says that there is probably no row.
    """
    wanted: dict[Source, bool] | None = None
    if key is None or new:
        wanted = _wanted(asked, using=using)
        if key is None or not any(wanted.values()):
            return {source: Before(None, wanted=wanted[source]) for source in asked}
    lookups = list(dict.fromkeys(str(mapped.lookup) for source in asked for mapped in source.own.values()))
    interests = {
        f"{INTEREST}_{number}": Exists(Subscription.objects.using(using).wanting(event_types))
        for number, event_types in enumerate(asked.values())
    }
    rows = locked(_rows(next(iter(asked)), key, using=using).annotate(**interests))
    row = rows.values_list(*lookups, *interests).first()
    if row is None:
        wanted = _wanted(asked, using=using) if wanted is None else wanted
        return {source: Before(None, wanted=wanted[source]) for source in asked}
    values = dict(zip(lookups, row, strict=False))
    answers = zip(asked, row[len(lookups) :], strict=True)
    return {
        source: Before({name: values[str(mapped.lookup)] for name, mapped in source.own.items()}, wanted=bool(answer))
        for source, answer in answers
    }


def _wanted(asked: Mapping[Source, Collection[str]], *, using: str) -> dict[Source, bool]:
    """Return whether anybody subscribes to anything that each source might tell, in one query for all of them."""
    wanting = Subscription.objects.using(using).wanting(chain.from_iterable(asked.values()))
    patterns = set(wanting.order_by().values_list("event_type", flat=True).distinct())
    return {
        source: any(not patterns.isdisjoint(event_names.patterns_for(event_type)) for event_type in event_types)
        for source, event_types in asked.items()
    }


def read_whole(source: Source, key: Any, *, using: str) -> dict[str, Any] | None:
    """Read all that the payload needs, through the object's foreign keys, in one query; None if the row is gone.

    What only Python can follow takes a second query, for an object that holds nothing that is not saved.
    """
    found = read_rows(source, _rows(source, key, using=using))
    return found[0][1] if found else None


def read_rows(
    source: Source, rows: models.QuerySet[Any], *, names: Collection[str] | None = None
) -> list[tuple[Any, dict[str, Any]]]:
    """Read the same of many rows: (key, raw values) in their order, in one query, or two where Python has to follow.

    ``names`` narrows the values to those of them that the host has. A value that Python fails to read is the
    `PayloadError` that says why; under DEBUG and in tests it is raised.
    """
    asked = {name: mapped for name, mapped in source.mapped.items() if names is None or name in names}
    columns = {name: mapped.lookup for name, mapped in asked.items() if mapped.lookup is not None}
    followed = {name: mapped for name, mapped in asked.items() if mapped.lookup is None}
    found = [(row[0], dict(zip(columns, row[1:], strict=True))) for row in rows.values_list("pk", *columns.values())]
    if followed and found:
        _follow_all(source, followed, found, using=rows.db)
    return found


def _follow_all(
    source: Source, followed: dict[str, MappedField], found: list[tuple[Any, dict[str, Any]]], *, using: str
) -> None:
    """Read what only Python can follow of many rows, with what it leads through: in one savepoint, if all goes well."""
    related = {reference for mapped in followed.values() for reference in references_of(source.model, mapped.path)}
    rows = source.model._base_manager.using(using)
    instances = (rows.select_related(*related) if related else rows).in_bulk([key for key, _raw in found])
    try:
        with transaction.atomic(using=using):
            several = [{name: mapped.read(instances[key]) for name, mapped in followed.items()} for key, _raw in found]
    except Exception:
        # One of them is to blame, which the others need not suffer for.
        several = [_follow(followed, instances[key], using=using) for key, _raw in found]
    for (_key, raw), values in zip(found, several, strict=True):
        raw.update(values)


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


def locked(rows: models.QuerySet[Any]) -> models.QuerySet[Any]:
    """Lock as an update of these rows does, no harder: PostgreSQL lets others refer to them meanwhile."""
    return rows.select_for_update(no_key=connections[rows.db].features.has_select_for_no_key_update)
