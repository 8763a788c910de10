"""Connects the sources to the host's models: has `bulk` called for their changes, and receives Django's signals.

The signals report the deletions, and the changes of many-to-many fields.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from django.apps import apps
from django.db import models, transaction
from django.db.models.signals import m2m_changed, post_delete, pre_delete

from tms_webhooks.capture import bulk, many_to_many, saves
from tms_webhooks.capture.many_to_many import sources_by_rows
from tms_webhooks.db.django_private import is_loading_fixture
from tms_webhooks.models import Event, Webhook
from tms_webhooks.sources import querysets
from tms_webhooks.sources.aggregates import ListRelation
from tms_webhooks.sources.base import Source
from tms_webhooks.sources.families import at_parents
from tms_webhooks.sources.registry import sources_of

Receiver: TypeAlias = Callable[..., None]

# The connected sources of each model: a model of two sources is disconnected with the last of them.
_sources_by_model: dict[type[models.Model], set[Source]] = {}


def connect(source: Source) -> None:
    """Capture the changes of a source's model and of the models that extend it. Idempotent."""
    saves.forget_plans()
    for model in _captured_models(source):
        _sources_by_model.setdefault(model, set()).add(source)
        pre_delete.connect(before_delete, sender=model, dispatch_uid=_uid(model))
        querysets.connect_capture(model, bulk)
    for through, relation in many_to_many.through_tables(source).items():
        sources_by_rows.setdefault(through, set()).add(source)
        m2m_changed.connect(relation_changed, sender=through, dispatch_uid=_uid(through))
        querysets.connect_capture(through, bulk)
        for model, before, after in _deletion_receivers(through, relation):
            pre_delete.connect(before, sender=model, dispatch_uid=_row_uid(through), weak=False)
            post_delete.connect(after, sender=model, dispatch_uid=_row_uid(through), weak=False)
    owner = _organization_model()
    if owner is not None:
        pre_delete.connect(before_organization_delete, sender=owner, dispatch_uid=f"{_uid(owner)}:owner")
    pre_delete.connect(before_webhook_delete, sender=Webhook, dispatch_uid=_uid(Webhook))


def disconnect(source: Source) -> None:
    """Undo `connect`."""
    saves.forget_plans()
    _disconnect_relations(source)
    for model in _captured_models(source):
        sources = _sources_by_model.get(model, set())
        sources.discard(source)
        if sources or model not in _sources_by_model:
            continue
        del _sources_by_model[model]
        pre_delete.disconnect(sender=model, dispatch_uid=_uid(model))
        if model not in sources_by_rows:
            querysets.disconnect_capture(model)


def _disconnect_relations(source: Source) -> None:
    for through, relation in many_to_many.through_tables(source).items():
        sources_by_rows.get(through, set()).discard(source)
        if sources_by_rows.get(through) == set():
            del sources_by_rows[through]
            m2m_changed.disconnect(sender=through, dispatch_uid=_uid(through))
            if through not in _sources_by_model:
                querysets.disconnect_capture(through)
            for model, _before, _after in _deletion_receivers(through, relation):
                pre_delete.disconnect(sender=model, dispatch_uid=_row_uid(through))
                post_delete.disconnect(sender=model, dispatch_uid=_row_uid(through))


def before_delete(sender: type[models.Model], instance: models.Model, *, using: str, **kwargs: Any) -> None:
    """Record a deletion. Django has begun a transaction."""
    many_to_many.note_deletion(sources_of(sender), instance, using=using)
    if _is_organization(kwargs.get("origin")):
        # Its webhooks are deleted with it.
        return
    try:
        saves.record_deletion(sender, instance, using=using)
    except Exception:
        # The host must not commit the deletion without its events.
        transaction.set_rollback(True, using=using)
        raise


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
    sender: type[models.Model],
    instance: models.Model,
    action: str,
    reverse: bool,  # noqa: FBT001 (Django's signal)
    model: type[models.Model],
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
    sources = [
        source
        for source in sources_by_rows[sender]
        if issubclass(owner, source.model) or (source.through_parents and issubclass(source.model, owner))
    ]
    of_others = many_to_many.keys_of_others(pk_set, instance, using=using)
    keys = of_others if reverse else many_to_many.keys_of_instance(instance)
    many_to_many.read_before_change(sender, instance, sources, keys, using=using)


def _deletion_receivers(
    through: type[models.Model], relation: ListRelation
) -> Iterator[tuple[type[models.Model], Receiver, Receiver]]:
    """Yield the models whose deletion deletes through rows, with the receivers to call before and after it.

    For the through models that Django creates it sends no signals of their own: the related objects' signals serve.
    """

    def before(instance: models.Model, using: str, **_kwargs: Any) -> None:
        if through._meta.auto_created:
            keys = many_to_many.keys_of_others(None, instance, using=using)
        else:
            keys = many_to_many.keys_of_row(instance, using=using)
        many_to_many.read_before_change(through, instance, sources_by_rows[through], keys, using=using)

    def after(instance: models.Model, using: str, **_kwargs: Any) -> None:
        many_to_many.record_after_change(through, instance, using=using)

    for model in _family(relation.listed) if through._meta.auto_created else [through]:
        yield model, before, after


def _is_organization(origin: Any) -> bool:
    """Return whether a deletion began with an organization, or with a queryset of them."""
    model = origin.model if isinstance(origin, models.QuerySet) else type(origin)
    owner = _organization_model()
    return owner is not None and issubclass(model, owner)


def _organization_model() -> type[models.Model] | None:
    """Return the host's organization model; None where the setting names no model, which a check reports."""
    model: Any = Event._meta.get_field("organization").related_model
    return model if isinstance(model, type) else None


def _uid(model: type[models.Model]) -> str:
    return f"tms_webhooks:{model._meta.label}"


def _row_uid(through: type[models.Model]) -> str:
    return f"{_uid(through)}:rows"


def _captured_models(source: Source) -> list[type[models.Model]]:
    """Return the models by which the rows of a source can be changed, those of which the source knows."""
    return [model for base in (source.model, *(one.model for one in at_parents(source))) for model in _family(base)]


def _family(model: type[models.Model]) -> list[type[models.Model]]:
    """Return the model with its proxies and the models that extend it: Django's signals name those as senders."""
    return [other for other in apps.get_models() if issubclass(other, model)]
