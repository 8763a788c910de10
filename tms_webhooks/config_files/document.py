"""Read a YAML document of webhooks: its keys, its values, and all of its mistakes with their places.

`webhook_fields` and `subscription_fields` define the keys, for reading and for writing. `DocumentReader` returns a
`WebhookSpec` for each webhook.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import yaml
from django.core.exceptions import ValidationError
from django.db import models

from tms_webhooks.choices import AuthenticationKind
from tms_webhooks.conf import app_settings
from tms_webhooks.delivery.signing import secret_key
from tms_webhooks.event_names import did_you_mean
from tms_webhooks.exceptions import WebhooksError
from tms_webhooks.models import Subscription, Webhook
from tms_webhooks.models.credentials import FIELDS, secret_names, validate
from tms_webhooks.sources.mapping import column_at
from tms_webhooks.validators import validate_header_lines

VERSION = 1
"""The version of the document's format that this release reads and writes."""
LONGEST_DOCUMENT = 1_000_000
"""Characters of a document."""
MOST_VALUES = 50_000
"""Values of a document, with the keys of its mappings."""
MOST_SEARCHES = 10
"""Problems of a document up to which similar keys are searched, which takes long."""
DEEPEST = 20
"""Nested lists and mappings of a document."""
TOO_DEEP = f"values are nested more than {DEEPEST} deep"
LONGEST_NUMBER = 20
"""Characters of a whole number."""
SPECIAL = frozenset({"organization", "headers", "authentication", "credentials", "enabled"})
"""Fields of a webhook whose form in the document differs from their value."""
KEYS = frozenset({"organization", "enabled", "secret", "headers", "authentication", "subscriptions"})
"""Keys of a webhook in addition to `webhook_fields`."""
EVENT = "event"
EVENT_FIELD = "event_type"
PK = "pk"
"""The lookup of organizations that have no external id."""

Fields = Mapping[str, "models.Field[Any, Any]"]
"""Fields of a model by their keys in the document."""


class DocumentError(WebhooksError, ValueError):
    """A document that can't be imported or written. ``problems`` are sentences that begin with their place in it."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True, repr=False)
class AuthenticationSpec:
    """How requests authenticate: the kind, and its values by name."""

    kind: str = AuthenticationKind.NONE.value
    values: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, repr=False)
class WebhookSpec:
    """One webhook as the document describes it. ``secret``, ``headers`` and ``authentication`` are None if they stay."""

    place: str
    organization: Any
    organization_name: str
    name: str
    values: Mapping[str, Any]
    enabled: bool | None = None
    secret: str | None = None
    headers: str | None = ""
    authentication: AuthenticationSpec | None = None
    subscriptions: Sequence[Mapping[str, Any]] = field(default_factory=tuple)

    @property
    def label(self) -> str:
        """The name of the webhook in reports."""
        return f"{self.organization_name} / {self.name}"


@cache
def webhook_fields() -> Fields:
    """Return the editable fields of a webhook, without those of `SPECIAL`."""
    return {name: field for name, field in _editable(Webhook).items() if name not in SPECIAL}


@cache
def subscription_fields() -> Fields:
    """Return the editable fields of a subscription by their keys in the document."""
    fields = _editable(Subscription)
    del fields["webhook"]
    return {EVENT if name == EVENT_FIELD else name: field for name, field in fields.items()}


def organization_key() -> str:
    """Return the lookup that identifies an organization in documents: its external id, or ``pk`` if it has none."""
    model: Any = Webhook._meta.get_field("organization").related_model
    path = app_settings.ORGANIZATION_FIELDS.get("external_id", "external_id")
    is_column = isinstance(path, str) and path and column_at(model, path) is not None
    return path.replace(".", "__") if is_column else PK


def variable_name(*parts: str) -> str:
    """Return the name of an environment variable, built from these parts."""
    name = "_".join(re.sub(r"[^A-Za-z0-9]+", "_", part).strip("_").upper() for part in parts)
    return f"WEBHOOK_{name}"


class DocumentReader:
    """Reads one document. ``environ`` holds the secrets that it names; with ``keep_secrets`` they are not needed."""

    def __init__(self, environ: Mapping[str, str], *, keep_secrets: bool) -> None:
        self._environ = environ
        self._keep = keep_secrets
        self._problems: list[str] = []
        self._organizations: dict[Any, Any] = {}

    def read(self, text: str) -> Sequence[WebhookSpec]:
        """Return the webhooks of a document; raise `DocumentError` with all of its mistakes."""
        rows = list(self._webhooks(_parse(text)))
        seen: dict[tuple[Any, str], str] = {}
        for row in rows:
            first = seen.setdefault((row.organization, row.name), row.place)
            if first != row.place:
                self._problems.append(f"{row.place}: {row.label} is a duplicate of {first}.")
        if self._problems:
            raise DocumentError(self._problems)
        return rows

    def _webhooks(self, document: Any) -> Iterator[WebhookSpec]:
        if not isinstance(document, dict):
            raise DocumentError(["The document is not a mapping; begin it with version: 1 and webhooks:."])
        version = document.get("version")
        if version != VERSION:
            raise DocumentError([f"version: {version!r} is not supported; write version: {VERSION}."])
        self._refuse_unknown("", document, {"version", "webhooks"})
        rows = document.get("webhooks")
        if not isinstance(rows, list):
            raise DocumentError(["webhooks: write a list with one entry per webhook."])
        for number, row in enumerate(rows):
            place = f"webhooks[{number}]"
            if not isinstance(row, dict):
                self._problems.append(f"{place}: write a mapping with organization, name, url and subscriptions.")
            elif self._refuse_unknown(place, row, KEYS | webhook_fields().keys()):
                found = self._webhook(place, row)
                if found is not None:
                    yield found

    def _webhook(self, place: str, row: Mapping[str, Any]) -> WebhookSpec | None:
        organization = self._organization(f"{place}.organization", row.get("organization"))
        name, enabled = row.get("name"), row.get("enabled")
        if not isinstance(name, str) or not name.strip():
            self._problems.append(f"{place}.name: give the webhook a name, which identifies it in its organization.")
        if not (enabled is None or isinstance(enabled, bool)):
            self._problems.append(f"{place}.enabled: {enabled!r} is neither true nor false.")
        if organization is None or not isinstance(name, str):
            return None
        return WebhookSpec(
            place=place,
            organization=organization.pk,
            organization_name=str(row["organization"]),
            name=name,
            values={key: row.get(key, one.get_default()) for key, one in webhook_fields().items()},
            enabled=enabled,
            secret=self._secret(f"{place}.secret", row.get("secret")),
            headers=self._headers(f"{place}.headers", row.get("headers") or {}),
            authentication=self._authentication(f"{place}.authentication", row.get("authentication")),
            subscriptions=list(self._subscriptions(f"{place}.subscriptions", row.get("subscriptions") or [])),
        )

    def _organization(self, place: str, value: Any) -> Any:
        model: Any = Webhook._meta.get_field("organization").related_model
        key = organization_key()
        try:
            if isinstance(value, int | str) and not isinstance(value, bool):
                if value not in self._organizations:
                    self._organizations[value] = model._base_manager.get(**{key: value})
                return self._organizations[value]
            self._problems.append(f"{place}: name the organization by its {_in_words(key)}.")
        except (model.DoesNotExist, ValidationError, ValueError, OverflowError):
            self._problems.append(
                f"{place}: unknown organization: {_in_words(key)} {value!r}. Is this document from another environment?"
            )
        except model.MultipleObjectsReturned:
            self._problems.append(f"{place}: several organizations have the {_in_words(key)} {value!r}.")
        return None

    def _secret(self, place: str, value: Any) -> str | None:
        found = None if value is None or self._keep else self._from_environment(place, value)
        if found:
            try:
                secret_key(found)
            except ValueError as error:
                self._problems.append(f"{place}: {value['env']} does not hold a secret. {error}")
        return found

    def _headers(self, place: str, value: Any) -> str | None:
        if not isinstance(value, dict):
            self._problems.append(f"{place}: write a mapping from names to {{env: VARIABLE}}.")
            return None
        if self._keep:
            return None
        found = {str(name): self._from_environment(f"{place}.{name}", one) for name, one in value.items()}
        lines = "\n".join(f"{name}={one}" for name, one in found.items() if one is not None)
        try:
            validate_header_lines(lines)
        except ValidationError as error:
            self._problems += [f"{place}: {message}" for message in error.messages]
        return lines

    def _authentication(self, place: str, value: Any) -> AuthenticationSpec | None:
        if value is None:
            return None if self._keep else AuthenticationSpec()
        kind = value.get("kind") if isinstance(value, dict) else None
        if not isinstance(kind, str) or kind not in FIELDS:
            self._problems.append(f"{place}: write a mapping with kind, one of {', '.join(FIELDS)}, and its values.")
            return None
        if self._keep:
            return None
        values: dict[str, str] = {}
        secret, problems = secret_names(kind), len(self._problems)
        for name, one in value.items():
            here = f"{place}.{name}"
            found = self._from_environment(here, one) if name in secret else one
            if isinstance(found, str):
                values[str(name)] = found
            elif name not in secret:
                self._problems.append(f"{here}: write a text.")
        del values["kind"]
        try:
            validate(kind, values)
        except ValidationError as error:
            # A value that the environment lacks has its problem already.
            if problems == len(self._problems):
                self._problems += [
                    f"{place}.{name}: {message}"
                    for name, messages in error.message_dict.items()
                    for message in messages
                ]
        return AuthenticationSpec(kind, values)

    def _from_environment(self, place: str, value: Any) -> str | None:
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

    def _subscriptions(self, place: str, rows: Any) -> Iterator[Mapping[str, Any]]:
        if not isinstance(rows, list):
            self._problems.append(f"{place}: write a list with one entry per event.")
            return
        for number, row in enumerate(rows):
            here = f"{place}[{number}]"
            if not isinstance(row, dict) or not isinstance(row.get(EVENT), str):
                self._problems.append(f"{here}: write a mapping with event, such as {{event: class.*}}.")
            elif self._refuse_unknown(here, row, subscription_fields().keys()):
                yield {key: row.get(key, one.get_default()) for key, one in subscription_fields().items()}

    def _refuse_unknown(self, place: str, row: Mapping[Any, Any], known: Any) -> bool:
        """Note a problem for each unknown key; return True if all keys are known."""
        unknown = [key for key in row if key not in known]
        for key in unknown:
            where = f"{place}.{key}" if place else str(key)
            if key in {"id", "pk"}:
                remedy = " Remove it: ids differ between environments."
            else:
                remedy = did_you_mean(_close(str(key), known)) if len(self._problems) < MOST_SEARCHES else ""
            self._problems.append(f"{where}: unknown key.{remedy}")
        return not unknown


def _editable(model: type[models.Model]) -> dict[str, models.Field[Any, Any]]:
    own = (field for field in model._meta.concrete_fields if field.editable and not field.primary_key)
    return {field.name: field for field in own}


class _Loader(yaml.SafeLoader):
    """Refuses what takes long to read, and duplicate keys, of which YAML would silently keep the last."""

    _depth = 0
    _values = 0

    def __init__(self, text: str) -> None:
        super().__init__(text)
        if yaml.__with_libyaml__:
            # Its events come four times as fast.
            events = yaml.CSafeLoader(text)
            for name in ("check_event", "peek_event", "get_event"):
                setattr(self, name, getattr(events, name))

    def compose_node(self, parent: Any, index: Any) -> Any:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        mark: Any = event.start_mark
        self._values += 1
        if self._values > MOST_VALUES:
            problem = f"there are more than {MOST_VALUES:,} values; divide the document"
            raise yaml.composer.ComposerError(None, None, problem, mark)
        if isinstance(event, yaml.AliasEvent):
            problem = "aliases (*name) are not supported; write the value out"
            raise yaml.composer.ComposerError(None, None, problem, mark)
        if self._depth == DEEPEST:
            raise yaml.composer.ComposerError(None, None, TOO_DEEP, mark)
        self._depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1

    def construct_object(self, node: Any, deep: bool = False) -> Any:  # noqa: FBT001, FBT002 (its signature)
        if node.tag == "tag:yaml.org,2002:int" and len(node.value) > LONGEST_NUMBER:
            problem = f"a number has more than {LONGEST_NUMBER} characters"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
        return super().construct_object(node, deep=deep)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 (its signature)
        seen: set[Any] = set()
        for key_node, _value in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                raise yaml.constructor.ConstructorError(None, None, "found unhashable key", key_node.start_mark)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"duplicate key {key!r}", node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


def _parse(text: str) -> Any:
    if len(text) > LONGEST_DOCUMENT:
        raise DocumentError([f"The document has more than {LONGEST_DOCUMENT:,} characters; divide it."])
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 (a SafeLoader)  # nosec B506
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        # Without the text of the error, which quotes the line: it may hold a secret.
        problem = getattr(error, "problem", None) or "it can't be read"
        if "nesting depth" in problem:  # of libyaml, which reads ahead
            problem = TOO_DEEP
        raise DocumentError([f"The document is not YAML{where}: {problem}."]) from None
    except (ValueError, OverflowError):
        # Not quoted, and without a line: the parser names neither.
        raise DocumentError(
            ["The document has a time or a number that does not exist; quote it to make it text."]
        ) from None


def _close(key: str, known: Any) -> list[str]:
    return difflib.get_close_matches(key, sorted(known), n=2, cutoff=0.5)


def _in_words(key: str) -> str:
    return "key" if key == PK else "external id"
