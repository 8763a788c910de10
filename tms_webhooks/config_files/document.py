"""The YAML document of webhooks: read its text within limits, and write one.

A document has what the API's serializer reads and writes, but complete, and without ids, state and secrets.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

import yaml

from tms_webhooks.api.serializers.webhooks import WebhookSerializer
from tms_webhooks.conf import app_settings
from tms_webhooks.exceptions import WebhooksError
from tms_webhooks.models import Subscription, Webhook
from tms_webhooks.models.credentials import known_headers
from tms_webhooks.models.encryption import MASK
from tms_webhooks.sources.mapping import organization_value
from tms_webhooks.sources.paths import column_at

VERSION = 1
"""The version of the document's format that this release reads and writes."""
LONGEST_DOCUMENT = 1_000_000
"""Characters of a document."""
PK = "pk"
"""The lookup of organizations that have no external id."""
INTRODUCTION = """\
# Webhooks of a training management system. Import them with: python manage.py webhooks_import FILE
# Omitted keys have their defaults. {env: NAME} stands for a secret value in the environment variable NAME.
"""


class DocumentError(WebhooksError, ValueError):
    """A document that can't be imported or written. ``problems`` are sentences that begin with their place in it."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class FileSerializer(WebhookSerializer):
    """The values of a webhook that a user sets, with its subscriptions.

    One serializer serves all webhooks of a document, because its fields take long to build.
    """

    read_only_remedies = {"id": "remove it, because ids differ between environments"}

    @cached_property
    def standard(self) -> dict[str, Any]:
        """The values of a new webhook with one new subscription."""
        return self.represent(Webhook(), [Subscription()])

    def represent(self, webhook: Webhook, subscriptions: Iterable[Subscription] = ()) -> dict[str, Any]:
        """Return the values of a webhook, with a mask for each secret one."""
        values: dict[str, Any] = {}
        for field in self._writable_fields:
            if field.field_name != "subscriptions":
                value = field.get_attribute(webhook)
                values[str(field.field_name)] = None if value is None else field.to_representation(value)
        rows = self.fields["subscriptions"].to_representation(subscriptions)
        return {**values, "subscriptions": [{name: row[name] for name in Subscription.CONFIGURED} for row in rows]}

    def get_fields(self) -> dict[str, Any]:
        """Return the fields of a request that creates a webhook; all of them can be changed later, too."""
        fields = super().get_fields()
        for name in ("organization", "preset"):
            del fields[name]
        for name in ("enabled", "subscriptions"):
            fields[name].read_only = False
        return fields

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Validate the webhook as it would be. A document may keep headers and credentials although the URL changes."""
        self.validate_row(copy.copy(self.instance or Webhook()), attrs, self.patterns_of(attrs))
        return attrs


class _Loader(yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader):  # type: ignore[misc]
    """Refuses duplicate keys, of which YAML would silently keep the last."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:  # noqa: FBT001, FBT002 (its signature)
        mapping = super().construct_mapping(node, deep=deep)
        if len(mapping) < len(node.value):
            keys = [self.construct_object(key, deep=True) for key, _value in node.value]
            twice = next(key for key in keys if keys.count(key) > 1)
            raise yaml.constructor.ConstructorError(None, None, f"duplicate key {twice!r}", node.start_mark)
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


def organization_key() -> str:
    """Return the lookup that identifies an organization in documents: its external id, or ``pk`` if it has none."""
    model: Any = Webhook._meta.get_field("organization").related_model
    path = app_settings.ORGANIZATION_FIELDS.get("external_id", "external_id")
    is_column = isinstance(path, str) and path and column_at(model, path) is not None
    return path.replace(".", "__") if is_column else PK


def _row(webhook: Webhook, serializer: FileSerializer) -> dict[str, Any]:
    owner, subject = webhook.organization, f"Webhook {webhook.pk} ({webhook.name})"
    organization = owner.pk if organization_key() == PK else organization_value(owner, "external_id")
    if organization in (None, ""):
        raise DocumentError(
            f"Organization {owner.pk} ({owner}) has no external id, which identifies it in other environments."
        )
    organization = organization if isinstance(organization, int | str) else str(organization)
    known = webhook.known_credentials()
    for name, value in (("headers", known_headers(webhook.headers)), ("credentials", known)):
        if value is None:
            raise DocumentError(f"{subject}: its {name} can't be decrypted; enter them again.")

    def variable(*parts: str) -> dict[str, str]:
        words = re.sub(r"[^A-Za-z0-9]+", " ", " ".join((str(organization), webhook.name, *parts))).upper()
        return {"env": "_".join(["WEBHOOK", *words.split()])}

    standard = serializer.standard
    values = serializer.represent(webhook, webhook.subscriptions.order_by("event_type", "pk"))
    row = {
        "organization": organization,
        "name": webhook.name,
        "enabled": webhook.enabled,
        **_changed(values, standard, but={"name", "enabled", "subscriptions"}),
        "secret": variable("secret"),
    }
    for group, part in (("headers", "header"), ("authentication", "authentication")):
        if group in row:
            row[group] = {
                name: variable(part, name) if value == MASK else str(value)
                for name, value in row.pop(group).items()
                if value == MASK or name in {"kind", *(known or ())}
            }
    (first,) = standard["subscriptions"]
    row["subscriptions"] = [
        {"event": one["event_type"], **_changed(one, first, but={"event_type"})} for one in values["subscriptions"]
    ]
    return row


def _changed(values: Mapping[str, Any], standard: Mapping[str, Any], *, but: set[str]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in but and value != standard[name]}
