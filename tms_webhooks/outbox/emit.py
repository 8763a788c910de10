"""`emit`, by which the host's code records an event that no change of a model shows; and the events about webhooks."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from django.db import models, router, transaction
from django.utils import timezone

from tms_webhooks import catalogue, event_names, sharing, signals
from tms_webhooks.catalogue import EventType
from tms_webhooks.exceptions import PayloadError
from tms_webhooks.models import Event, Webhook
from tms_webhooks.models.organization import organization_key
from tms_webhooks.outbox.event_row import event_row, organizations_of
from tms_webhooks.outbox.record import insert_rows, is_subscribed
from tms_webhooks.payloads.envelope import build_content, dotted_names, nested_json
from tms_webhooks.sources.base import LEARNER, OWNER
from tms_webhooks.sources.mapping import Values, organization_value
from tms_webhooks.sources.registry import sources_of
from tms_webhooks.sources.rows import read_whole
from tms_webhooks.sources.rules import Change
from tms_webhooks.sources.stored_rows import key_of


def emit(
    event_type: str,
    subject: models.Model,
    *,
    data: Mapping[str, Any] | None = None,
    details: Mapping[str, Any] | None = None,
    previous: Mapping[str, Any] | None = None,
    extra: Mapping[str, Any] | None = None,
    organization: Any = None,
    learner_organization: Any = None,
    using: str | None = None,
) -> Event | None:
    """Record an event that no change of a model shows; return it, or None where no subscription matches it.

    ``data`` is the nested object, and ``previous`` holds the nested old values of changed fields. Without ``data`` it is built
    from ``subject`` by the source that is registered for its model and the event's noun. ``extra`` adds values of the
    object that the source does not know. ``details`` has the values that belong to this event alone. Both have canonical
    names. ``organization`` is an object or its key, and so is
    ``learner_organization``, for an event about a learner; without them the source provides both. A subject that may have
    several owners needs ``organization``.

    Call it inside the transaction of the change that it is about. Raises `UnknownEventType`, and ``TypeError`` for a
    subject that is not a model instance. Raises `PayloadError` for an unsaved subject, for a value that is not an
    organization, and for an unknown name in ``extra`` or ``details``. Raises it also for data that breaks the event's schema or can't
    be built.
    """
    kind = catalogue.get(event_type)
    _check(kind, subject, extra, details)
    using = using or subject._state.db or router.db_for_write(type(subject))
    source = next((one for one in sources_of(type(subject)) if one.noun is kind.noun), None)
    values = dict[str, Any]()
    if data is None or organization is None:
        if source is None:
            raise PayloadError(
                f"{event_type}: {subject._meta.label} is registered for no source of {kind.noun.name!r}; "
                "register it, or pass data and organization."
            )
        if source.owners is not None and organization is None:
            raise PayloadError(
                f"{event_type}: a {subject._meta.label} may have several owners; pass the organization that the event is for."
            )
        raw = read_whole(source, key_of(source, subject), using=using)
        if raw is None:
            raise PayloadError(
                f"{subject._meta.label} {subject.pk} is not in the database; pass data and organization."
            )
        values = source.canonical(raw)
    mapped_owner = values.get(OWNER)
    for name, given in ((OWNER, organization), (LEARNER, learner_organization)):
        if given is not None:
            values[name] = organization_key(given)
    if not (
        is_subscribed(event_type, organizations_of(values), using=using)
        or (source is not None and sharing.is_awaited(event_type, source, using=using))
    ):
        return None
    if values.get(OWNER) != mapped_owner:
        if not isinstance(organization, models.Model):
            model: Any = Event._meta.get_field("organization").related_model
            organization = model._base_manager.using(using).get(pk=organization)
        values |= {f"organization.{name}": organization_value(organization, name) for name in ("external_id", "name")}
    now = timezone.now()
    if data is None:
        change = Change(before={}, after=values, changed=(), now=now, using=using)
        data = build_content(change, kind, extra=extra)["data"]
    old = dict(previous or {})
    content = {
        "data": dict(data),
        **({"details": nested_json(kind.details, {**values, **(details or {})})} if kind.details else {}),
        "changed": dotted_names(old, kind.all_fields),
        "previous": old,
    }
    # Receivers see the id of the subject.
    own_id = subject.public_id if isinstance(subject, Webhook) else subject.pk
    event = event_row(
        kind,
        lambda: content,
        values,
        subject_id=values.get("id", own_id),
        occurred_at=now,
        strict=True,
        source=source,
    )
    with transaction.atomic(using=using):
        return insert_rows([event], using=using)[0]


def _check(kind: EventType, subject: object, extra: Values | None, details: Values | None) -> None:
    if not isinstance(subject, models.Model):
        raise TypeError(f"The subject of {kind.name} is a {type(subject).__name__}; pass a model instance.")
    if subject.pk is None:
        raise PayloadError(f"{kind.name}: the {subject._meta.label} is not saved; save it first.")
    for part, given, fields in (("extra", extra, kind.fields), ("details", details, kind.details)):
        known = [field.name for field in fields]
        for name in given or ():
            if name not in known:
                suggestion = event_names.suggest(name, known)
                raise PayloadError(f"{kind.name}: {part} has {name!r}, which is not a field of this event.{suggestion}")


# Events about webhooks, for the organization's other webhooks


def connect_webhook_signals() -> None:
    """Turn the signals about webhooks into events. Idempotent."""
    for signal, name in WEBHOOK_EVENTS.items():
        signal.app_receiver = partial(_emit_about_webhook, name)


def _emit_about_webhook(name: str, *, webhook: Webhook, **facts: Any) -> None:
    """Emit an event about a webhook, except about events about webhooks: two broken ones would emit them without end."""
    if event_names.is_operational(facts.get("event_type", "")):
        return
    if name == FAILING:
        facts |= {"failures": webhook.state.failures, "first_failed_at": webhook.state.failing_since}
    details = {field.name: facts[field.name] for field in catalogue.get(name).details}
    data = {"id": webhook.public_id, "name": webhook.name}
    emit(name, webhook, data=data, details=details, organization=webhook.organization)


FAILING = "webhook.failing"
WEBHOOK_EVENTS: dict[signals.TransactionSignal, str] = {
    signals.webhook_failing: FAILING,
    signals.webhook_disabled: "webhook.disabled",
    signals.webhook_recovered: "webhook.recovered",
    signals.webhook_exhausted: "webhook.exhausted",
    signals.webhook_secret_rotated: "webhook.secret_rotated",
}
"""The names of the events. Their details are arguments of the signals, by the same names."""
