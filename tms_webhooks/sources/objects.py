"""Find the host's objects that filters and previews name: by id, and by name among the objects of some organizations."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import suppress
from functools import reduce
from itertools import chain
from operator import or_
from typing import Any, NamedTuple

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q

from tms_webhooks.sources.base import LEARNER_ORGANIZATION, OWNER, Source
from tms_webhooks.sources.paths import stored_at
from tms_webhooks.sources.registry import all_sources
from tms_webhooks.sources.rows import rows_of

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


class FoundObject(NamedTuple):
    """One object: its id, as events have it, and a text for people."""

    id: str
    label: str


def impossible_ids(name: str, ids: Collection[Any]) -> list[str]:
    """Return those ids of a filter that no object can have, because its key does not accept them: a name, for example."""
    for source, _prefix, lookup in _holders(name):
        field = stored_at(source.model, lookup)
        return [str(one) for one in ids if not values_by_id(field, [one])]
    return []


def ids_of_others(name: str, ids: Collection[Any], *, organizations: Collection[Any]) -> list[str]:
    """Return those ids of a filter that no object of these organizations, or of their learners, has or refers to.

    An id of another organization is answered like one that does not exist. None is returned if a source can't say.
    """
    if name == "organization":
        own = {str(one) for one in organizations}
        return [str(one) for one in ids if str(one) not in own]
    left = dict.fromkeys(ids)
    for source, _prefix, lookup in _holders(name):
        owner, learner = _lookup(source, OWNER), _lookup(source, LEARNER_ORGANIZATION.name)
        if owner is None:
            return []
        rows = _owned(source, organizations, owner, learner)
        by_key = values_by_id(stored_at(source.model, lookup), left)
        present = rows.filter(**{f"{lookup}__in": list(by_key)}).order_by().values_list(lookup, flat=True).distinct()
        for one in chain.from_iterable(by_key.get(key, ()) for key in present):
            left.pop(one)
    return [str(one) for one in left]


def search(noun: str, text: str, *, organizations: Collection[Any]) -> list[FoundObject]:
    """Return at most `MOST_FOUND` objects that belong to these organizations, by a part of a name, or by the id.

    A noun without a source of its own, such as a course, is found in the objects that refer to it.
    """
    text = text.strip()[:LONGEST_SEARCH]
    found: dict[str, FoundObject] = {}
    for source, prefix, lookup in _holders(noun):
        labels = [label for name in LABELS if (label := _lookup(source, prefix + name))][:MOST_LABELS]
        owner = _lookup(source, OWNER)
        if owner is None or (prefix and not labels):
            continue
        conditions = (
            [Q(**{lookup: key}) for key in values_by_id(stored_at(source.model, lookup), [text])] if text else [Q()]
        )
        if text and labels:
            conditions.append(reduce(or_, (Q(**{f"{label}__icontains": text}) for label in labels)))
        rows = _owned(source, organizations, owner).exclude(**{lookup: None})
        for condition in conditions:
            for key, *texts in (
                rows.filter(condition).values_list(lookup, *labels).order_by(lookup).distinct()[:MOST_FOUND]
            ):
                label = " · ".join([*(str(one) for one in texts if one), str(key)])
                found.setdefault(str(key), FoundObject(str(key), label))
        if len(found) >= MOST_FOUND:
            break
    return list(found.values())[:MOST_FOUND]


def _holders(noun: str) -> Iterator[tuple[Source, str, str]]:
    """Yield the sources whose rows are objects of a noun or refer to one; also the prefix of its fields, and its id's lookup."""
    for source in all_sources():
        prefix = "" if source.noun.name == noun else f"{noun}."
        if (lookup := _lookup(source, f"{prefix}id")) is not None:
            yield source, prefix, lookup


def _lookup(source: Source, name: str) -> str | None:
    mapped = source.mapped.get(name)
    return mapped.lookup if mapped is not None and isinstance(mapped.lookup, str) else None


def _owned(source: Source, organizations: Collection[Any], *lookups: str | None) -> models.QuerySet[Any]:
    """Return the rows with one of these organizations at one of the lookups."""
    return rows_of(source).filter(reduce(or_, (Q(**{f"{one}__in": list(organizations)}) for one in lookups if one)))


def values_by_id(field: models.Field[Any, Any], ids: Collection[Any]) -> dict[Any, list[Any]]:
    """Return these ids by the values of a field; without those that the field does not accept, which no row has."""
    by_key: dict[Any, list[Any]] = {}
    for one in ids:
        with suppress(ValidationError, ValueError, TypeError, OverflowError):
            by_key.setdefault(field.clean(one, None), []).append(one)
    return by_key
