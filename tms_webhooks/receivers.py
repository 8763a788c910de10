"""Listening to the host's models: old values before a change, events after it, in one transaction with it."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.apps import apps
from django.db import DatabaseError, models, router, transaction
from django.db.models.signals import post_save, pre_delete, pre_save
from django.utils import timezone

from tms_webhooks.conf import strict_payloads
from tms_webhooks.outbox.record import record_change
from tms_webhooks.sources.base import Source
from tms_webhooks.sources.changes import diff
from tms_webhooks.sources.registry import sources_of
from tms_webhooks.sources.snapshots import Before, read_before, read_whole

PENDING = "_tms_webhooks_before"

logger = logging.getLogger(__name__)


def connect(source: Source) -> None:
    """Listen to the changes of a source's model and of the models that extend it. Idempotent."""
    for model in _family(source.model):
        uid = f"tms_webhooks:{model._meta.label}"
        pre_save.connect(before_save, sender=model, dispatch_uid=uid)
        post_save.connect(after_save, sender=model, dispatch_uid=uid)
        pre_delete.connect(before_delete, sender=model, dispatch_uid=uid)
        if not hasattr(model.save_base, "tms_webhooks_original"):
            model.save_base = _in_transaction(model.save_base)  # type: ignore[method-assign]


def disconnect(source: Source) -> None:
    """Undo `connect`."""
    for model in _family(source.model):
        uid = f"tms_webhooks:{model._meta.label}"
        pre_save.disconnect(sender=model, dispatch_uid=uid)
        post_save.disconnect(sender=model, dispatch_uid=uid)
        pre_delete.disconnect(sender=model, dispatch_uid=uid)
        if "save_base" in vars(model) and hasattr(model.save_base, "tms_webhooks_original"):
            model.save_base = model.save_base.tms_webhooks_original  # type: ignore[method-assign]


def before_save(sender: type[models.Model], instance: models.Model, *, raw: bool, using: str, **_kwargs: Any) -> None:
    """Read what the database holds of ``instance``, and lock it. Fixtures (``raw``) tell nothing."""
    pending: list[tuple[Source, Before]] = []
    for source in () if raw else sources_of(sender):
        with never_breaking(source):
            pending.append((source, read_before(source, instance.pk, using=using)))
    vars(instance).setdefault(PENDING, []).append(pending)


def after_save(sender: type[models.Model], instance: models.Model, *, using: str, **_kwargs: Any) -> None:
    """Record what the change means to those who asked."""
    for source, before in _take(instance):
        if before.wanted:
            with never_breaking(source):
                _record(source, instance, before, using=using)


def before_delete(sender: type[models.Model], instance: models.Model, *, using: str, **_kwargs: Any) -> None:
    """Record a deletion while the row and all that it refers to are still there. Django has begun a transaction."""
    for source in sources_of(sender):
        with never_breaking(source):
            before = read_before(source, instance.pk, using=using)
            raw = read_whole(source, instance, using=using) if before.wanted else None
            if raw is not None:
                record_change(source, diff(source, before=raw, after=None, now=timezone.now()), using=using)


@contextmanager
def never_breaking(source: Source) -> Iterator[None]:
    """Log what the host's declaration of a source gets wrong, so that it can't break the host's write.

    Errors of the database pass: the transaction is broken by then, and the change and its event go together.
    Under DEBUG and in tests everything passes.
    """
    try:
        yield
    except DatabaseError:
        raise
    except Exception:
        if strict_payloads():
            raise
        logger.exception("A change of %s could not be turned into an event.", source.model._meta.label)


def _record(source: Source, instance: models.Model, before: Before, *, using: str) -> None:
    raw = read_whole(source, instance, using=using)
    if raw is not None:
        record_change(source, diff(source, before=before.raw, after=raw, now=timezone.now()), using=using)


def _take(instance: models.Model) -> list[tuple[Source, Before]]:
    stack: list[list[tuple[Source, Before]]] = vars(instance).get(PENDING, [])
    pending = stack.pop() if stack else []
    if not stack:
        vars(instance).pop(PENDING, None)
    return pending


def _in_transaction(save_base: Callable[..., None]) -> Callable[..., None]:
    """Wrap ``save_base`` so that the row and its events commit together, also in autocommit mode.

    Django sends ``post_save`` after the row is committed there: a process that dies in between would lose the event.
    """

    @functools.wraps(save_base)
    def wrapper(self: models.Model, *args: Any, using: str | None = None, **kwargs: Any) -> None:
        using = using or router.db_for_write(type(self), instance=self)
        depth = len(vars(self).get(PENDING, ()))
        try:
            with transaction.atomic(using=using, savepoint=False):
                save_base(self, *args, using=using, **kwargs)
        finally:
            # What a failed save left behind must not be taken for the old values of the next.
            del vars(self).get(PENDING, [])[depth:]

    wrapper.tms_webhooks_original = save_base  # type: ignore[attr-defined]
    wrapper.alters_data = True  # type: ignore[attr-defined]
    return wrapper


def _family(model: type[models.Model]) -> list[type[models.Model]]:
    """Return the model with its proxies and the models that extend it: Django's signals name those as senders."""
    return [other for other in apps.get_models() if issubclass(other, model)]
