"""Ids in filters: whether the host has what they name, or the document is another environment's."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import yaml
from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.db import models

from tms_webhooks.delivery.signing import secret_key
from tms_webhooks.event_names import did_you_mean
from tms_webhooks.exceptions import WebhooksError
from tms_webhooks.models import Subscription, Webhook
from tms_webhooks.sources.base import Source
from tms_webhooks.sources.registry import all_sources
from tms_webhooks.validators import parse_headers

NAMED = ("course", "class", "organization")
"""What filters name by ids."""


def missing(filters: Mapping[str, Any]) -> Iterator[str]:
    """Yield a sentence for each kind of thing that filters name by ids of which the host has none."""
    for name in NAMED:
        wanted, target = filters.get(name), _target(name)
        if isinstance(wanted, list) and target is not None:
            lost = [str(key) for key in wanted if not _is_there(*target, key)]
            if lost:
                yield f"filters.{name}: there is none with the id {', '.join(lost)} here; is this document another environment's?"


def _target(name: str) -> tuple[type[models.Model], str] | None:
    """Return the host's model of what filters call ``name``, and its field that payloads have as the id, if a source tells."""
    for source in all_sources():
        field_name = "id" if source.noun.name == name else f"{name}.id"
        found = _end(source, field_name)
        if found is not None:
            return found
    return None


def _end(source: Source, field_name: str) -> tuple[type[models.Model], str] | None:
    mapped = source.mapped.get(field_name)
    if mapped is None or not isinstance(mapped.lookup, str):
        return None
    model: Any = source.model
    found: tuple[type[models.Model], str] | None = None
    for part in mapped.lookup.split("__"):
        field: Any = model._meta.pk if part == "pk" else model._meta.get_field(part)
        if field.related_model is None:
            return model, field.name
        found, model = (field.related_model, field.target_field.name), field.related_model
    return found


def _is_there(model: type[models.Model], name: str, key: Any) -> bool:
    try:
        return model._base_manager.filter(**{name: key}).exists()
    except (ValidationError, ValueError, TypeError, OverflowError):
        return False


VERSION = 1

# Each has a form of its own in the document.
SPECIAL = frozenset({"organization", "headers", "enabled"})
EVENT = "event"
EVENT_FIELD = "event_type"

Fields = Mapping[str, "models.Field[Any, Any]"]


@cache
def webhook_fields() -> Fields:
    """Return the fields of a webhook that people may edit, but for those that are written in a form of their own."""
    return {name: field for name, field in _editable(Webhook).items() if name not in SPECIAL}


@cache
def subscription_fields() -> Fields:
    """Return the fields of a subscription by their keys in the document."""
    fields = _editable(Subscription)
    del fields["webhook"]
    return {EVENT if name == EVENT_FIELD else name: field for name, field in fields.items()}


def _editable(model: type[models.Model]) -> dict[str, models.Field[Any, Any]]:
    own = (field for field in model._meta.concrete_fields if field.editable and not field.primary_key)
    return {field.name: field for field in own}


@cache
def organization_key() -> str:
    """Return the attribute of an organization that names it in the document: its external id, where it has one."""
    model: Any = Webhook._meta.get_field("organization").related_model
    try:
        model._meta.get_field("external_id")
    except FieldDoesNotExist:
        return "pk"
    return "external_id"


def variable_name(*parts: str) -> str:
    """Return a name for an environment variable that is made of these parts."""
    name = "_".join(re.sub(r"[^A-Za-z0-9]+", "_", part).strip("_").upper() for part in parts)
    return f"WEBHOOK_{name}"


KEYS = frozenset({"organization", "enabled", "secret", "headers", "subscriptions"})


class DocumentError(WebhooksError, ValueError):
    """A document that can't be put into force. ``problems`` are sentences that begin with their place in it."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True, repr=False)
class WebhookSpec:
    """One webhook as a document wants it. ``secret`` and ``headers`` are None where they are to be kept as they are."""

    place: str
    organization: Any
    organization_name: str
    name: str
    values: Mapping[str, Any]
    enabled: bool | None = None
    secret: str | None = None
    headers: str | None = ""
    subscriptions: Sequence[Mapping[str, Any]] = field(default_factory=tuple)

    @property
    def label(self) -> str:
        """What it is called in a report."""
        return f"{self.organization_name} / {self.name}"


class _Loader(yaml.SafeLoader):
    """Refuses a key that stands twice, of which YAML would keep the last."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 (its signature)
        keys = [self.construct_object(key, deep=True) for key, _value in node.value]
        for number, key in enumerate(keys):
            if key in keys[:number]:
                raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} stands twice", node.start_mark)
        return super().construct_mapping(node, deep=deep)


class DocumentReader:
    """Reads one document. ``environ`` holds the secrets that it names; ``keep_secrets`` says that none is looked for."""

    def __init__(self, environ: Mapping[str, str], *, keep_secrets: bool) -> None:
        self._environ = environ
        self._keep = keep_secrets
        self._problems: list[str] = []

    def read(self, text: str) -> Sequence[WebhookSpec]:
        """Return the webhooks that a document wants; raise `DocumentError` with all that is wrong with it."""
        rows = list(self._webhooks(_parse(text)))
        seen: dict[tuple[Any, str], str] = {}
        for row in rows:
            first = seen.setdefault((row.organization, row.name), row.place)
            if first != row.place:
                self._problems.append(f"{row.place}: {row.label} is there already, as {first}.")
        if self._problems:
            raise DocumentError(self._problems)
        return rows

    def _webhooks(self, document: Any) -> Iterator[WebhookSpec]:
        if not isinstance(document, dict):
            raise DocumentError(["The document is no mapping; begin it with version: 1 and webhooks:."])
        version = document.get("version")
        if version != VERSION:
            raise DocumentError([f"version: {version!r} can't be read; this release reads version {VERSION}."])
        self._refuse_unknown("", document, {"version", "webhooks"})
        rows = document.get("webhooks")
        if not isinstance(rows, list):
            raise DocumentError(["webhooks: write a list, of one webhook an entry."])
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
            self._problems.append(f"{place}.name: give the webhook a name; it is found by it.")
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
            subscriptions=list(self._subscriptions(f"{place}.subscriptions", row.get("subscriptions") or [])),
        )

    def _organization(self, place: str, value: Any) -> Any:
        model: Any = Webhook._meta.get_field("organization").related_model
        key = organization_key()
        try:
            if isinstance(value, int | str) and not isinstance(value, bool):
                return model._base_manager.get(**{key: value})
            self._problems.append(f"{place}: name the organization by its {_in_words(key)}.")
        except (model.DoesNotExist, ValidationError, ValueError, OverflowError):
            self._problems.append(
                f"{place}: there is no organization with the {_in_words(key)} {value!r} here; is this document another "
                "environment's?"
            )
        except model.MultipleObjectsReturned:
            self._problems.append(f"{place}: several organizations have the {_in_words(key)} {value!r}.")
        return None

    def _secret(self, place: str, value: Any) -> str | None:
        found = None if value is None or self._keep else self._named(place, value)
        if found:
            try:
                secret_key(found)
            except ValueError as error:
                self._problems.append(f"{place}: {value['env']} holds no secret. {error}")
        return found

    def _headers(self, place: str, value: Any) -> str | None:
        if not isinstance(value, dict):
            self._problems.append(f"{place}: write a mapping from names to {{env: VARIABLE}}.")
            return None
        if self._keep:
            return None
        found = {str(name): self._named(f"{place}.{name}", one) for name, one in value.items()}
        lines = "\n".join(f"{name}={one}" for name, one in found.items() if one is not None)
        try:
            parse_headers(lines, custom_body=True)
        except ValidationError as error:
            self._problems += [f"{place}: {message}" for message in error.messages]
        return lines

    def _named(self, place: str, value: Any) -> str | None:
        """Return what the environment variable holds that is named here."""
        name = value.get("env") if isinstance(value, dict) and set(value) == {"env"} else None
        if not isinstance(name, str) or not name:
            # Not quoted: it may be the secret itself.
            self._problems.append(f"{place}: write {{env: VARIABLE}}; what is secret has no place in a document.")
        elif not self._environ.get(name):
            self._problems.append(
                f"{place}: the environment variable {name} is not set; set it, or use --keep-secrets."
            )
        else:
            return self._environ[name]
        return None

    def _subscriptions(self, place: str, rows: Any) -> Iterator[Mapping[str, Any]]:
        if not isinstance(rows, list):
            self._problems.append(f"{place}: write a list, of one event an entry.")
            return
        for number, row in enumerate(rows):
            here = f"{place}[{number}]"
            if not isinstance(row, dict) or not isinstance(row.get(EVENT), str):
                self._problems.append(f"{here}: write a mapping with event, such as {{event: class.*}}.")
            elif self._refuse_unknown(here, row, subscription_fields().keys()):
                yield {key: row.get(key, one.get_default()) for key, one in subscription_fields().items()}

    def _refuse_unknown(self, place: str, row: Mapping[Any, Any], known: Any) -> bool:
        unknown = [key for key in row if key not in known]
        for key in unknown:
            where = f"{place}.{key}" if place else str(key)
            if key in {"id", "pk"}:
                remedy = " An id means something in one environment only; remove it."
            else:
                remedy = did_you_mean(_close(str(key), known))
            self._problems.append(f"{where}: there is no such key.{remedy}")
        return not unknown


def _parse(text: str) -> Any:
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 (a SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        # Not the error's own text, which quotes the line.
        problem = getattr(error, "problem", None) or "it can't be read"
        raise DocumentError([f"The document is no YAML{where}: {problem}."]) from None


def _close(key: str, known: Any) -> list[str]:
    return difflib.get_close_matches(key, sorted(known), n=2, cutoff=0.5)


def _in_words(key: str) -> str:
    return "external id" if key == "external_id" else "key"
