"""The YAML document of webhooks: read its text within limits, and write one.

A document has what the API's serializer reads and writes, but complete, and without ids, state and secrets.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from tms_webhooks.config_files.serializers import VERSION, DocumentError, FileSerializer, organization_key
from tms_webhooks.models import Webhook
from tms_webhooks.models.credentials import known_headers
from tms_webhooks.models.encryption import MASK
from tms_webhooks.sources.mapping import organization_value

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
