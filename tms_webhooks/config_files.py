"""Webhooks as YAML documents for version control: write them, compare them with the stored ones, and apply them.

A document is applied in one transaction: all of it, or nothing.

A document has what the API's serializer reads and writes, but complete, and without ids, state and secrets.
"""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

import yaml
from django.core.exceptions import ValidationError
from django.db import router, transaction
from django.db.models import Model

from tms_webhooks.actors import Actor
from tms_webhooks.api.problems import body_errors
from tms_webhooks.api.serializers.base import (
    InvalidValues,
    StrictCharField,
    StrictChoiceField,
    StrictSerializer,
)
from tms_webhooks.api.serializers.webhooks import (
    AuthenticationField,
    HeadersField,
    OrganizationField,
    WebhookSerializer,
)
from tms_webhooks.choices import AuditAction
from tms_webhooks.computed import follow_value_or_none
from tms_webhooks.delivery.signing import secret_key
from tms_webhooks.exceptions import LimitReached, SecretError, WebhooksError
from tms_webhooks.manage import secrets, subscriptions, webhooks
from tms_webhooks.manage.audit import differences
from tms_webhooks.models import Subscription, Webhook
from tms_webhooks.models.credentials import FIELDS, read_headers, secret_names
from tms_webhooks.sources.mapping import organization_path
from tms_webhooks.sources.paths import column_at

VERSION = 1
"""The version of the document's format that this release reads and writes."""
LONGEST_DOCUMENT = 1_000_000
"""Characters of a document."""
INTRODUCTION = """\
# Webhooks of a training management system. Import them with: python manage.py webhooks_import FILE
# Omitted keys have their defaults. {env: NAME} stands for a secret value in the environment variable NAME.
"""
ORGANIZATION: Any = Webhook._meta.get_field("organization").related_model
SECRET = ("headers", "authentication", "credentials")
"""The columns that ``keep_secrets`` leaves as they are."""
PLAIN = [
    one.name
    for one in Webhook._meta.concrete_fields
    if one.editable and one.name not in ("id", "organization", "enabled", *SECRET)
]
"""The other columns that a user sets, besides the organization and whether the webhook is enabled."""
YAMLLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class DocumentError(WebhooksError, ValueError):
    """A document that can't be imported or written. Each line is a sentence that begins with its place in the document."""


class Variable(str):
    """The value of an environment variable that a document names."""


class _Loader(YAMLLoader):  # type: ignore[misc]
    """Replaces ``{env: NAME}``. Refuses duplicate keys, of which YAML would silently keep the last."""

    missing: list[str]

    def construct_value(self, node: Any) -> Any:
        mapping = self.construct_mapping(node, deep=True)
        if len(mapping) < len(node.value):
            raise yaml.constructor.ConstructorError(None, None, "a key is given twice in one mapping", node.start_mark)
        if set(mapping) != {"env"}:
            return mapping
        value = os.environ.get(str(mapping["env"]), "")
        if not value:
            self.missing.append(mapping["env"])
        return Variable(value)


_Loader.add_constructor("tag:yaml.org,2002:map", _Loader.construct_value)


def parse(text: str) -> tuple[Any, list[str]]:
    """Return the document in a text, and the names of variables that are not set.

    Raise `DocumentError` if it is not YAML, or over a limit.
    """
    if len(text) > LONGEST_DOCUMENT:
        raise DocumentError(f"The document has more than {LONGEST_DOCUMENT:,} characters; divide it.")
    try:
        # A short text with aliases could stand for billions of values.
        if any(isinstance(one, yaml.AliasEvent) for one in yaml.parse(text, Loader=YAMLLoader)):
            raise yaml.MarkedYAMLError(problem="aliases (*name) are not supported; write the values out")
        loader = _Loader(text)
        loader.missing = []
        return loader.get_single_data(), loader.missing
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        # Without the text of the error, which quotes the line: it may hold a secret.
        problem = getattr(error, "problem", None) or (
            "it has a time or a number that does not exist, or is nested too deep; quote such a value"
        )
        raise DocumentError(f"The document can't be read{where}: {problem}.") from None


def organization_key() -> str:
    """Return the path of the value that identifies an organization in documents: its external id, or ``pk``."""
    path = organization_path("external_id")
    return path if isinstance(path, str) and column_at(ORGANIZATION, path) is not None else "pk"


def label_of(webhook: Webhook) -> str:
    """Return the organization and the name of a webhook, which identify it in documents."""
    return f"{follow_value_or_none(webhook.organization, organization_key())} / {webhook.name}"


def to_yaml(webhooks: Iterable[Webhook]) -> str:
    """Return the document of these webhooks; equal webhooks give equal text.

    Raises `DocumentError` for organizations without an external id, and for two webhooks of one organization with the
    same name. Also raises it for headers or credentials that can't be decrypted.
    """
    rows: dict[str, Any] = {}
    for webhook in webhooks:
        row = _row(webhook)
        if rows.setdefault(label_of(webhook), row) is not row:
            raise DocumentError(
                f"{row['organization']} has several webhooks named {webhook.name!r}; rename all but one."
            )
    document = {"version": VERSION, "webhooks": [rows[label] for label in sorted(rows)]}
    return INTRODUCTION + yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)


def _row(webhook: Webhook) -> dict[str, Any]:
    owner, kind = webhook.organization, webhook.authentication
    key = follow_value_or_none(owner, organization_key())
    if key in (None, ""):
        raise DocumentError(
            f"Organization {owner.pk} ({owner}) has no external id, which identifies it in other environments."
        )
    try:
        headers, values = read_headers(webhook.headers), webhook.read_credentials()
    except (SecretError, ValidationError) as error:
        raise DocumentError(
            f"{label_of(webhook)}: its headers or credentials can't be decrypted; enter them again."
        ) from error

    def variable(*parts: str) -> dict[str, str]:
        words = re.findall("[A-Za-z0-9]+", " ".join(("webhook", label_of(webhook), *parts)))
        return {"env": "_".join(words).upper()}

    row = {
        "organization": key if isinstance(key, int) else str(key),
        "name": webhook.name,
        "enabled": webhook.enabled,
        **_differing(webhook, PLAIN),
        "secret": variable("secret"),
    }
    if webhook.contacts:
        row["contacts"] = webhook.contacts.split()
    if headers:
        row["headers"] = {name: variable("header", name) for name in headers}
    if values:
        texts = {name: variable("authentication", name) for name in secret_names(kind) if name in values}
        row["authentication"] = {"kind": kind, **values, **texts}
    stored = webhook.subscriptions.order_by("event_type", "pk")
    row["subscriptions"] = [_differing(one, Subscription.CONFIGURED) for one in stored]
    return row


def _differing(row: Model, names: Iterable[str]) -> dict[str, Any]:
    """Return those of these values that a new row has not."""
    new = type(row)()
    return {name: value for name in names if (value := getattr(row, name)) not in (None, getattr(new, name))}


class OrganizationKeyField(OrganizationField):
    """The key of an organization, by its external id."""

    def to_internal_value(self, data: Any) -> Any:
        path = organization_key()
        with suppress(ValidationError, TypeError, ValueError, OverflowError):
            (found,) = ORGANIZATION._base_manager.filter(**{path.replace(".", "__"): data})[:2]
            return found.pk
        raise InvalidValues(
            f"Not exactly one organization has the {path.replace('_', ' ')} {data!r}. Is this document from another environment?"
        )


class SecretField(StrictCharField):
    """A signing secret."""

    def to_internal_value(self, data: Any) -> Any:
        refuse_literal(data)
        try:
            secret_key(data)
        except ValueError as error:
            # Without the cause, which could hold the value.
            raise InvalidValues(f"This is no signing secret. {error}") from None
        return data


class FileHeadersField(HeadersField):
    """Headers, whose values are all secret."""

    def check(self, name: str, value: str) -> None:
        refuse_literal(value)
        super().check(name, value)


class FileAuthenticationField(AuthenticationField):
    """A kind of authentication with its values, some of which are secret."""

    def check(self, name: str, value: str) -> None:
        if any(name in secret_names(kind) for kind in FIELDS):
            refuse_literal(value)


def refuse_literal(value: Any) -> None:
    """Raise ``ValidationError`` for a secret value that stands in the document itself."""
    if value and not isinstance(value, Variable):
        raise InvalidValues("Write {env: VARIABLE}; a document must not contain secrets.", code="literal")


class WebhookChange(NamedTuple):
    """The changes of one webhook: the details of a report, without secrets, and the verbs of `manage` that write them."""

    action: AuditAction
    webhook: Webhook
    details: Sequence[str]
    verbs: Sequence[Callable[..., Any]]


class FileSerializer(WebhookSerializer):
    """The values of a webhook that a user sets, with its subscriptions and its secret, as a `WebhookChange`.

    One serializer serves all webhooks of a document, because its fields take long to build.
    """

    organization = OrganizationKeyField(source="organization_id")
    headers = FileHeadersField(required=False)
    authentication = FileAuthenticationField(source="*", required=False)
    secret = SecretField(required=False)
    preset = None  # type: ignore[assignment]

    remedies = {"id": "remove it, because ids differ between environments"}

    class Meta(WebhookSerializer.Meta):
        only_on_create = ()
        fields = (*(name for name in WebhookSerializer.Meta.fields if name != "preset"), "secret")

    def run_validation(self, data: Any = None) -> Any:
        """Return the `WebhookChange`; raise ``ValidationError`` with all errors. Missing keys have their defaults."""
        self.instance = self.owner = None
        if isinstance(data, Mapping):
            kept = {*SECRET, "secret"} if self.context["keep_secrets"] else set()
            given = {name: value for name, value in data.items() if value is not None and name not in kept}
            data = {"subscriptions": [], **given}
        return super().run_validation(data)

    def validate_organization(self, key: Any) -> Any:
        """Remember the organization for the name, which is the next field."""
        self.owner = key
        return key

    def validate_name(self, name: str) -> str:
        """Find the stored webhook of this name, with which the fields that follow are compared."""
        stored = Webhook.objects.existing().filter(organization=self.owner, name=name, hook_of="")[:2]
        if len(stored) > 1 or (self.owner, name) in self.context["seen"]:
            raise InvalidValues("Several webhooks of the organization have this name; rename all but one.")
        self.context["seen"].append((self.owner, name))
        self.instance = stored[0] if stored else None
        return name

    def validate(self, attrs: dict[str, Any]) -> Any:
        """Return the `WebhookChange`. A document may keep headers and credentials although the URL changes."""
        before: Any = self.instance
        new, now, secret = Webhook(), self.context["now"], attrs.get("secret")
        webhook = copy.copy(before) if before else Webhook(organization_id=attrs["organization_id"])
        for name in (*PLAIN, "enabled", *(() if self.context["keep_secrets"] else SECRET)):
            default = webhook if name == "enabled" else new
            setattr(webhook, name, attrs.get(name, getattr(default, name)))
        self.validate_row(webhook, {}, self.patterns_of(attrs))
        wanted = [Subscription(webhook=webhook, **one) for one in attrs["subscriptions"]]
        fields = differences(before, webhook)
        details = [f"{name}: {values['from']!r} -> {values['to']!r}" for name, values in fields.items()]
        if changes := subscriptions.changes_to(before.subscriptions.order_by("pk") if before else (), wanted):
            counts = (f"{len(getattr(changes, name))} {name}" for name in ("added", "changed", "removed"))
            details.append(f"subscriptions: {', '.join(counts)}")
        if before is None:
            create = partial(webhooks.create, webhook, wanted, secret=secret)
            return WebhookChange(AuditAction.WEBHOOK_CREATED, webhook, details, [create])
        verbs: list[Any] = [
            partial(webhooks.update, webhook, fields),
            partial(subscriptions.replace, webhook, wanted),
        ]
        if secrets.is_new(webhook, secret, now=now):
            details.append("secret: changed")
            verbs.append(partial(secrets.rotate, webhook, secret=secret))
        if "enabled" in fields:
            verbs.append(partial(webhooks.enable if webhook.enabled else webhooks.disable, webhook))
        return WebhookChange(AuditAction.WEBHOOK_UPDATED, webhook, details, verbs)


class DocumentSerializer(StrictSerializer):
    """A whole document."""

    version = StrictChoiceField(choices=[VERSION])
    webhooks = FileSerializer(many=True)


def synchronize(
    text: str,
    *,
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
    document, missing = parse(text)
    if missing and not keep_secrets:
        text = "The environment variable {} is not set; set it, or use --keep-secrets."
        raise DocumentError("\n".join(map(text.format, missing)))
    context = {"keep_secrets": keep_secrets, "now": now, "seen": []}
    with transaction.atomic(using=router.db_for_write(Webhook)):
        try:
            rows = DocumentSerializer(context=context).run_validation(document)["webhooks"]
        except InvalidValues as error:
            # A place such as `webhooks[2].url`.
            places = [
                (re.sub(r"/([0-9]+)", r"[\1]", one.name[2:]).replace("/", "."), one)
                for one in body_errors(error.detail, "")
            ]
            raise DocumentError(
                "\n".join(f"{place or 'The document'}: {one.detail}" for place, one in places)
            ) from None
        changes = [one for one in rows if one.details]
        if prune:
            # First: the number of webhooks is limited.
            others = Webhook.objects.existing().filter(
                hook_of="", organization__in={one.webhook.organization_id for one in rows}
            )
            changes[:0] = [
                WebhookChange(AuditAction.WEBHOOK_DELETED, one, (), [partial(webhooks.delete, one)])
                for one in others.exclude(pk__in=[one.webhook.pk for one in rows])
            ]
        if not dry_run:
            Webhook.objects.lock(one.webhook.pk for one in changes if one.webhook.pk)
            for one in changes:
                try:
                    for verb in one.verbs:
                        verb(actor=actor, now=now)
                except LimitReached as error:
                    raise DocumentError(f"{label_of(one.webhook)}: {error}") from error
    return changes
