"""Find the host's objects that filters and previews name: by id, and by name among the objects of some organizations."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import suppress
from functools import reduce
from operator import or_
from typing import Any, NamedTuple

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q

from tms_webhooks.sources.base import LEARNER_ORGANIZATION, OWNER, Source
from tms_webhooks.sources.paths import stored_at
from tms_webhooks.sources.registry import all_sources
from tms_webhooks.sources.row_sets import rows_of

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
    for source in all_sources():
        lookup = _lookup(source, "id" if source.noun.name == name else f"{name}.id")
        if lookup is not None:
            field = stored_at(source.model, lookup)
            return [str(one) for one in ids if not _by_key(field, [one])]
    return []


def ids_of_others(name: str, ids: Collection[Any], *, organizations: Collection[Any]) -> list[str]:
    """Return those ids of a filter that no object of these organizations, or of their learners, has or refers to.

    An id of another organization is answered like one that does not exist. None is returned if a source can't say.
    """
    if name == "organization":
        own = {str(one) for one in organizations}
        return [str(one) for one in ids if str(one) not in own]
    left = dict.fromkeys(ids)
    for source in all_sources():
        path = "id" if source.noun.name == name else f"{name}.id"
        key = _lookup(source, path)
        if key is None:
            continue
        owners = [_lookup(source, OWNER), _lookup(source, LEARNER_ORGANIZATION.name)]
        if owners[0] is None:
            return []
        rows = rows_of(source).filter(reduce(or_, (Q(**{f"{one}__in": list(organizations)}) for one in owners if one)))
        present = _present(rows, key, stored_at(source.model, key), left)
        left = {one: None for one in left if one not in present}
    return [str(one) for one in left]


def search(noun: str, text: str, *, organizations: Collection[Any]) -> list[FoundObject]:
    """Return at most `MOST_FOUND` objects that belong to these organizations, by a part of a name, or by the id.

    A noun without a source of its own, such as a course, is found in the objects that refer to it.
    """
    text = text.strip()[:LONGEST_SEARCH]
    found: dict[str, FoundObject] = {}
    for source in all_sources():
        is_own = source.noun.name == noun
        for one in _search_in(source, "" if is_own else f"{noun}.", text, organizations):
            found.setdefault(one.id, one)
        if len(found) >= MOST_FOUND:
            break
    return list(found.values())[:MOST_FOUND]


def _search_in(source: Source, prefix: str, text: str, organizations: Collection[Any]) -> Iterator[FoundObject]:
    """Yield the objects that one source has or refers to; ``prefix`` begins the names of its fields about them."""
    key, owner = _lookup(source, f"{prefix}id"), _lookup(source, OWNER)
    labels = [lookup for name in LABELS if (lookup := _lookup(source, prefix + name))][:MOST_LABELS]
    if key is None or owner is None or (prefix and not labels):
        return
    rows = rows_of(source).filter(Q(**{f"{owner}__in": list(organizations)}), Q(**{f"{key}__isnull": False}))
    by_label = Q()
    for lookup in labels if text else ():
        by_label |= Q(**{f"{lookup}__icontains": text})
    for matching in [Q(**{key: text}), *([by_label] if labels else [])] if text else [Q()]:
        try:
            found = list(rows.filter(matching).values_list(key, *labels).order_by(key).distinct()[:MOST_FOUND])
        except (TypeError, ValueError, ArithmeticError, ValidationError):
            continue  # No id of this model has such a text.
        for pk, *texts in found:
            yield FoundObject(str(pk), " · ".join([*(str(one) for one in texts if one), str(pk)]))


def _lookup(source: Source, name: str) -> str | None:
    mapped = source.mapped.get(name)
    return mapped.lookup if mapped is not None and isinstance(mapped.lookup, str) else None


def _present(rows: Any, lookup: str, field: models.Field[Any, Any], ids: Collection[Any]) -> set[Any]:
    """Return those of these ids that a row has at a lookup, which leads to ``field``, in few queries."""
    by_key = _by_key(field, ids)
    keys, found = list(by_key), set()
    for start in range(0, len(keys), IDS_PER_QUERY):
        some = rows.filter(**{f"{lookup}__in": keys[start : start + IDS_PER_QUERY]})
        found |= set(some.order_by().values_list(lookup, flat=True).distinct())
    return {one for key in found & by_key.keys() for one in by_key[key]}


def _by_key(field: models.Field[Any, Any], ids: Collection[Any]) -> dict[Any, list[Any]]:
    """Return the ids by the values of a field; without those that the field does not accept, which no row has."""
    by_key: dict[Any, list[Any]] = {}
    for one in ids:
        with suppress(ValidationError, ValueError, TypeError, OverflowError):
            by_key.setdefault(field.clean(one, None), []).append(one)
    return by_key
