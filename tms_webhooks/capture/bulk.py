"""Records the events of saves and bulk operations: `sources.querysets` calls this module as its `BulkCapture`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, TypeAlias

from django.db import connections, models, transaction

from tms_webhooks.capture import many_to_many, saves
from tms_webhooks.capture.captured_rows import CapturedRows, chunks, sources_to_record
from tms_webhooks.capture.transactions import atomic, has_outbox
from tms_webhooks.db.django_private import InsertConflict, is_loading_fixture
from tms_webhooks.models import Event
from tms_webhooks.sources.base import Source
from tms_webhooks.sources.families import by_source, replaces, with_replacements
from tms_webhooks.sources.querysets import CHUNK, Rows, needs_one_statement
from tms_webhooks.sources.registry import sources_of
from tms_webhooks.sources.row_sets import at_keys, conflicting, exactly, key_name, locked_keys

__all__ = ["atomic", "captures_inserts", "delete", "insert", "save", "update"]

logger = logging.getLogger(__name__)

# Captured rows of several sources, each with its keys.
Parts: TypeAlias = list[tuple[CapturedRows, list[Any]]]


def save(
    instance: models.Model, write: Callable[[], None], *, using: str, raw: bool, names: Collection[str] | None
) -> None:
    """Have ``write`` save ``instance``, and record its events, in one transaction. Fixtures record no events.

    ``names`` are the fields that it writes, or None for all: of fields that are in no event, nothing is read.
    """
    model = type(instance)
    plan, lists = saves.plan_of(model), many_to_many.sources_by_rows.get(model)
    if (plan.is_untouched(names) and not lists) or not has_outbox(using) or (raw and is_loading_fixture()):
        write()
        return
    in_transaction = connections[using].in_atomic_block
    with atomic(using):
        if not lists:
            saves.save(plan, instance, write, using=using, in_transaction=in_transaction)
            return
        keys = many_to_many.keys_of_row(instance, using=using)
        with many_to_many.captured_change(model, instance, lists, keys, using=using):
            saves.save(plan, instance, write, using=using, in_transaction=in_transaction)


def update(rows: Rows, write: Callable[[Rows], int], values: Mapping[str, Any]) -> int:
    """Have ``write`` update ``rows`` with ``values`` chunk by chunk, and record the events; return the number of updated rows."""
    lists = many_to_many.sources_by_rows.get(rows.model)
    if not lists:
        return _update(rows, write, values)
    with atomic(rows.db):
        keys = many_to_many.keys_of_rows(rows, values)
        with many_to_many.captured_change(rows.model, rows, lists, keys, using=rows.db):
            return _update(rows, write, values)


def _update(rows: Rows, write: Callable[[Rows], int], names: Collection[str]) -> int:
    using = rows.db
    sources = sources_of(rows.model)
    wanted = sources_to_record(with_replacements(sources), using=using)
    if not wanted:
        return write(rows)
    with atomic(using):
        if len(sources) == 1 and key_name(rows.model, sources[0]) == "pk" and len(with_replacements(sources)) == 1:
            few = CapturedRows(sources[0], using=using)
            keys = few.read_few(rows)
            if keys is not None:
                updated = write(exactly(rows, keys))
                few.record_after(keys)
                return updated
        keys = locked_keys(rows, [key_name(rows.model, source) for source in sources])
        if not keys:
            # Django still validates the names of the fields.
            return write(exactly(rows, []))
        size = len(keys) if needs_one_statement(rows.model, names) else CHUNK
        total = 0
        for chunk in chunks(keys, size):
            row_keys, *keys_by_source = zip(*chunk, strict=True)
            parts = dict(zip(sources, keys_by_source, strict=True))
            total += _update_chunk(exactly(rows, row_keys), write, _captured(parts, wanted, using=using))
        return total


def _update_chunk(rows: Rows, write: Callable[[Rows], int], captured: Parts) -> int:
    for one, its_keys in captured:
        one.read_before(its_keys)
    updated = write(rows)
    for one, its_keys in captured:
        one.record_after(its_keys)
    return updated


def _captured(keys: Mapping[Source, Sequence[Any]], wanted: Collection[Source], *, using: str) -> Parts:
    """Return the rows of sources that are ``wanted``, by the sources that read them, each with its keys."""
    parts = [part for source, its_keys in keys.items() for part in by_source(source, its_keys, using=using)]
    return [(CapturedRows(source, using=using), its_keys) for source, its_keys in parts if source in wanted]


def captures_inserts(rows: Rows) -> bool:
    """Return whether a subscription matches the events of new rows, or of rows that an upsert updates."""
    sources = [*sources_of(rows.model), *many_to_many.sources_by_rows.get(rows.model, ())]
    if not sources_to_record(with_replacements(sources), using=rows.db):
        return False
    if connections[rows.db].features.can_return_rows_from_bulk_insert:
        return True
    logger.warning(
        "The events of new rows of %s are not recorded: this database does not return the keys of a bulk insert.",
        rows.model._meta.label,
    )
    return False


def insert(
    rows: Rows, objs: Sequence[models.Model], write: Callable[[], list[Any]], conflict: InsertConflict | None
) -> None:
    """Have ``write`` insert ``objs``, and record the events of the rows whose keys it returns, new or updated."""
    using = rows.db
    updates = conflict is not None and conflict.updates
    existing = conflicting(rows.model, objs, conflict.unique, using=using) if conflict and updates else []
    lists = many_to_many.sources_by_rows.get(rows.model)
    if not lists:
        _insert(rows, write, existing)
        return
    keys = many_to_many.keys_of_new_rows(objs, at_keys(rows.model, existing, using=using))
    with many_to_many.captured_change(rows.model, rows, lists, keys, using=using):
        _insert(rows, write, existing)


def _insert(rows: Rows, write: Callable[[], list[Any]], existing: Sequence[Any]) -> None:
    using = rows.db
    sources = sources_of(rows.model)
    wanted = sources_to_record(with_replacements(sources), using=using)
    captured = _captured(dict.fromkeys(sources, existing), wanted, using=using)
    for one, its_keys in captured:
        one.read_before(its_keys)
    keys = write()
    special = {one.source: its_keys for one, its_keys in captured if one.source not in sources}
    for one, _existing in captured:
        others = {key for source, its_keys in special.items() if replaces(source, one.source) for key in its_keys}
        one.record_after(special.get(one.source, [key for key in keys if key not in others]))


def delete(rows: Rows, write: Callable[[Rows], tuple[int, dict[str, int]]]) -> tuple[int, dict[str, int]]:
    """Record the deletion of ``rows``, and have ``write`` delete them. Django's signals report cascaded deletions."""
    using, model = rows.db, rows.model
    # Django sends signals for the rows that an extending model has in its parents' tables.
    sources = [one for one in sources_of(model) if one.model._meta.concrete_model is model._meta.concrete_model]
    wanted = sources_to_record(with_replacements(sources), using=using, deletions=True)
    if not wanted or _is_organization(model):
        return write(rows)
    # The savepoint removes the events of a deletion that is refused, which the host may catch.
    with atomic(using), transaction.atomic(using=using), ExitStack() as skipped:
        keys = [key for (key,) in locked_keys(rows)]
        for chunk in chunks(keys, CHUNK):
            for captured, its_keys in _captured(dict.fromkeys(sources, chunk), wanted, using=using):
                captured.record_deletions(its_keys)
        for source in wanted:
            skipped.enter_context(saves.skip_deletions(source, keys, using=using))
        return write(exactly(rows, keys))


def _is_organization(model: type[models.Model]) -> bool:
    """Return whether these rows are organizations, whose webhooks are deleted with them."""
    owner: Any = Event._meta.get_field("organization").related_model
    return isinstance(owner, type) and issubclass(model, owner)
