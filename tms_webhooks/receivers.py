"""Listening to the host's models: old values before a change, events after it, in one transaction with it."""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from django.apps import apps
from django.db import Error, connections, models, router, transaction
from django.db.models.signals import post_save, pre_delete, pre_save
from django.utils import timezone

from tms_webhooks.conf import strict_payloads
from tms_webhooks.models import Event
from tms_webhooks.outbox.record import record_change
from tms_webhooks.sources.base import Source
from tms_webhooks.sources.changes import diff
from tms_webhooks.sources.registry import sources_of
from tms_webhooks.sources.snapshots import Before, key_of, read_before, read_whole

logger = logging.getLogger(__name__)

# Which sources each model is listened to for: a model that two sources share is let go with the last of them.
_listening: dict[type[models.Model], set[Source]] = {}


@dataclass(slots=True)
class Watched:
    """An object that is being saved, for one source: what its row held, and what was told of it since."""

    source: Source
    instance: models.Model
    using: str
    before: Before
    told: list[tuple[list[Any], dict[str, Any]]] = field(default_factory=list)


class _UnderWay(threading.local):
    """The saves that this thread is in the middle of, the innermost last."""

    def __init__(self) -> None:
        self.depth = 0
        self.saves: list[tuple[models.Model, list[Watched]]] = []


_under_way = _UnderWay()


def connect(source: Source) -> None:
    """Listen to the changes of a source's model and of the models that extend it. Idempotent."""
    for model in _family(source.model):
        _listening.setdefault(model, set()).add(source)
        for signal, receiver in RECEIVERS:
            signal.connect(receiver, sender=model, dispatch_uid=_uid(model))
        if not hasattr(vars(model).get("save_base"), "tms_webhooks_undo"):
            model.save_base = _in_transaction(model)  # type: ignore[method-assign]
    owner = _organization_model()
    pre_delete.connect(before_organization_delete, sender=owner, dispatch_uid=f"{_uid(owner)}:owner")


def disconnect(source: Source) -> None:
    """Undo `connect`."""
    for model in _family(source.model):
        sources = _listening.get(model, set())
        sources.discard(source)
        if sources or model not in _listening:
            continue
        del _listening[model]
        for signal, _receiver in RECEIVERS:
            signal.disconnect(sender=model, dispatch_uid=_uid(model))
        undo = getattr(vars(model).get("save_base"), "tms_webhooks_undo", None)
        if undo is not None:
            undo()


def before_save(sender: type[models.Model], instance: models.Model, *, raw: bool, using: str, **_kwargs: Any) -> None:
    """Read what the database holds of ``instance``, and lock it. Fixtures (``raw``) tell nothing."""
    if raw:
        return
    if not _under_way.depth:
        # Somebody calls Model.save_base itself: what is left here is of such a call that failed.
        _under_way.saves.clear()
    watched: list[Watched] = []
    with transaction.atomic(using=using, savepoint=False):
        for source in sources_of(sender):
            with never_breaking(source):
                watched.append(_watch(source, instance, using=using))
    _under_way.saves.append((instance, watched))


def after_save(instance: models.Model, *, raw: bool, using: str, **_kwargs: Any) -> None:
    """Record what the change means to those who asked."""
    if raw:
        return
    with transaction.atomic(using=using, savepoint=False):
        for watched in _take(instance):
            with never_breaking(watched.source):
                _tell(watched)


def before_delete(sender: type[models.Model], instance: models.Model, *, using: str, **kwargs: Any) -> None:
    """Record a deletion while the row and all that it refers to are still there. Django has begun a transaction."""
    if _is_organization(kwargs.get("origin")):
        # Its webhooks go with it: there is nobody left to tell.
        return
    with transaction.atomic(using=using, savepoint=False):
        for source in sources_of(sender):
            # The rows that an extending model has in its parents' tables are announced by their own.
            if source.model._meta.concrete_model is sender._meta.concrete_model:
                with never_breaking(source):
                    _tell_deletion(source, instance, using=using)


def before_organization_delete(instance: models.Model, *, using: str, **_kwargs: Any) -> None:
    """Let the organization's newest events go with it: Django has collected what refers to it before they were there."""
    Event.objects.using(using).to_fan_out().filter(organization_id=instance.pk).delete()


def _is_organization(origin: Any) -> bool:
    """Whether a deletion began with an organization, or with a queryset of them."""
    model = origin.model if isinstance(origin, models.QuerySet) else type(origin)
    return issubclass(model, _organization_model())


RECEIVERS = ((pre_save, before_save), (post_save, after_save), (pre_delete, before_delete))


@contextmanager
def never_breaking(source: Source) -> Iterator[None]:
    """Log what the host's declaration of a source gets wrong, so that it can't break the host's write.

    Errors of the database pass: the transaction is broken by then, and the change and its event go together.
    Under DEBUG and in tests everything passes.
    """
    try:
        yield
    except Error:
        raise
    except Exception:
        if strict_payloads():
            raise
        logger.exception("A change of %s could not be turned into an event.", source.model._meta.label)


def _watch(source: Source, instance: models.Model, *, using: str) -> Watched:
    key = key_of(source, instance)
    outer = _outer_save(source, instance, key, using=using)
    if outer is not None:
        # A receiver saves the object that is being saved. What the outer save has written is told first.
        _tell(outer)
        return outer
    return Watched(source, instance, using, read_before(source, key, using=using, new=instance._state.adding))


def _outer_save(source: Source, instance: models.Model, key: Any, *, using: str) -> Watched | None:
    for _instance, several in reversed(_under_way.saves):
        for watched in several:
            if watched.source is source and watched.using == using:
                same = watched.instance is instance or (key is not None and key_of(source, watched.instance) == key)
                if same:
                    return watched
    return None


def _tell(watched: Watched) -> None:
    """Record what happened to the object since it was last told of."""
    if not watched.before.wanted:
        return
    source, using = watched.source, watched.using
    key = key_of(source, watched.instance)
    after = read_whole(source, key, using=using) if key is not None else None
    if after is None:
        return
    change = diff(source, before=_last_told(watched), after=after, now=timezone.now(), using=using)
    events = record_change(source, change, using=using)
    if events:
        watched.told.append(([event.uid for event in events], {name: after[name] for name in source.own}))


def _last_told(watched: Watched) -> dict[str, Any] | None:
    """Return what was last told of the object, not counting what was rolled back with a savepoint since."""
    while watched.told:
        uids, raw = watched.told[-1]
        if Event.objects.using(watched.using).filter(uid__in=uids).count() == len(uids):
            return raw
        watched.told.pop()
    return watched.before.raw


def _tell_deletion(source: Source, instance: models.Model, *, using: str) -> None:
    key = key_of(source, instance)
    outer = _outer_save(source, instance, key, using=using)
    if outer is not None:
        _tell(outer)
    if not source.deletion_types:
        return
    before = read_before(source, key, using=using, event_types=source.deletion_types)
    raw = read_whole(source, key, using=using) if before.wanted else None
    if raw is not None:
        record_change(source, diff(source, before=raw, after=None, now=timezone.now(), using=using), using=using)


def _take(instance: models.Model) -> list[Watched]:
    """Return what `before_save` put down for this save, and forget it."""
    saves = _under_way.saves
    for index in reversed(range(len(saves))):
        if saves[index][0] is instance:
            return saves.pop(index)[1]
    return []


def _in_transaction(model: type[models.Model]) -> Callable[..., None]:
    """Wrap the model's ``save_base`` so that the row and its events commit together, also in autocommit mode.

    Django sends ``post_save`` after the row is committed there: a process that dies in between would lose the event.
    """
    own: Callable[..., None] | None = vars(model).get("save_base")
    save_base: Callable[..., None] = model.save_base

    @functools.wraps(save_base)
    def wrapper(self: models.Model, *args: Any, **kwargs: Any) -> None:
        using = kwargs.get("using") or (args[3] if len(args) > 3 else None)
        using = using or router.db_for_write(type(self), instance=self)
        begun = len(_under_way.saves)
        _under_way.depth += 1
        try:
            with _atomic(using):
                save_base(self, *args, **kwargs)
        finally:
            _under_way.depth -= 1
            # What a failed save left behind must not be taken for the old values of the next.
            del _under_way.saves[begun:]

    def undo() -> None:
        if own is None:
            del model.save_base
        else:
            model.save_base = own  # type: ignore[method-assign]

    wrapper.tms_webhooks_undo = undo  # type: ignore[attr-defined]
    wrapper.alters_data = True  # type: ignore[attr-defined]
    return wrapper


@contextmanager
def _atomic(using: str) -> Iterator[None]:
    """Begin a transaction where there is none. A host's own stays as it is: what fails in it may be caught in it."""
    if connections[using].in_atomic_block:
        yield
        return
    with ExitStack() as stack:
        with _locking_at_once(using):
            stack.enter_context(transaction.atomic(using=using))
        yield


@contextmanager
def _locking_at_once(using: str) -> Iterator[None]:
    """Have SQLite lock as it begins: a transaction that reads first fails at once if another one writes meanwhile."""
    connection: Any = connections[using]
    if connection.vendor != "sqlite" or connection.transaction_mode is not None:
        yield
        return
    connection.transaction_mode = "IMMEDIATE"
    try:
        yield
    finally:
        connection.transaction_mode = None


def _organization_model() -> type[models.Model]:
    model: type[models.Model] = Event._meta.get_field("organization").related_model
    return model


def _uid(model: type[models.Model]) -> str:
    return f"tms_webhooks:{model._meta.label}"


def _family(model: type[models.Model]) -> list[type[models.Model]]:
    """Return the model with its proxies and the models that extend it: Django's signals name those as senders."""
    return [other for other in apps.get_models() if issubclass(other, model)]
