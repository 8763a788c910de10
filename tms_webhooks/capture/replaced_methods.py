"""The methods of Django that capture replaces: ``Model.save_base`` for single saves, and five methods of ``QuerySet``.

They look up the model first. So a host's managers and querysets stay as they are, and what Django does by itself is
captured, too, such as ``SET_NULL``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any, TypeAlias

from django.db import models, router, transaction

from tms_webhooks.capture import many_to_many, saves
from tms_webhooks.capture.captured_rows import (
    CapturedRows,
    captured_tree,
    chunks,
    organization_models,
    sources_of_table,
    sources_to_record,
)
from tms_webhooks.capture.many_to_many import captured_change, sources_by_rows
from tms_webhooks.capture.saves import atomic
from tms_webhooks.db.django_private import (
    copy_of,
    forget_results,
    insert_returning_keys,
    is_loading_fixture,
    returns_values,
    updates_existing,
    use_write_database,
    wrap_methods,
)
from tms_webhooks.sources.paths import Model
from tms_webhooks.sources.registry import sources_of
from tms_webhooks.sources.rows import CHUNK, Rows, at_keys, conflicting, exactly, key_lookup, locked_keys, unique_fields

# A method of Django's own ``QuerySet``.
Method: TypeAlias = Callable[..., Any]

# The models whose changes are captured.
captured_models: set[Model] = set()


def capture(model: Model) -> None:
    """Capture the changes of a model, whichever manager or queryset they are made by."""
    _replace_methods()
    captured_models.add(model)


@cache
def _replace_methods() -> None:
    wrap_methods(models.QuerySet, _METHODS)
    # Every save calls it.
    wrap_methods(models.Model, {"save_base": _save_base})


def _is_captured(rows: Rows) -> bool:
    """Return whether a queryset's changes are captured. Signals report the rows of models that Django creates for relations."""
    return rows.model in captured_models and not rows.model._meta.auto_created


# The replaced methods


def _save_base(
    save_base: Method,
    instance: models.Model,
    raw: bool = False,  # noqa: FBT001, FBT002 (Django's signature)
    force_insert: Any = False,  # noqa: FBT002
    force_update: bool = False,  # noqa: FBT001, FBT002
    using: str | None = None,
    update_fields: Collection[str] | None = None,
) -> None:
    """Save as Django does, and emit the events of the change. Fixtures record no events."""
    model = type(instance)
    using = using or router.db_for_write(model, instance=instance)
    arguments = (raw, force_insert, force_update, using, update_fields)
    if raw and is_loading_fixture():
        save_base(instance, *arguments)
        return
    is_in_tree = model in organization_models and not instance._state.adding
    tree = captured_tree(at_keys(model, [instance.pk], using=using), update_fields) if is_in_tree else nullcontext()
    lists: AbstractContextManager[None] = nullcontext()
    if model in sources_by_rows:
        lists = captured_change(model, instance, many_to_many.keys_of_row(instance, using=using), using)
    with tree, lists:
        if model in captured_models:
            saves.save(instance, lambda: save_base(instance, *arguments), using=using, names=update_fields)
        else:
            save_base(instance, *arguments)


def _update(update: Method, rows: Rows, **values: Any) -> int:
    """Update as Django does, and emit an event for each object that changes."""
    is_captured, is_in_tree = _is_captured(rows), rows.model in organization_models
    # Django refuses to update these querysets, with its own message.
    if rows.query.is_sliced or rows.query.combinator or not (is_captured or is_in_tree):
        return update(rows, **values)  # type: ignore[no-any-return]
    use_write_database(rows)
    with captured_tree(rows, values) if is_in_tree else nullcontext():
        return _update_captured(update, rows, values) if is_captured else update(rows, **values)


def _update_captured(update: Method, rows: Rows, values: dict[str, Any]) -> int:
    forget_results(rows)
    using, model = rows.db, rows.model
    with captured_change(model, rows, many_to_many.keys_of_rows(rows, values), using):
        wanted = sources_to_record(sources_of(model), using=using, updated=values)
        if not wanted:
            return update(rows, **values)  # type: ignore[no-any-return]
        # A host that catches an error must not commit rows without their events.
        with atomic(using), transaction.mark_for_rollback_on_error(using=using):
            few = CapturedRows(wanted[0], using=using)
            if len(wanted) == 1 and wanted[0] in sources_of_table(model) and few.read_few(rows):
                total: int = update(exactly(rows, few.keys), **values)
                few.record_after()
                return total
            keys, total = locked_keys(rows, [key_lookup(model, source) for source in wanted]), 0
            for chunk in chunks(keys, len(keys) if _needs_one_statement(model, values) else CHUNK):
                row_keys, *keys_by_source = zip(*chunk, strict=True)
                captured = [CapturedRows(source, using=using) for source in wanted]
                for one, source_keys in zip(captured, keys_by_source, strict=True):
                    one.read_before(source_keys)
                total += update(exactly(rows, row_keys), **values)
                for one in captured:
                    one.record_after()
            return total


def _bulk_update(
    bulk_update: Method, rows: Rows, objs: Iterable[Any], fields: Iterable[str], batch_size: int | None = None
) -> int:
    """Update as Django does, `CHUNK` objects at a time, in one transaction. Django calls ``update`` for each batch."""
    names = list(fields)
    if not _is_captured(rows):
        return bulk_update(rows, objs, names, batch_size=batch_size)  # type: ignore[no-any-return]
    use_write_database(rows)
    if not _needs_one_statement(rows.model, names) and (batch_size is None or batch_size > CHUNK):
        batch_size = CHUNK
    with atomic(rows.db):
        return bulk_update(rows, objs, names, batch_size=batch_size)  # type: ignore[no-any-return]


def _needs_one_statement(model: Model, names: Collection[str]) -> bool:
    """Return whether an update of these fields must be a single statement, however many rows it changes.

    This is so for unique fields: between two statements the values may violate the constraint.
    """
    unique = {field for fields in unique_fields(model) for field in fields}
    return not unique.isdisjoint(model._meta.get_field(name) for name in names if name != "pk")


def _bulk_create(bulk_create: Method, rows: Rows, objs: Iterable[Any], *args: Any, **kwargs: Any) -> list[Any]:
    """Insert as Django does, and emit the events of new objects, and of objects that a conflict updates."""
    if _is_captured(rows):
        use_write_database(rows)
        sources = [*sources_of(rows.model), *sources_by_rows.get(rows.model, ())]
        if wanted := sources_to_record(sources, using=rows.db):
            # A copy, so that only this insert is captured: copies of it do not inherit the attribute.
            inserting: Any = copy_of(rows)
            inserting.tms_webhooks_wanted = wanted
            # A host that catches an error must not commit rows without their events.
            with atomic(rows.db), transaction.mark_for_rollback_on_error(using=rows.db):
                return bulk_create(inserting, objs, *args, **kwargs)  # type: ignore[no-any-return]
    return bulk_create(rows, objs, *args, **kwargs)  # type: ignore[no-any-return]


def _insert(insert: Method, rows: Rows, objs: Sequence[models.Model], fields: Any, **options: Any) -> list[Any]:
    """Insert one batch of ``bulk_create``, and record the events of its rows, new or updated. Every other insert comes this way too."""
    model, using, wanted = rows.model, rows.db, vars(rows).get("tms_webhooks_wanted")
    if wanted is None:
        return insert(rows, objs, fields, **options)  # type: ignore[no-any-return]
    unique = options.get("unique_fields") or ()
    existing = conflicting(model, objs, unique, using=using) if updates_existing(options) else []
    keys_of_new = many_to_many.keys_of_rows(at_keys(model, existing, using=using), new=objs)
    with captured_change(model, rows, keys_of_new, using):
        captured = [CapturedRows(one, using=using) for one in sources_of(model) if one in wanted]
        for one in captured:
            one.read_before(existing)
        keys, returned = insert_returning_keys(insert, rows, objs, fields, **options)
        for one in captured:
            one.record_after(keys)
    return returned


def _delete(delete: Method, rows: Rows) -> tuple[int, dict[str, int]]:
    """Delete as Django does, and emit an event for each deleted object. Django's signals report cascaded deletions."""
    query: Any = rows.query
    model = rows.model
    is_refused = query.is_sliced or query.distinct_fields or query.combinator or returns_values(rows)
    if is_refused or not _is_captured(rows):
        return delete(rows)  # type: ignore[no-any-return]
    use_write_database(rows)
    forget_results(rows)
    using = rows.db
    wanted = sources_to_record(sources_of_table(model), using=using, deletions=True)
    if not wanted or model in organization_models:
        return delete(rows)  # type: ignore[no-any-return]
    # The savepoint removes the events of a deletion that is refused, which the host may catch.
    with atomic(using), transaction.atomic(using=using):
        keys = [key for (key,) in locked_keys(rows)]
        for chunk in chunks(keys, CHUNK):
            for source in wanted:
                CapturedRows(source, using=using).record_deletions(chunk)
        saves.open_deletion(using).objects.update((source, key) for source in wanted for key in keys)
        return delete(exactly(rows, keys))  # type: ignore[no-any-return]


_METHODS: dict[str, Method] = {
    "update": _update,
    "bulk_update": _bulk_update,
    "bulk_create": _bulk_create,
    "_insert": _insert,
    "delete": _delete,
}
