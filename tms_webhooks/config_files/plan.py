"""Compare a document with the stored webhooks, and return the changes that make them equal."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models

from tms_webhooks import catalogue
from tms_webhooks.choices import AuditAction
from tms_webhooks.config_files.document import DocumentError, WebhookSpec, subscription_fields
from tms_webhooks.delivery import rendering
from tms_webhooks.exceptions import LimitReached, SecretError
from tms_webhooks.models import Subscription, Webhook, limits
from tms_webhooks.models.audit import differences
from tms_webhooks.models.credentials import same_values, to_text
from tms_webhooks.models.encryption import reveal
from tms_webhooks.models.subscription import duplicates
from tms_webhooks.sources.objects import unknown_ids


@dataclass(frozen=True, slots=True, repr=False)
class WebhookChange:
    """The changes of one webhook. ``fields`` are the differences of its fields, as in the audit log."""

    action: AuditAction
    label: str
    webhook: Webhook
    fields: Mapping[str, Any] = field(default_factory=dict)
    enabled: bool | None = None
    secret: str | None = None
    added: Sequence[Subscription] = ()
    removed: Sequence[Subscription] = ()
    changed: Sequence[tuple[Subscription, Subscription]] = ()
    """Pairs of a stored subscription and its new values."""

    def lines(self) -> Iterator[str]:
        """Yield the lines of a report: added, removed and changed values, without secrets."""
        sign = {AuditAction.WEBHOOK_CREATED: "+", AuditAction.WEBHOOK_DELETED: "-"}.get(self.action, "~")
        yield f"{sign} {self.label}"
        for name, values in self.fields.items():
            yield f"    {name}: {values['from']!r} -> {values['to']!r}"
        if self.enabled is not None:
            yield f"    enabled: {not self.enabled} -> {self.enabled}"
        if self.secret is not None:
            yield "    secret: changed"
        yield from (f"    + {_description(one)}" for one in self.added)
        yield from (f"    - {_description(one)}" for one in self.removed)
        yield from (f"    ~ {_description(old)} -> {_description(new)}" for old, new in self.changed)


def changes(
    wanted: Sequence[WebhookSpec], existing: Sequence[Webhook], *, prune: bool, now: datetime
) -> list[WebhookChange]:
    """Return the changes; raise `DocumentError` for invalid values and for ambiguous names.

    ``existing`` are the webhooks of the document's organizations; ``prune`` deletes those that the document does not name.
    """
    _refuse_too_many(wanted, existing)
    found: dict[tuple[Any, str], list[Webhook]] = {}
    for webhook in existing:
        found.setdefault((webhook.organization_id, webhook.name), []).append(webhook)
    problems: list[str] = []
    plan: list[WebhookChange] = []
    for one in wanted:
        same = found.pop((one.organization, one.name), [])
        if len(same) > 1:
            problems.append(f"{one.place}: several webhooks are named {one.label}; rename all but one.")
            continue
        try:
            change = _create(one) if not same else _update(one, same[0], now=now)
        except ValidationError as error:
            problems += _in_place(one.place, error)
        else:
            plan += [change] if change else []
    if problems:
        raise DocumentError(problems)
    if prune:
        names = {one.organization: one.organization_name for one in wanted}
        left = (webhook for webhooks in found.values() for webhook in webhooks)
        plan += [
            WebhookChange(AuditAction.WEBHOOK_DELETED, f"{names[webhook.organization_id]} / {webhook.name}", webhook)
            for webhook in left
        ]
    _refuse_beyond_limit(plan, existing)
    return plan


def _refuse_too_many(wanted: Sequence[WebhookSpec], existing: Sequence[Webhook]) -> None:
    """Raise `DocumentError` if the document alone has too many webhooks of an organization, before one is checked."""
    present = Counter(webhook.organization_id for webhook in existing)
    listed = Counter((one.organization, one.organization_name) for one in wanted)
    for (organization_id, name), number in listed.items():
        try:
            limits.refuse_webhooks(present[organization_id], adding=number - present[organization_id])
        except LimitReached as error:
            raise DocumentError([f"{name}: {error}"]) from error


def _refuse_beyond_limit(plan: Sequence[WebhookChange], existing: Sequence[Webhook]) -> None:
    """Raise `DocumentError` if an organization would have too many webhooks."""
    present = Counter(webhook.organization_id for webhook in existing)
    signs = {AuditAction.WEBHOOK_CREATED: 1, AuditAction.WEBHOOK_DELETED: -1}
    adding: Counter[Any] = Counter()
    for change in plan:
        adding[change.webhook.organization_id] += signs.get(change.action, 0)
    problems: list[str] = []
    for organization_id, number in adding.items():
        try:
            limits.refuse_webhooks(present[organization_id], adding=number)
        except LimitReached as error:
            label = next(one.label for one in plan if one.webhook.organization_id == organization_id)
            problems.append(f"{label.partition(' / ')[0]}: {error}")
    if problems:
        raise DocumentError(problems)


def _create(one: WebhookSpec) -> WebhookChange:
    webhook = Webhook(organization_id=one.organization, headers=one.headers or "", enabled=one.enabled is not False)
    _set_authentication(webhook, one)
    _fill(webhook, one)
    return WebhookChange(
        AuditAction.WEBHOOK_CREATED,
        one.label,
        webhook,
        fields=differences(None, webhook),
        secret=one.secret,
        added=[_subscription(webhook, values) for values in one.subscriptions],
    )


def _update(one: WebhookSpec, webhook: Webhook, *, now: datetime) -> WebhookChange | None:
    before = copy.copy(webhook)
    if one.headers is not None and _headers(webhook) != one.headers:
        webhook.headers = one.headers
    _set_authentication(webhook, one)
    _fill(webhook, one)
    fields = differences(before, webhook, fields=[*one.values, "headers", "authentication", "credentials"])
    enabled = one.enabled if one.enabled not in (None, webhook.enabled) else None
    secret = one.secret if one.secret is not None and not _signs(webhook, one.secret, now=now) else None
    added, removed, changed = _subscriptions(webhook, one)
    if not (fields or enabled is not None or secret or added or removed or changed):
        return None
    return WebhookChange(
        AuditAction.WEBHOOK_UPDATED,
        one.label,
        webhook,
        fields,
        enabled=enabled,
        secret=secret,
        added=added,
        removed=removed,
        changed=changed,
    )


def _set_authentication(webhook: Webhook, one: WebhookSpec) -> None:
    """Set the authentication of the document, unless it stays as it is or is the same."""
    spec = one.authentication
    if spec is None:
        return
    known = webhook.known_credentials() if webhook.authentication == spec.kind else None
    if known is None or not same_values(spec.kind, known, spec.values):
        webhook.authentication, webhook.credentials = spec.kind, to_text(spec.values)


def _fill(webhook: Webhook, one: WebhookSpec) -> None:
    """Set the new values of the webhook, converted by the model; raise `ValidationError` for invalid ones."""
    for name, value in one.values.items():
        setattr(webhook, name, value)
    webhook.full_clean(validate_unique=False, validate_constraints=False)
    _refuse_subscriptions(webhook, len(one.subscriptions))
    patterns = [values["event"] for values in one.subscriptions]
    chosen = [event_type for pattern in patterns for event_type in catalogue.expand(pattern)]
    problems = rendering.problems_of(webhook, list(dict.fromkeys(chosen)) or catalogue.all_types())
    if problems is not None:
        raise problems
    for number, values in enumerate(one.subscriptions):
        try:
            _subscription(webhook, values).full_clean(
                exclude=["webhook"], validate_unique=False, validate_constraints=False
            )
        except ValidationError as error:
            raise ValidationError({f"subscriptions[{number}]": error.messages}) from error
    unknown: dict[str, list[str]] = {}
    for number, name, ids in unknown_ids([values["filters"] or {} for values in one.subscriptions]):
        unknown.setdefault(f"subscriptions[{number}]", []).append(
            f"filters.{name}: unknown id {', '.join(ids)}. Is this document from another environment?"
        )
    if unknown:
        raise ValidationError(unknown)
    repeated = duplicates(_subscription(webhook, values) for values in one.subscriptions)
    if repeated:
        raise ValidationError({f"subscriptions[{number}]": error for number, error in repeated.items()})


def _refuse_subscriptions(webhook: Webhook, wanted: int) -> None:
    present = 0 if webhook._state.adding else webhook.subscriptions.count()
    try:
        limits.refuse_subscriptions(present, adding=wanted - present)
    except LimitReached as error:
        raise ValidationError({"subscriptions": str(error)}) from error


def _subscription(webhook: Webhook, values: Mapping[str, Any]) -> Subscription:
    fields = subscription_fields()
    return Subscription(
        webhook=webhook, **{fields[key].attname: _converted(key, fields[key], value) for key, value in values.items()}
    )


def _converted(key: str, field: models.Field[Any, Any], value: Any) -> Any:
    """Return a value of the document as the model's; raise `ValidationError` with its key if it is not one."""
    try:
        return field.to_python(value)
    except ValidationError as error:
        raise ValidationError([f"{key}: {message}" for message in error.messages]) from error


def _subscriptions(
    webhook: Webhook, one: WebhookSpec
) -> tuple[list[Subscription], list[Subscription], list[tuple[Subscription, Subscription]]]:
    """Return the subscriptions to add, to remove, and to change.

    An equal row is kept. A row of the same event is changed, because it holds the history of its events: with another
    window it emits none of them again.
    """
    stored = list(webhook.subscriptions.order_by("pk"))
    wanted = [_subscription(webhook, values) for values in one.subscriptions]
    for new in list(wanted):
        same = next((old for old in stored if _values(old) == _values(new)), None)
        if same is not None:
            stored.remove(same)
            wanted.remove(new)
    changed = []
    for new in list(wanted):
        former = next((old for old in stored if old.event_type == new.event_type), None)
        if former is not None:
            stored.remove(former)
            wanted.remove(new)
            changed.append((former, new))
    return wanted, stored, changed


def _values(subscription: Subscription) -> list[Any]:
    return [getattr(subscription, one.attname) for one in subscription_fields().values()]


def _description(subscription: Subscription) -> str:
    fields = subscription_fields()
    values = {key: getattr(subscription, one.attname) for key, one in fields.items()}
    return ", ".join(f"{key}: {value}" for key, value in values.items() if value != fields[key].get_default())


def _headers(webhook: Webhook) -> str | None:
    try:
        return reveal(webhook.headers)
    except SecretError:
        return None


def _signs(webhook: Webhook, secret: str, *, now: datetime) -> bool:
    """Return True if this is the newest secret of the webhook; False if that can't be decrypted."""
    try:
        return webhook.signing_secrets(now)[:1] == [secret]
    except SecretError:
        return False


def _in_place(place: str, error: ValidationError) -> list[str]:
    """Return the messages of an error, each with its place in the document."""
    return [f"{place}.{name}: {message}" for name, messages in error.message_dict.items() for message in messages]
