"""Find the host's objects that filters and previews name: by id, and by name among the objects of some organizations."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import suppress
from functools import reduce
from operator import or_
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q

from tms_webhooks.sources.base import LEARNER, OWNER, Source
from tms_webhooks.sources.interest import organization_paths
from tms_webhooks.sources.paths import all_rows, stored_at
from tms_webhooks.sources.registry import all_sources
from tms_webhooks.sources.rows import Rows, database_of, rows_of

FILTERED_BY_ID = ("course", "class", "organization")
"""The filters that hold ids of the host's objects."""
MOST_FOUND = 20
IDS_PER_QUERY = 500
LONGEST_SEARCH = 100
"""Characters of a search."""
# The fields that a person knows an object by, of those that its source maps. The first ones are shown.
LABELS = (
    *("name", "title", "code", "external_id", "first_name", "last_name", "email"),
    *("user.first_name", "user.last_name", "course.name", "class.name"),
)
MOST_LABELS = 4


def impossible_ids(name: str, ids: Collection[Any]) -> list[str]:
    """Return those ids of a filter that no object can have, because its key does not accept them: a name, for example."""
    for source, _prefix, lookup in _holders(name):
        field = stored_at(source.model, lookup)
        return [str(one) for one in ids if not values_by_id(field, [one])]
    return []


def ids_of_others(name: str, ids: Collection[Any], *, organizations: Collection[Any]) -> list[str]:
    """Return those ids of a filter that no object of these organizations, or of their learners, has or refers to.

    An id of another organization is answered like one that does not exist. If a source can't say, only ids that no object can
    have are returned.
    """
    if name == "organization":
        known: Collection[str] = {str(one) for one in organizations}
    elif any(_owner_lookup(source) is None for source, *_lookups in _holders(name)):
        return impossible_ids(name, ids)
    else:
        known = names_of(name, ids, organizations=organizations)
    return [str(one) for one in ids if str(one) not in known]


def names_of(noun: str, ids: Collection[Any], *, organizations: Any) -> dict[str, str]:
    """Return the labels of those of `IDS_PER_QUERY` objects that these organizations have or refer to, by the ids as text.

    A label begins with the name: "Azure Administrator · AZ-104 · 301".
    """
    found: dict[str, str] = {}
    wanted, existing = list(ids)[:IDS_PER_QUERY], None
    for source, prefix, lookup in _holders(noun):
        if prefix and existing is not None:
            # No object refers to one that does not exist.
            wanted = [one for one in wanted if str(one) in existing]
        by_key = values_by_id(stored_at(source.model, lookup), [one for one in wanted if str(one) not in found])
        condition = Q(**{f"{lookup}__in": list(by_key)})
        for key, label in _labelled(source, prefix, lookup, organizations, condition):
            found.update((str(one), label) for one in by_key.get(key, ()))
        if not prefix:
            rows = all_rows(source.model, using=database_of(source)).filter(condition)
            keys = rows.values_list(lookup, flat=True)
            existing = (existing or set()).union(*(map(str, by_key.get(key, ())) for key in keys))
    return found


def search(noun: str, text: str, *, organizations: Collection[Any]) -> dict[str, str]:
    """Return the labels of at most `MOST_FOUND` objects of these organizations, by id: those with a part of a name, or the id.

    Those of a source of the noun come first, and then those that other objects of the organizations refer to.
    """
    text = text.strip()[:LONGEST_SEARCH]
    found = names_of(noun, [text], organizations=organizations) if text else {}
    for source, prefix, lookup in _holders(noun):
        matching = [Q(**{f"{label}__icontains": text}) for label in _labels(source, prefix)]
        if matching and len(found) < MOST_FOUND:
            for key, label in _labelled(source, prefix, lookup, organizations, reduce(or_, matching)):
                found.setdefault(str(key), label)
    return dict(list(found.items())[:MOST_FOUND])


def _holders(noun: str) -> Iterator[tuple[Source, str, str]]:
    """Yield the sources whose rows are objects of a noun, and then those whose rows refer to one.

    Also the prefix of its fields, and its id's lookup.
    """
    for source in sorted(all_sources(), key=lambda source: source.noun.name != noun):
        prefix = "" if source.noun.name == noun else f"{noun}."
        if (lookup := source.lookup(f"{prefix}id")) is not None:
            yield source, prefix, lookup


def _labels(source: Source, prefix: str) -> list[str]:
    return [label for name in LABELS if (label := source.lookup(prefix + name))][:MOST_LABELS]


def _owner_lookup(source: Source) -> str | None:
    """Return the lookup of the organization, or of all organizations, that own a row; None if SQL can't follow it."""
    several = (path.owners for path in organization_paths(source) if path.owners)
    return next(several, source.lookup(OWNER))


def _labelled(source: Source, prefix: str, lookup: str, organizations: Any, condition: Q) -> Iterator[tuple[Any, str]]:
    """Yield the ids and labels of objects that these organizations, or their learners, have or refer to."""
    owners = filter(None, (_owner_lookup(source), source.lookup(LEARNER)))
    if owned := reduce(or_, (Q(**{f"{one}__in": organizations}) for one in owners), Q()):
        rows = rows_of(source).filter(owned, condition).exclude(**{lookup: None}).order_by(lookup)
        for key, *texts in rows.values_list(lookup, *_labels(source, prefix)).distinct()[:IDS_PER_QUERY]:
            yield key, " · ".join([*(str(one) for one in texts if one), str(key)])


def rows_with(source: Source, rows: Rows, ids: Collection[str]) -> Rows | None:
    """Return those of a source's rows that may have the objects with these ids; None if no column shows it."""
    name, values = source._found_by(ids)
    lookup = source.lookup(name)
    if lookup is None:
        return None
    # Without those that no object of the model can have.
    return rows.filter(**{f"{lookup}__in": list(values_by_id(stored_at(source.model, lookup), values))})


def values_by_id(field: models.Field[Any, Any], ids: Collection[Any]) -> dict[Any, list[Any]]:
    """Return these ids by the values of a field; without those that the field does not accept, which no row has."""
    by_key: dict[Any, list[Any]] = {}
    for one in ids:
        with suppress(ValidationError, ValueError, TypeError, OverflowError):
            by_key.setdefault(field.clean(one, None), []).append(one)
    return by_key
