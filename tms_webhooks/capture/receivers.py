"""Listening to the host's models: old values before a change, events after it, in one transaction with it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

from django.apps import apps
from django.db import models, transaction
from django.db.models.signals import m2m_changed, post_delete, post_save, pre_delete, pre_save

from tms_webhooks.capture import bulk, learning_paths, many_to_many, saves
from tms_webhooks.capture.transactions import atomic
from tms_webhooks.db.django_private import unwrap_save_base, wrap_save_base
from tms_webhooks.models import Event, Webhook
from tms_webhooks.sources import querysets
from tms_webhooks.sources.base import Source
from tms_webhooks.sources.registry import sources_of
from tms_webhooks.sources.tms import ComputedLearningPathSource

Receiver: TypeAlias = Callable[..., None]

# Which sources each model is listened to for: a model that two sources share is let go with the last of them.
_listening: dict[type[models.Model], set[Source]] = {}
# The same of the tables between models and what these have behind many-to-many fields.
_relations: dict[type[models.Model], set[Source]] = {}


def connect(source: Source) -> None:
    """Listen to the changes of a source's model and of the models that extend it. Idempotent."""
    for model in _family(source.model):
        _listening.setdefault(model, set()).add(source)
        for signal, receiver in RECEIVERS:
            signal.connect(receiver, sender=model, dispatch_uid=_uid(model))
        querysets.connect_capture(model, bulk)
        wrap_save_base(model, functools.partial(_around_save, model))
    for through, field in many_to_many.throughs(source).items():
        _relations.setdefault(through, set()).add(source)
        m2m_changed.connect(relation_changed, sender=through, dispatch_uid=_uid(through))
        wrap_save_base(through, functools.partial(_around_save, through))
        for model, before, after in _ends_of_rows(through, field):
            pre_delete.connect(before, sender=model, dispatch_uid=_row_uid(through), weak=False)
            post_delete.connect(after, sender=model, dispatch_uid=_row_uid(through), weak=False)
    if isinstance(source, ComputedLearningPathSource) and source.emit_after_edit:
        _listen_to_paths(source)
    owner = _organization_model()
    if owner is not None:
        pre_delete.connect(before_organization_delete, sender=owner, dispatch_uid=f"{_uid(owner)}:owner")
    pre_delete.connect(before_webhook_delete, sender=Webhook, dispatch_uid=_uid(Webhook))


def disconnect(source: Source) -> None:
    """Undo `connect`."""
    _disconnect_relations(source)
    for model in _family(source.model):
        sources = _listening.get(model, set())
        sources.discard(source)
        if sources or model not in _listening:
            continue
        del _listening[model]
        querysets.disconnect_capture(model)
        for signal, _receiver in RECEIVERS:
            signal.disconnect(sender=model, dispatch_uid=_uid(model))
        _unwrap(model)


def _disconnect_relations(source: Source) -> None:
    if isinstance(source, ComputedLearningPathSource) and (field := learning_paths.relation_of(source)) is not None:
        through: Any = field.remote_field.through
        m2m_changed.disconnect(sender=through, dispatch_uid=_path_uid(source))
        post_delete.disconnect(sender=through, dispatch_uid=_path_uid(source))
    for through, field in many_to_many.throughs(source).items():
        _relations.get(through, set()).discard(source)
        if _relations.get(through) == set():
            del _relations[through]
            m2m_changed.disconnect(sender=through, dispatch_uid=_uid(through))
            _unwrap(through)
            for model, _before, _after in _ends_of_rows(through, field):
                pre_delete.disconnect(sender=model, dispatch_uid=_row_uid(through))
                post_delete.disconnect(sender=model, dispatch_uid=_row_uid(through))


def _listen_to_paths(source: ComputedLearningPathSource) -> None:
    """Look at a path anew when a course is taken off it, by the relation or by the row between the two."""
    field: Any = learning_paths.relation_of(source)
    if field is None:
        return

    def courses_changed(instance: models.Model, action: str, reverse: bool, pk_set: Any, using: str, **_: Any) -> None:  # noqa: FBT001
        if action in {"post_remove", "post_clear"}:
            learning_paths.edited(source, sorted(pk_set or ()) if reverse else [instance.pk], using=using)

    def step_deleted(instance: models.Model, using: str, **_: Any) -> None:
        learning_paths.edited(source, [getattr(instance, f"{field.m2m_field_name()}_id")], using=using)

    through, uid = field.remote_field.through, _path_uid(source)
    m2m_changed.connect(courses_changed, sender=through, dispatch_uid=uid, weak=False)
    post_delete.connect(step_deleted, sender=through, dispatch_uid=uid, weak=False)


def before_save(sender: type[models.Model], instance: models.Model, *, raw: bool, using: str, **_kwargs: Any) -> None:
    """Read what the database holds of ``instance``, and lock it. Fixtures (``raw``) tell nothing."""
    if raw:
        many_to_many.note_loaded(instance)
        return
    with transaction.atomic(using=using, savepoint=False):
        saves.begin(sender, instance, using=using)


def after_save(instance: models.Model, *, raw: bool, using: str, **_kwargs: Any) -> None:
    """Record what the change means to those who asked."""
    if not raw:
        with transaction.atomic(using=using, savepoint=False):
            saves.finish(instance)


def before_delete(sender: type[models.Model], instance: models.Model, *, using: str, **kwargs: Any) -> None:
    """Record a deletion. Django has begun a transaction."""
    many_to_many.note_going(sources_of(sender), instance, using=using)
    if _is_organization(kwargs.get("origin")):
        # Its webhooks go with it: there is nobody left to tell.
        return
    with transaction.atomic(using=using, savepoint=False):
        saves.record_deletion(sender, instance, using=using)


def before_organization_delete(instance: models.Model, *, using: str, **_kwargs: Any) -> None:
    """Let the organization's newest events go with it: Django has collected what refers to it before they were there."""
    Event.objects.using(using).to_fan_out().filter(organization_id=instance.pk).delete()


def before_webhook_delete(instance: Webhook, **_kwargs: Any) -> None:
    """Hold a webhook that goes, with its organization say, before what belongs to it: Django deletes it last.

    Django tells of all that go before it deletes the first, in the order of their keys.
    """
    Webhook.objects.lock([instance.pk])


def relation_changed(
    sender: type[models.Model],
    instance: models.Model,
    action: str,
    reverse: bool,  # noqa: FBT001 (Django's signal)
    model: type[models.Model],
    pk_set: set[Any] | None,
    using: str,
    raw: bool = False,  # noqa: FBT001, FBT002 (Django's, from version 6.1 on)
    **_kwargs: Any,
) -> None:
    """Record what the change of a many-to-many field means to the objects that have it. Django has begun a transaction."""
    if raw or many_to_many.is_loaded(instance):
        return
    if action.startswith("post_"):
        many_to_many.finish(sender, instance, using=using)
        return
    owner = model if reverse else type(instance)
    sources = [source for source in _relations[sender] if issubclass(owner, source.model)]
    of_others = many_to_many.keys_of_others(pk_set, instance, using=using)
    keys = of_others if reverse else many_to_many.keys_of_instance(instance)
    many_to_many.begin(sender, instance, sources, keys, using=using)


RECEIVERS = ((pre_save, before_save), (post_save, after_save), (pre_delete, before_delete))


def _ends_of_rows(through: type[models.Model], field: Any) -> Iterator[tuple[type[models.Model], Receiver, Receiver]]:
    """Yield whose deletion ends rows of a table between two models, with what is to be called before and after it.

    Django tells of its own tables' rows by what is behind them alone.
    """

    def before(instance: models.Model, using: str, **_kwargs: Any) -> None:
        if through._meta.auto_created:
            keys = many_to_many.keys_of_others(None, instance, using=using)
        else:
            keys = many_to_many.keys_of_row(instance, using=using)
        many_to_many.begin(through, instance, _relations[through], keys, using=using)

    def after(instance: models.Model, using: str, **_kwargs: Any) -> None:
        many_to_many.finish(through, instance, using=using)

    for model in _family(field.remote_field.model) if through._meta.auto_created else [through]:
        yield model, before, after


def _unwrap(model: type[models.Model]) -> None:
    if model not in _listening and model not in _relations:
        unwrap_save_base(model)


@contextmanager
def _around_save(model: type[models.Model], instance: models.Model, *, using: str, raw: bool) -> Iterator[None]:
    """Commit the row and its events together, also in autocommit mode.

    Django sends ``post_save`` after the row is committed there: a process that dies in between would lose the event.
    """
    with saves.one_save(using), atomic(using):
        if raw or model not in _relations:
            yield
        else:
            with many_to_many.row_written(model, instance, _relations[model], using=using):
                yield


def _is_organization(origin: Any) -> bool:
    """Whether a deletion began with an organization, or with a queryset of them."""
    model = origin.model if isinstance(origin, models.QuerySet) else type(origin)
    owner = _organization_model()
    return owner is not None and issubclass(model, owner)


def _organization_model() -> type[models.Model] | None:
    """Return the host's organization model; None where the setting names none that exists, as a check tells."""
    model: Any = Event._meta.get_field("organization").related_model
    return model if isinstance(model, type) else None


def _uid(model: type[models.Model]) -> str:
    return f"tms_webhooks:{model._meta.label}"


def _row_uid(through: type[models.Model]) -> str:
    return f"{_uid(through)}:rows"


def _path_uid(source: Source) -> str:
    return f"tms_webhooks:paths:{id(source)}"


def _family(model: type[models.Model]) -> list[type[models.Model]]:
    """Return the model with its proxies and the models that extend it: Django's signals name those as senders."""
    return [other for other in apps.get_models() if issubclass(other, model)]
