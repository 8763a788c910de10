"""Whether a webhook's content and URL can be filled in: asked when they are saved, so that no delivery has to fail."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from tms_webhooks.catalogue.event_type import EventType
from tms_webhooks.catalogue.schema import Field, FieldKind
from tms_webhooks.catalogue.versions import example_at, fields_at, missing_step
from tms_webhooks.choices import PayloadFormat
from tms_webhooks.payloads.formats import custom, tailored, template
from tms_webhooks.payloads.formats.detail import is_included
from tms_webhooks.payloads.formats.shape import LONGEST_CONTENT_TYPE, RequestFormat
from tms_webhooks.payloads.formats.skillable import api_name
from tms_webhooks.payloads.formats.template import TokenPosition

OF_THE_EVENT = (
    *("id", "type", "timestamp", "version", "sequence", "data", "changed", "previous", "truncated"),
    *("organization", "organization.id", "organization.external_id", "actor", "actor.kind", "actor.id"),
    *("EventId", "EventType", "EventTimestamp"),
)


def check(shape: RequestFormat, event_types: Sequence[EventType]) -> None:
    """Raise `ValidationError` with what is wrong for each field of a webhook that is to be told of these event types."""
    problems = {
        "payload_version": list(_of_version(shape, event_types)),
        "url": list(_of_url(shape, event_types)),
        "headers": list(_of_content_type(shape)),
        "content": list(_of_content(shape, event_types)),
    }
    found = {name: errors for name, errors in problems.items() if errors}
    if found:
        raise ValidationError(found)


def names_in(shape: RequestFormat, event_types: Iterable[EventType]) -> Mapping[str, bool]:
    """Return the names of all tokens that mean something in any of these event types, and whether the webhook is told it."""
    names = dict.fromkeys(OF_THE_EVENT, True)
    for event_type in event_types:
        version = event_type.version if shape.version is None else min(shape.version, event_type.version)
        for field in fields_at(event_type, version):
            kept = is_included(field, shape.detail)
            for name in _names_of(field, event_type.noun.name):
                names[name] = names.get(name, False) or kept
    return names


def _names_of(field: Field, noun: str) -> Iterator[str]:
    yield api_name(noun, field.name, field.kind)
    segments = field.name.split(".")
    inner = [f"{field.name}.code", f"{field.name}.name"] if field.kind is FieldKind.STATUS else []
    paths = [*(".".join(segments[:depth]) for depth in range(1, len(segments) + 1)), *inner]
    for part in ("data", "previous"):
        yield from (f"{part}.{path}" for path in paths)


def _of_version(shape: RequestFormat, event_types: Iterable[EventType]) -> Iterator[ValidationError]:
    for event_type in event_types:
        step = None if shape.version is None else missing_step(event_type, shape.version)
        if step is not None:
            yield _problem(
                _("%(name)s can't be sent in version %(version)d; choose %(oldest)d or a newer one."),
                code="payload_version",
                name=event_type.name,
                version=shape.version,
                oldest=step + 1,
            )


def _of_url(shape: RequestFormat, event_types: Sequence[EventType]) -> Iterator[ValidationError]:
    parts = template.parse(shape.url, TokenPosition.URL)
    yield from _unknown(template.tokens(parts), shape, event_types)
    if any("{" in part or "}" in part for part in parts if isinstance(part, str)):
        yield _problem(
            _("URL: a brace belongs to no token. Write a token as {data.id}, and a brace itself as %7B or %7D."),
            code="brace",
        )


def _of_content_type(shape: RequestFormat) -> Iterator[ValidationError]:
    if len(shape.content_type) > LONGEST_CONTENT_TYPE:
        yield _problem(
            _("The content type has more than %(limit)d characters."), code="long", limit=LONGEST_CONTENT_TYPE
        )
    charset = shape.content_type.lower().replace(" ", "").partition("charset=")[2].strip('"').partition(";")[0]
    if charset.strip('"') not in ("", "utf-8", "utf8"):
        yield _problem(
            _("The content type names another charset than utf-8, in which everything is sent."), code="charset"
        )


def _of_content(shape: RequestFormat, event_types: Sequence[EventType]) -> Iterator[ValidationError]:
    if shape.format != PayloadFormat.CUSTOM:
        return
    place = template.position_in(shape.content, shape.content_type)
    parts = template.parse(shape.content, place)
    yield from _unknown(template.tokens(parts), shape, event_types)
    if place is not TokenPosition.JSON_VALUE or not shape.content:
        return
    for sample in _samples(shape, event_types):
        try:
            json.loads(template.fill(parts, sample))
        except json.JSONDecodeError as error:
            yield _problem(
                _(
                    "Content: filled in, it is no JSON (line %(line)d, column %(column)d: %(reason)s). Correct it, or name "
                    "another content type among the headers, such as Content-Type=text/plain."
                ),
                code="not_json",
                line=error.lineno,
                column=error.colno,
                reason=error.msg,
            )
            return


def _samples(shape: RequestFormat, event_types: Iterable[EventType]) -> Iterator[Any]:
    """Yield functions from the name of a token to a value: those of the sample events, and one that knows no value."""
    for event_type in event_types:
        if shape.version is None or missing_step(event_type, shape.version) is None:
            yield custom.values_of(tailored(shape, example_at(event_type, shape.version)))
    yield lambda _name: None


def _unknown(
    tokens: Iterable[str], shape: RequestFormat, event_types: Iterable[EventType]
) -> Iterator[ValidationError]:
    names = names_in(shape, event_types)
    meant = [name for name, is_kept in names.items() if is_kept]
    for name in tokens:
        if name not in names:
            nearest = difflib.get_close_matches(name, meant, cutoff=0.4) or ["data.id", "Id"]
            yield _problem(
                _("{%(name)s} is no field of the events that this webhook gets. Did you mean %(nearest)s?"),
                code="unknown_token",
                name=name,
                nearest=", ".join(f"{{{one}}}" for one in nearest),
            )
        elif not names[name]:
            yield _problem(
                _("{%(name)s} is not told to this webhook, by its payload. Remove it, or choose another payload."),
                code="untold_token",
                name=name,
            )


def _problem(message: Any, *, code: str, **params: object) -> ValidationError:
    return ValidationError(message, code=code, params=params)
