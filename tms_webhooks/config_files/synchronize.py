"""Compare a YAML document of webhooks with the stored ones, and apply it in one transaction: all of it, or nothing.

`_Reader` resolves what a document has in its own form: organizations, environment variables and names. The API's
serializer validates all other values.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

from django.core.exceptions import ValidationError
from django.db import router, transaction

from tms_webhooks.actors import Actor
from tms_webhooks.api.problems import body_errors
from tms_webhooks.api.serializers.base import InvalidValues
from tms_webhooks.choices import AuditAction, AuthenticationKind
from tms_webhooks.config_files.document import PK, VERSION, DocumentError, FileSerializer, organization_key, parse
from tms_webhooks.delivery.signing import secret_key
from tms_webhooks.exceptions import LimitReached, SecretError
from tms_webhooks.manage import secrets, subscriptions, webhooks
from tms_webhooks.manage.audit import differences
from tms_webhooks.models import Subscription, Webhook
from tms_webhooks.models.credentials import FIELDS, secret_names
from tms_webhooks.sources.objects import unknown_ids

SIGNS = {AuditAction.WEBHOOK_CREATED: "+", AuditAction.WEBHOOK_DELETED: "-"}


class DocumentRow(NamedTuple):
    """One webhook of a document: its values for the API's serializer, and the rest."""

    place: str
    organization: Any
    label: str
    values: dict[str, Any]
    secret: str | None


class WebhookChange(NamedTuple):
    """The changes of one webhook: the details of a report, without secrets, and the verbs of `manage` that write them."""

    action: AuditAction
    label: str
    details: Sequence[str]
    verbs: Sequence[Callable[..., Any]]

    def lines(self) -> Iterator[str]:
        """Yield the lines of a report."""
        yield f"{SIGNS.get(self.action, '~')} {self.label}"
        yield from (f"    {detail}" for detail in self.details)


def synchronize(
    text: str,
    *,
    environ: Mapping[str, str],
    actor: Actor,
    now: datetime,
    prune: bool = False,
    keep_secrets: bool = False,
    dry_run: bool = False,
) -> Sequence[WebhookChange]:
    """Create, change and delete webhooks as the document describes; return the changes. A second run returns none.

    Organization and name identify a webhook. ``prune`` deletes the webhooks of the document's organizations that it does
    not name; ``keep_secrets`` leaves secrets, headers and authentication as they are; ``dry_run`` changes nothing. Raises
    `DocumentError` with all mistakes.
    """
    with transaction.atomic(using=router.db_for_write(Webhook)):
        rows = _Reader(environ, keep_secrets=keep_secrets).read(text)
        changes = _changes(rows, prune=prune, now=now)
        for change in () if dry_run else changes:
            try:
                for verb in change.verbs:
                    verb(actor=actor, now=now)
            except LimitReached as error:
                raise DocumentError(f"{change.label}: {error}") from error
    return changes


def _changes(rows: Sequence[DocumentRow], *, prune: bool, now: datetime) -> list[WebhookChange]:
    """Return the changes, deletions first: the number of webhooks is limited. Raise `DocumentError` with all mistakes."""
    stored: dict[tuple[Any, str], list[Webhook]] = {}
    existing = Webhook.objects.existing().filter(organization__in={row.organization for row in rows})
    for webhook in existing.select_for_update().order_by("pk"):
        stored.setdefault((webhook.organization_id, webhook.name), []).append(webhook)
    changes: list[WebhookChange] = []
    problems: list[str] = []
    serializer = FileSerializer()
    names: dict[Any, str] = {}
    for row in rows:
        name = str(row.values["name"])
        names[row.organization] = row.label.removesuffix(name)
        found = stored.pop((row.organization, name), [])
        if len(found) > 1:
            problems.append(f"{row.place}: several webhooks are named {row.label}; rename all but one.")
            continue
        new = Webhook(organization_id=row.organization, enabled=row.values.get("enabled") is not False)
        try:
            changes.append(_change(serializer, row, found[0] if found else new, now=now))
        except InvalidValues as error:
            for one in body_errors(error.detail, ""):
                # A place such as `.subscriptions[2].event`, as the document has it.
                steps = one.name.replace("event_type", "event").split("/")[1:]
                place = "".join(f"[{step}]" if step.isdecimal() else f".{step}" for step in steps)
                problems.append(f"{row.place}{place}: {one.detail}")
    if problems:
        raise DocumentError(*problems)
    deleted = [
        WebhookChange(AuditAction.WEBHOOK_DELETED, f"{names[key]}{name}", (), [partial(webhooks.delete, one)])
        for (key, name), found in (stored.items() if prune else ())
        for one in found
    ]
    return [*deleted, *(change for change in changes if change.verbs)]


def _change(serializer: FileSerializer, row: DocumentRow, webhook: Webhook, *, now: datetime) -> WebhookChange:
    """Set the values of a row on its webhook, and return what they change."""
    before = None if webhook._state.adding else copy.copy(webhook)
    wanted, enabled = _set_values(serializer, webhook, row)
    fields = differences(before, webhook)
    details = [f"{name}: {values['from']!r} -> {values['to']!r}" for name, values in fields.items()]
    if before is None:
        create = partial(webhooks.create, webhook, wanted, secret=row.secret)
        details += [f"subscriptions: {len(wanted)} added"] if wanted else []
        return WebhookChange(AuditAction.WEBHOOK_CREATED, row.label, details, [create])
    verbs: list[Callable[..., Any]] = [partial(webhooks.update, webhook, fields)] if fields else []
    signing: Sequence[str] = ()
    # Secrets that can't be decrypted are replaced.
    with suppress(SecretError):
        signing = webhook.signing_secrets(now)[:1] if row.secret else ()
    if row.secret and row.secret not in signing:
        details.append("secret: changed")
        verbs.append(partial(secrets.rotate, webhook, secret=row.secret))
    if changes := subscriptions.changes_to(list(webhook.subscriptions.order_by("pk")), wanted):
        counts = (f"{len(getattr(changes, name))} {name}" for name in ("added", "changed", "removed"))
        details.append(f"subscriptions: {', '.join(counts)}")
        verbs.append(partial(subscriptions.replace, webhook, wanted))
    if enabled not in (None, webhook.enabled):
        details.append(f"enabled: {webhook.enabled} -> {enabled}")
        verbs.append(partial(webhooks.enable if enabled else webhooks.disable, webhook))
    return WebhookChange(AuditAction.WEBHOOK_UPDATED, row.label, details, verbs)


def _set_values(
    serializer: FileSerializer, webhook: Webhook, row: DocumentRow
) -> tuple[list[Subscription], bool | None]:
    """Set the values of a row on a webhook; return its subscriptions, and whether it is to be enabled. Nothing is saved."""
    standard = {**serializer.standard, "subscriptions": []}
    values = {name: value for name, value in standard.items() if name not in {"headers", "authentication", "enabled"}}
    values |= row.values
    serializer.instance = webhook
    valid = dict(serializer.run_validation(values))
    wanted = [Subscription(webhook=webhook, **one) for one in valid.pop("subscriptions", ())]
    enabled = valid.pop("enabled", None)
    for name, value in valid.items():
        setattr(webhook, name, value)
    text = "filters.{}: unknown id {}. Is this document from another environment?"
    unknown: dict[str, list[str]] = {}
    for index, name, ids in unknown_ids([one.filters for one in wanted]):
        unknown.setdefault(str(index), []).append(text.format(name, ", ".join(ids)))
    if unknown:
        raise InvalidValues({"subscriptions": unknown})
    return wanted, enabled


class _Reader:
    """Reads one document. ``environ`` holds the secrets that it names; with ``keep_secrets`` they are not needed."""

    def __init__(self, environ: Mapping[str, str], *, keep_secrets: bool) -> None:
        self._environ = environ
        self._keep = keep_secrets
        self._problems: list[str] = []

    def read(self, text: str) -> Sequence[DocumentRow]:
        """Return the webhooks of a document; raise `DocumentError` with all mistakes of its form."""
        document = parse(text)
        if not isinstance(document, dict):
            raise DocumentError("The document is not a mapping; begin it with version: 1 and webhooks:.")
        if document.get("version") != VERSION:
            raise DocumentError(f"version: {document.get('version')!r} is not supported; write version: {VERSION}.")
        unknown = [key for key in document if key not in ("version", "webhooks")]
        self._problems += [f"{key}: unknown key; a document has version and webhooks." for key in unknown[:10]]
        found = document.get("webhooks")
        if not isinstance(found, list):
            raise DocumentError(*self._problems, "webhooks: write a list with one entry per webhook.")
        rows: dict[tuple[Any, str], DocumentRow] = {}
        for number, one in enumerate(found):
            if row := self._row(f"webhooks[{number}]", one):
                first = rows.setdefault((row.organization, row.label), row)
                if first is not row:
                    self._problems.append(f"{row.place}: {row.label} is a duplicate of {first.place}.")
        if self._problems:
            raise DocumentError(*self._problems)
        return list(rows.values())

    def _row(self, place: str, row: Any) -> DocumentRow | None:
        if not isinstance(row, dict):
            self._problems.append(f"{place}: write a mapping with organization, name, url and subscriptions.")
            return None
        values = {key: value for key, value in row.items() if value is not None}
        external_id, name = values.pop("organization", None), values.get("name")
        organization = self._organization(f"{place}.organization", external_id)
        if not isinstance(name, str) or not name.strip():
            self._problems.append(f"{place}.name: give the webhook a name, which identifies it in its organization.")
        secret = None if (given := values.pop("secret", None)) is None else self._secret(f"{place}.secret", given)
        for group, standard in (("headers", {}), ("authentication", {"kind": AuthenticationKind.NONE.value})):
            given = values.pop(group, None) or standard
            if not isinstance(given, dict):
                self._problems.append(f"{place}.{group}: write a mapping, with {{env: VARIABLE}} for secret values.")
            elif not self._keep:
                kind = str(given.get("kind"))
                masked = given if group == "headers" else secret_names(kind) if kind in FIELDS else ()
                values[group] = {
                    key: self._variable(f"{place}.{group}.{key}", value) if key in masked and value != "" else value
                    for key, value in given.items()
                }
        if isinstance(listed := values.get("subscriptions"), list):
            values["subscriptions"] = [
                {"event_type" if key == "event" else key: value for key, value in one.items()}
                if isinstance(one, dict)
                else one
                for one in listed
            ]
        return organization and DocumentRow(place, organization, f"{external_id} / {name}", values, secret)

    def _organization(self, place: str, value: Any) -> Any:
        """Return the key of an organization, or None with a problem noted."""
        model: Any = Webhook._meta.get_field("organization").related_model
        key = organization_key()
        words = "key" if key == PK else "external id"
        if not isinstance(value, int | str) or isinstance(value, bool):
            self._problems.append(f"{place}: name the organization by its {words}.")
            return None
        try:
            found = list(model._base_manager.filter(**{key: value}).values_list("pk", flat=True)[:2])
        except (ValidationError, ValueError, OverflowError):
            found = []
        if len(found) == 1:
            return found[0]
        count = "several organizations have" if found else "no organization has"
        remedy = "" if found else " Is this document from another environment?"
        self._problems.append(f"{place}: {count} the {words} {value!r}.{remedy}")
        return None

    def _secret(self, place: str, value: Any) -> str | None:
        found = None if self._keep else self._variable(place, value)
        if found:
            try:
                secret_key(found)
            except ValueError as error:
                self._problems.append(f"{place}: {value['env']} does not hold a secret. {error}")
        return found

    def _variable(self, place: str, value: Any) -> str | None:
        """Return the value of the environment variable that ``value`` names, or None with a problem noted."""
        name = value.get("env") if isinstance(value, dict) and set(value) == {"env"} else None
        if not isinstance(name, str) or not name:
            # Not quoted: it may be the secret itself.
            self._problems.append(f"{place}: write {{env: VARIABLE}}; a document must not contain secrets.")
        elif not self._environ.get(name):
            self._problems.append(
                f"{place}: the environment variable {name} is not set; set it, or use --keep-secrets."
            )
        else:
            return self._environ[name]
        return None
