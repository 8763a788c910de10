"""Connects the sources to the host's models: captures their saves and bulk operations, and receives Django's signals.

The signals report the deletions, and the changes of many-to-many fields.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.apps import apps
from django.db import models, transaction
from django.db.models.signals import ModelSignal, m2m_changed, post_delete, pre_delete

from tms_webhooks.capture import many_to_many, replaced_methods, saves
from tms_webhooks.capture.captured_rows import organization_models, record_deletion
from tms_webhooks.capture.many_to_many import sources_by_rows
from tms_webhooks.db.django_private import is_loading_fixture
from tms_webhooks.models import Event, Webhook
from tms_webhooks.sources.base import Source
from tms_webhooks.sources.paths import ListRelation, Model
from tms_webhooks.sources.registry import sources_of
from tms_webhooks.sources.stored_rows import key_of


def connect(source: Source) -> None:
    """Capture the changes of a source's model and of the models that extend it. Idempotent."""
    saves.plan_of.cache_clear()
    for base in source.captured_models:
        for model in _family(base):
            _receive(pre_delete, model, before_delete, _uid(model))
            replaced_methods.capture(model)
    for through, relation in many_to_many.through_tables(source).items():
        sources_by_rows.setdefault(through, set()).add(source)
        _receive(m2m_changed, through, relation_changed, _uid(through))
        replaced_methods.capture(through)
        _receive_deletions(through, relation)
    owner: Any = Event._meta.get_field("organization").related_model
    # A check reports a setting that names no model.
    if isinstance(owner, type):
        _receive(pre_delete, owner, before_organization_delete, f"{_uid(owner)}:owner")
        organization_models.update(_family(owner))
    _receive(pre_delete, Webhook, before_webhook_delete, _uid(Webhook))


def _receive(signal: ModelSignal, model: Model, receiver: Callable[..., None], uid: str) -> None:
    signal.connect(receiver, sender=model, dispatch_uid=uid, weak=False)


def _receive_deletions(through: Model, relation: ListRelation) -> None:
    """Capture deletions of models that delete through rows.

    For the through models that Django creates it sends no signals of their own: the related objects' signals serve.
    """
    is_djangos = bool(through._meta.auto_created)

    def before(instance: models.Model, using: str, **_kwargs: Any) -> None:
        if is_djangos:
            keys = many_to_many.keys_of_others(None, instance, using=using)
        else:
            keys = many_to_many.keys_of_row(instance, using=using)
        many_to_many.read_before_change(through, instance, sources_by_rows[through], keys, using=using)

    def after(instance: models.Model, using: str, **_kwargs: Any) -> None:
        many_to_many.record_after_change(through, instance, using=using)

    for model in _family(relation.listed) if is_djangos else [through]:
        _receive(pre_delete, model, before, f"{_uid(through)}:rows")
        _receive(post_delete, model, after, f"{_uid(through)}:rows")


def before_delete(sender: Model, instance: models.Model, *, using: str, **kwargs: Any) -> None:
    """Record a deletion. Django has begun a transaction."""
    origin = kwargs.get("origin")
    deleted: Any = origin.model if isinstance(origin, models.QuerySet) else type(origin)
    # The host must not commit the deletion without its events.
    with transaction.mark_for_rollback_on_error(using=using):
        record_deletion(sender, instance, using=using, silent=deleted in organization_models)


def before_organization_delete(instance: models.Model, *, using: str, **_kwargs: Any) -> None:
    """Delete the organization's newest events with it.

    They may have been recorded after Django collected the rows that refer to it.
    """
    Event.objects.using(using).to_fan_out().filter(organization_id=instance.pk).delete()


def before_webhook_delete(instance: Webhook, **_kwargs: Any) -> None:
    """Lock a webhook before its rows are deleted: Django deletes it after them.

    Django sends this signal for all webhooks, in the order of their keys, before it deletes the first row.
    """
    Webhook.objects.lock([instance.pk], with_state=True)


def relation_changed(
    sender: Model,
    instance: models.Model,
    action: str,
    reverse: bool,  # noqa: FBT001 (Django's signal)
    model: Model,
    pk_set: set[Any] | None,
    using: str,
    **_kwargs: Any,
) -> None:
    """Read the values of a many-to-many field before its change, and record the events after it.

    Django has begun a transaction.
    """
    if is_loading_fixture():
        return
    if action.startswith("post_"):
        many_to_many.record_after_change(sender, instance, using=using)
        return
    owner = model if reverse else type(instance)
    sources = sources_by_rows[sender].intersection(sources_of(owner))
    # For a symmetrical relation, the signal does not name the other side in time.
    keys: many_to_many.KeyFinder = lambda source, _relation: (key_of(source, instance),)  # noqa: E731
    if reverse:
        keys = many_to_many.keys_of_others(pk_set, instance, using=using)
    many_to_many.read_before_change(sender, instance, sources, keys, using=using)


def _uid(model: Model) -> str:
    return f"tms_webhooks:{model._meta.label}"


def _family(model: Model) -> list[Model]:
    """Return the model with its proxies and the models that extend it: Django's signals name those as senders."""
    return [other for other in apps.get_models() if issubclass(other, model)]
