"""The digest of an object as a webhook gets it, by which a receiver compares its copy with the database.

It covers what the object's own row and lists hold, and the ids of the objects that it refers to. Values of other rows are
no part of it, such as the name of a course, or the number of enrollments. No event of this object reports their changes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from hashlib import sha256
from typing import Any

from rfc8785 import dumps

from tms_webhooks import catalogue, event_names
from tms_webhooks.catalogue import custom
from tms_webhooks.catalogue.schema import Field
from tms_webhooks.computed import Computed, Expression, Function
from tms_webhooks.payloads.formats.shape import tree_of
from tms_webhooks.sources.base import Source
from tms_webhooks.sources.mapping import input_name
from tms_webhooks.sources.registry import sources_of_noun
from tms_webhooks.sources.states import SAVE_TIMESTAMPS, lists_of

LENGTH = 32
"""The hexadecimal digits of a digest: the first ones of a SHA-256."""

# How `envelope.to_text` writes the key before which the digest has its place. The first match is the envelope's own key:
# inside a string the quotes would be escaped.
DATA = '"data":'

# The largest number up to which each whole number is exact in JSON, as most programs read it.
EXACT = 2**53 - 1

MOST_BUCKETS = 4_096
"""Into which the objects of a noun can be divided."""

COMPUTED = {"courses": {"id": "id", "completed_at": "completed_at"}}
"""The own values in the lists of objects that no row has: of a computed learning path, not the names of its courses."""

# Python's encoder is ten times as fast as the library, and writes the same, except for tiny numbers and some orders of keys.
# Texts that may have one of both go through the library: the exponent of a tiny number, or a pair of units in UTF-16.
_as_json = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False, sort_keys=True).encode
_EXPONENT = re.compile(r"\de-")
_PAIR = re.compile("[\U00010000-\U0010ffff]")

# Several webhooks get one event, one after the other. The digests of this number of events are kept for that.
RECENT_EVENTS = 64

_read_json = json.JSONDecoder().raw_decode
_TYPE = re.compile(r'"type":"([^"\\]*)"')

Tree = Mapping[str, Any]


def digested(body: str, detail: str) -> str:
    """Return the body of a stored event with its digest for a webhook with this `PayloadDetail`.

    The body stays as it is if it has a digest already, as a sample has, or can have none. Without a digest are events of
    nouns without rows to compare with, and those of objects that the webhook sees no longer.
    """
    digest = _digest_for(body, detail)
    return body if digest is None else body.replace(DATA, f'"digest":"{digest}",{DATA}', 1)


@partial(custom.cached, most=RECENT_EVENTS)
def _digest_for(body: str, detail: str) -> str | None:
    """Return the digest that the body of a stored event lacks; None if it has one or can have none."""
    start = max(body.find(DATA), 0)
    # The first match is the envelope's own key: before it is the id alone.
    found = _TYPE.search(body, 0, start)
    if found is None or body.find('"digest":', 0, start) != -1 or event_names.is_removal(found[1]):
        return None
    try:
        tree = _tree_of(found[1], detail)
        return None if tree is None else hashed(_read_json(body, start + len(DATA))[0], tree)
    except (ArithmeticError, LookupError, TypeError, ValueError):
        # No event at all, or one of a type that was removed. It must not stop the others that are sent with it.
        return None


def digest_of(noun: str, data: Mapping[str, Any], detail: str) -> str:
    """Return the digest of an object of a noun, whose rows a snapshot can send. ``data`` is that of its event."""
    return hashed(data, _tree_of(event_names.snapshot_of(noun), detail) or {})


def bucket_of(key: str, buckets: int) -> int:
    """Return the number, from 0, of the bucket among so many ``buckets`` that the object with this id as text is in."""
    return int(sha256(key.encode()).hexdigest()[:8], 16) % buckets


def digest_of_bucket(digests: Mapping[str, str]) -> str:
    """Return the digest of a bucket that holds objects with these digests, by their ids as text."""
    lines = sorted(f"{key}:{digest}" for key, digest in digests.items())
    return sha256("\n".join(lines).encode()).hexdigest()[:LENGTH]


def own_fields(noun: str) -> list[Field]:
    """Return the fields of a noun that its digest covers. A list of objects has only the fields of their own rows."""
    sources = sources_of_noun(noun)
    found = []
    for field in (*sources[0].noun.fields, *custom.fields_of(noun)) if sources else ():
        if field.name not in SAVE_TIMESTAMPS:
            # A noun may have several sources. A value of another row in one of them is no part of any digest.
            parts = [_own_part(one, field) for one in sources if field.name in one.available]
            found += [part for part in parts[:1] if part is not None and None not in parts]
    return found


def hashed(value: Any, tree: Tree | None = None) -> str:
    """Return the digest of a value of JSON, or of the parts of it that a tree names: of its canonical JSON (RFC 8785)."""
    picked = _picked(value, tree)
    text = _as_json(picked)
    for_library = ("e-" in text and _EXPONENT.search(text)) or (not text.isascii() and _PAIR.search(text))
    return sha256(dumps(picked) if for_library else text.encode()).hexdigest()[:LENGTH]


def _picked(value: Any, tree: Tree | None) -> Any:
    """Return the parts of a value that a tree names, without nulls: a new field without a value changes no digest.

    Each whole number has one form, however a database or a program wrote it: one beyond `EXACT` is text.
    """
    kind = type(value)
    if kind is dict:
        if tree is None:
            return {name: one if type(one) is str else _picked(one, None) for name, one in value.items()}
        parts = {}
        for name, below in tree.items():
            part = value.get(name)
            if part is not None and type(part) is not str:
                part = _picked(part, below)
            if part is not None:
                parts[name] = part
        return parts or None
    if kind is list:
        return [_picked(one, tree) for one in value]
    if kind is int:
        return value if -EXACT <= value <= EXACT else str(value)
    if kind is float and value == value // 1:
        return int(value) if -EXACT <= value <= EXACT else str(int(value))
    return value


@custom.cached
def _tree_of(event_type: str, detail: str) -> Tree | None:
    """Return the names of the fields that the digest in an event covers, as `tree_of`; None for a noun without rows."""
    return tree_of(own_fields(catalogue.get(event_type).noun.name), detail) or None


def _own_part(source: Source, field: Field) -> Field | None:
    """Return a field as far as the object's own row and lists have its value; None if they do not have it."""
    columns: Mapping[str, str] | str = ""
    if related := lists_of(source).get(field.name):
        columns = related.columns
    elif field.name in source.made:
        columns = COMPUTED.get(field.name, "")
    if isinstance(columns, str):
        return field if _is_own(source, field.name) else None
    items = tuple(item for item in field.items if "__" not in columns.get(item.name, "__"))
    return replace(field, items=items) if items else None


def _is_own(source: Source, name: str) -> bool:
    """Return whether the value of a field is a column of the object's own row, a list of its own, or made of such alone."""
    path = source.path_of(name)
    if isinstance(path, Computed) and path.function is None:
        # `events_for` adds it. Of an object without a row of its own, the id is known; it may name others.
        return name == "id"
    if not isinstance(path, Expression) or isinstance(path, Function):
        return _is_own_value(source, name)
    fields = {field.name for field in source.all_fields} - {name}
    return all(_is_own(source, one) if one in fields else _is_own_value(source, input_name(one)) for one in path.paths)


def _is_own_value(source: Source, name: str) -> bool:
    related = lists_of(source).get(name)
    if related is None:
        return name in source.own
    if related.relation.target:
        # Of objects that a many-to-many field lists, the row has the keys.
        return bool(related.columns == related.relation.listed._meta.pk.attname)
    return "__" not in related.columns
