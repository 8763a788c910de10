"""Webhooks as YAML documents for version control: write them, compare them with the stored ones, and apply them.

A document is applied in one transaction: all of it, or nothing.

A document has what the API's serializer reads and writes, but complete, and without ids, state and secrets.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import cached_property, partial
from typing import Any, NamedTuple

import yaml
from django.core.exceptions import ValidationError
from django.db import router, transaction

from tms_webhooks.actors import Actor
from tms_webhooks.api.problems import body_errors
from tms_webhooks.api.serializers.base import (
    InvalidValues,
    StrictCharField,
    StrictChoiceField,
    StrictSerializer,
    nested,
)
from tms_webhooks.api.serializers.webhook_fields import OrganizationField
from tms_webhooks.api.serializers.webhooks import WebhookSerializer
from tms_webhooks.choices import AuditAction
from tms_webhooks.conf import app_settings
from tms_webhooks.delivery.signing import secret_key
from tms_webhooks.exceptions import LimitReached, SecretError, WebhooksError
from tms_webhooks.manage import secrets, subscriptions, webhooks
from tms_webhooks.manage.audit import differences
from tms_webhooks.models import Subscription, Webhook
from tms_webhooks.models.credentials import known_headers, secret_names
from tms_webhooks.models.encryption import MASK
from tms_webhooks.sources.mapping import organization_value
from tms_webhooks.sources.paths import column_at

LONGEST_DOCUMENT = 1_000_000
"""Characters of a document."""
INTRODUCTION = """\
# Webhooks of a training management system. Import them with: python manage.py webhooks_import FILE
# Omitted keys have their defaults. {env: NAME} stands for a secret value in the environment variable NAME.
"""


class _Loader(yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader):  # type: ignore[misc]
    """Refuses duplicate keys, of which YAML would silently keep the last."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:  # noqa: FBT001, FBT002 (its signature)
        mapping = super().construct_mapping(node, deep=deep)
        if len(mapping) < len(node.value):
            raise yaml.constructor.ConstructorError(None, None, "a key is given twice in one mapping", node.start_mark)
        return mapping


def parse(text: str) -> Any:
    """Return the document in a text; raise `DocumentError` if it is not YAML, or over a limit."""
    if len(text) > LONGEST_DOCUMENT:
        raise DocumentError(f"The document has more than {LONGEST_DOCUMENT:,} characters; divide it.")
    try:
        for event in yaml.parse(text, Loader=_Loader):
            if isinstance(event, yaml.AliasEvent):
                # A short text could stand for billions of values.
                problem = "aliases (*name) are not supported; write the value out"
                raise yaml.composer.ComposerError(None, None, problem, event.start_mark)  # type: ignore[arg-type]
        return yaml.load(text, Loader=_Loader)  # noqa: S506 (a SafeLoader)  # nosec B506
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        # Without the text of the error, which quotes the line: it may hold a secret.
        problem = getattr(error, "problem", None) or "it can't be read"
        raise DocumentError(f"The document is not YAML{where}: {problem}.") from None
    except (ValueError, OverflowError, RecursionError):
        # Not quoted, and without a line: the parser names neither.
        problem = "The document has a time or a number that does not exist, or is nested too deep; quote such a value."
        raise DocumentError(problem) from None


def to_yaml(webhooks: Iterable[Webhook]) -> str:
    """Return the document of these webhooks; equal webhooks give equal text.

    Raises `DocumentError` for organizations without an external id, and for two webhooks of one organization with the
    same name. Also raises it for headers or credentials that can't be decrypted.
    """
    serializer = FileSerializer()
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for webhook in webhooks:
        row = _row(webhook, serializer)
        organization = str(row["organization"])
        if rows.setdefault((organization, webhook.name), row) is not row:
            raise DocumentError(f"{organization} has several webhooks named {webhook.name!r}; rename all but one.")
    document = {"version": VERSION, "webhooks": [row for _key, row in sorted(rows.items())]}
    return INTRODUCTION + yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)


def _row(webhook: Webhook, serializer: FileSerializer) -> dict[str, Any]:
    owner = webhook.organization
    organization = owner.pk if organization_key() == "pk" else organization_value(owner, "external_id")
    if organization in (None, ""):
        raise DocumentError(
            f"Organization {owner.pk} ({owner}) has no external id, which identifies it in other environments."
        )
    known = webhook.known_credentials()
    if known is None or known_headers(webhook.headers) is None:
        secrets = "headers" if known is not None else "credentials"
        raise DocumentError(
            f"Webhook {webhook.pk} ({webhook.name}): its {secrets} can't be decrypted; enter them again."
        )

    def variable(*parts: str) -> dict[str, str]:
        words = re.sub(r"[^A-Za-z0-9]+", " ", " ".join((str(organization), webhook.name, *parts))).upper()
        return {"env": "_".join(["WEBHOOK", *words.split()])}

    values = serializer.represent(webhook, webhook.subscriptions.order_by("event_type", "pk"))
    row = {
        "organization": organization if isinstance(organization, int) else str(organization),
        "name": webhook.name,
        "enabled": webhook.enabled,
        **_changed(values, serializer.standard, but={"name", "enabled", "subscriptions"}),
        "secret": variable("secret"),
    }
    for group, part in (("headers", "header"), ("authentication", "authentication")):
        if group in row:
            row[group] = {
                name: variable(part, name) if value == MASK else str(value)
                for name, value in row.pop(group).items()
                if value == MASK or name in {"kind", *known}
            }
    (first,) = serializer.standard["subscriptions"]
    row["subscriptions"] = [
        {"event_type": one["event_type"], **_changed(one, first, but={"event_type"})} for one in values["subscriptions"]
    ]
    return row


def _changed(values: Mapping[str, Any], standard: Mapping[str, Any], *, but: set[str]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in but and value != standard[name]}


VERSION = 1
"""The version of the document's format that this release reads and writes."""


class DocumentError(WebhooksError, ValueError):
    """A document that can't be imported or written. ``problems`` are sentences that begin with their place in it."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Variable(str):
    """The value of an environment variable that a document names."""


class DocumentRow(NamedTuple):
    """One webhook of a document: the stored one with its identity, or None, and what it is to be."""

    stored: Webhook | None
    label: str
    values: dict[str, Any]
    subscriptions: list[Subscription]
    enabled: bool | None
    secret: str | None


def organization_key() -> str:
    """Return the lookup that identifies an organization in documents: its external id, or ``pk`` if it has none."""
    model: Any = Webhook._meta.get_field("organization").related_model
    path = app_settings.ORGANIZATION_FIELDS.get("external_id", "external_id")
    is_column = isinstance(path, str) and path and column_at(model, path) is not None
    return path.replace(".", "__") if is_column else "pk"


class OrganizationKeyField(OrganizationField):
    """The key of one of the ``organizations`` in the context, by its external id."""

    def to_internal_value(self, data: Any) -> Any:
        organizations = self.context["organizations"]
        if not isinstance(data, int | str) or data not in organizations:
            word = organization_key().replace("_", " ")
            text = f"Not exactly one organization has the {word} {data!r}. Is this document from another environment?"
            raise InvalidValues(text)
        return organizations[data]


class FileSerializer(WebhookSerializer):
    """The values of a webhook that a user sets, with its subscriptions, as a `DocumentRow`.

    One serializer serves all webhooks of a document, because its fields take long to build.
    """

    organization = OrganizationKeyField(source="organization_id")
    secret = StrictCharField(required=False)

    read_only_remedies = {"id": "remove it, because ids differ between environments"}

    class Meta(WebhookSerializer.Meta):
        fields = (*WebhookSerializer.Meta.fields, "secret")

    @cached_property
    def standard(self) -> dict[str, Any]:
        """The values of a new webhook with one new subscription."""
        return self.represent(Webhook(), [Subscription()])

    def represent(self, webhook: Webhook, subscriptions: Iterable[Subscription] = ()) -> dict[str, Any]:
        """Return the values of a webhook, with a mask for each secret one."""
        values: dict[str, Any] = {}
        for field in self._writable_fields:
            if field.field_name not in {"organization", "subscriptions", "secret"}:
                value = field.get_attribute(webhook)
                values[str(field.field_name)] = None if value is None else field.to_representation(value)
        rows = self.fields["subscriptions"].to_representation(subscriptions)
        return {**values, "subscriptions": [{name: row[name] for name in Subscription.CONFIGURED} for row in rows]}

    def get_fields(self) -> dict[str, Any]:
        """Return the fields of a request that creates a webhook; all of them can be changed later, too."""
        fields = super().get_fields()
        del fields["preset"]
        for name in self.Meta.only_on_create:
            fields[name].read_only = False
        return fields

    def run_validation(self, data: Any = None) -> DocumentRow:
        """Return the row; raise ``ValidationError`` with all errors. Missing keys have their defaults."""
        given = {name: value for name, value in data.items() if value is not None} if isinstance(data, Mapping) else {}
        organization, name = given.get("organization"), given.get("name")
        key = self.context["organizations"].get(organization) if isinstance(organization, int | str) else None
        found = self.context["stored"].get((key, name), ()) if isinstance(name, str) else ()
        if len(found) > 1:
            raise InvalidValues({"name": ["Several webhooks of the organization have this name; rename all but one."]})
        if (key, name) in self.context["named"]:
            raise InvalidValues({"name": ["The document has another webhook with this name and organization."]})
        self.context["named"].append((key, name))
        _refuse_literals({"secret": given.get("secret")}, {"secret"})
        for group in ("headers", "authentication"):
            if isinstance(values := given.get(group), dict):
                secret = values if group == "headers" else secret_names(str(values.get("kind")))
                _refuse_literals(values, secret, group)
        self.instance = found[0] if found else None
        standard = {**self.standard, "subscriptions": [], "headers": {}, "authentication": {"kind": "none"}}
        if self.context["keep_secrets"]:
            for kept in ("headers", "authentication", "secret"):
                standard.pop(kept, None)
                given.pop(kept, None)
        del standard["enabled"]
        valid = super().run_validation({**standard, **given} if isinstance(data, Mapping) else data)
        return DocumentRow(
            self.instance,
            f"{organization} / {name}",
            secret=valid.pop("secret", None),
            enabled=valid.pop("enabled", None),
            subscriptions=[Subscription(**one) for one in valid.pop("subscriptions")],
            values=valid,
        )

    def validate_secret(self, value: str) -> str:
        """Reject a value that is no signing secret."""
        try:
            secret_key(value)
        except ValueError as error:
            # Without the cause, which could hold the value.
            raise InvalidValues(f"This is no signing secret. {error}") from None
        return value

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Validate the webhook as it would be. A document may keep headers and credentials although the URL changes."""
        row = {name: value for name, value in attrs.items() if name != "secret"}
        self.validate_row(copy.copy(self.instance or Webhook()), row, self.patterns_of(attrs))
        return attrs


def _refuse_literals(values: Mapping[str, Any], secret: Iterable[str], *group: str) -> None:
    """Raise ``ValidationError`` for secret values that stand in the document itself."""
    text = "Write {env: VARIABLE}; a document must not contain secrets."
    literal = [name for name in secret if values.get(name) and not isinstance(values[name], Variable)]
    if literal:
        raise InvalidValues(nested(((*group, name), text, "literal") for name in literal))


class DocumentSerializer(StrictSerializer):
    """A whole document."""

    version = StrictChoiceField(choices=[VERSION])
    webhooks = FileSerializer(many=True)


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
