"""Compare a YAML document of webhooks with the stored ones, and apply it in one transaction: all of it, or nothing."""

from __future__ import annotations

import copy
import re
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
from tms_webhooks.choices import AuditAction
from tms_webhooks.config_files.document import parse
from tms_webhooks.config_files.serializers import (
    DocumentError,
    DocumentRow,
    DocumentSerializer,
    Variable,
    organization_key,
)
from tms_webhooks.exceptions import LimitReached, SecretError
from tms_webhooks.manage import secrets, subscriptions, webhooks
from tms_webhooks.manage.audit import differences
from tms_webhooks.models import Webhook

SIGNS = {AuditAction.WEBHOOK_CREATED: "+", AuditAction.WEBHOOK_DELETED: "-"}


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
    missing: list[str] = []
    document = _with_variables(parse(text), environ, missing)
    if missing and not keep_secrets:
        raise DocumentError(
            *(f"The environment variable {name} is not set; set it, or use --keep-secrets." for name in missing)
        )
    with transaction.atomic(using=router.db_for_write(Webhook)):
        organizations = _organizations(document)
        stored: dict[tuple[Any, str], list[Webhook]] = {}
        existing = Webhook.objects.existing().filter(organization__in=organizations.values())
        for webhook in existing.select_for_update().order_by("pk"):
            stored.setdefault((webhook.organization_id, webhook.name), []).append(webhook)
        named: list[tuple[Any, str]] = []
        context = {"organizations": organizations, "stored": stored, "named": named, "keep_secrets": keep_secrets}
        try:
            rows = DocumentSerializer(context=context).run_validation(document)["webhooks"]
        except InvalidValues as error:
            # A place such as `webhooks[2].url`.
            found = (
                (re.sub(r"/([0-9]+)", r"[\1]", one.name[2:]).replace("/", "."), one)
                for one in body_errors(error.detail, "")
            )
            raise DocumentError(*(f"{place or 'The document'}: {one.detail}" for place, one in found)) from None
        labels = {key: str(name) for name, key in organizations.items()}
        # Deletions first: the number of webhooks is limited.
        changes = [
            WebhookChange(AuditAction.WEBHOOK_DELETED, f"{labels[key]} / {name}", (), [partial(webhooks.delete, one)])
            for (key, name), found in (stored.items() if prune else ())
            for one in found
            if (key, name) not in named
        ]
        changes += [change for row in rows if (change := _change(row, now=now)).verbs]
        for change in () if dry_run else changes:
            try:
                for verb in change.verbs:
                    verb(actor=actor, now=now)
            except LimitReached as error:
                raise DocumentError(f"{change.label}: {error}") from error
    return changes


def _with_variables(value: Any, environ: Mapping[str, str], missing: list[str]) -> Any:
    """Return a value with those of environment variables in place of ``{env: NAME}``; add ``missing`` names."""
    if isinstance(value, list):
        return [_with_variables(one, environ, missing) for one in value]
    if not isinstance(value, dict):
        return value
    if set(value) != {"env"}:
        return {name: _with_variables(one, environ, missing) for name, one in value.items()}
    name = str(value["env"])
    if not environ.get(name):
        missing.append(name)
    return Variable(environ.get(name, ""))


def _organizations(document: Any) -> dict[Any, Any]:
    """Return the keys of the organizations that a document names, by their external ids."""
    rows = document.get("webhooks") if isinstance(document, dict) else None
    names = [row.get("organization") for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    organizations: Any = Webhook._meta.get_field("organization").related_model._base_manager
    found = {}
    for name in {one for one in names if isinstance(one, int | str)}:
        with suppress(ValidationError, ValueError, OverflowError):
            keys = organizations.filter(**{organization_key(): name}).values_list("pk", flat=True)[:2]
            if len(keys) == 1:
                found[name] = keys[0]
    return found


def _change(row: DocumentRow, *, now: datetime) -> WebhookChange:
    """Return what a row changes. Nothing is saved."""
    before = row.stored
    webhook = Webhook(enabled=row.enabled is not False) if before is None else copy.copy(before)
    for name, value in row.values.items():
        setattr(webhook, name, value)
    for one in row.subscriptions:
        one.webhook = webhook
    fields = differences(before, webhook)
    details = [f"{name}: {values['from']!r} -> {values['to']!r}" for name, values in fields.items()]
    if before is None:
        details += [f"subscriptions: {len(row.subscriptions)} added"] if row.subscriptions else []
        create = partial(webhooks.create, webhook, row.subscriptions, secret=row.secret)
        return WebhookChange(AuditAction.WEBHOOK_CREATED, row.label, details, [create])
    verbs: list[Callable[..., Any]] = [partial(webhooks.update, webhook, fields)] if fields else []
    signing: Sequence[str] = ()
    # Secrets that can't be decrypted are replaced.
    with suppress(SecretError):
        signing = webhook.signing_secrets(now)[:1] if row.secret else ()
    if row.secret and row.secret not in signing:
        details.append("secret: changed")
        verbs.append(partial(secrets.rotate, webhook, secret=row.secret))
    if changes := subscriptions.changes_to(list(webhook.subscriptions.order_by("pk")), row.subscriptions):
        counts = (f"{len(getattr(changes, name))} {name}" for name in ("added", "changed", "removed"))
        details.append(f"subscriptions: {', '.join(counts)}")
        verbs.append(partial(subscriptions.replace, webhook, row.subscriptions))
    if row.enabled not in (None, webhook.enabled):
        details.append(f"enabled: {webhook.enabled} -> {row.enabled}")
        verbs.append(partial(webhooks.enable if row.enabled else webhooks.disable, webhook))
    return WebhookChange(AuditAction.WEBHOOK_UPDATED, row.label, details, verbs)
