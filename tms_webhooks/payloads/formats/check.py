"""Check a webhook's URL, content type and content when it is saved, so that rendering can't fail later."""

from __future__ import annotations

import difflib
import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate, chain, islice
from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from tms_webhooks import event_names
from tms_webhooks.catalogue import registry
from tms_webhooks.catalogue.custom import cached
from tms_webhooks.catalogue.event_type import EventType
from tms_webhooks.catalogue.schema import FieldKind
from tms_webhooks.choices import PayloadFormat
from tms_webhooks.exceptions import PayloadError
from tms_webhooks.payloads.formats import custom, tailored, template
from tms_webhooks.payloads.formats.shape import LONGEST_CONTENT_TYPE, RequestFormat, is_included
from tms_webhooks.payloads.formats.skillable import name_of
from tms_webhooks.payloads.formats.template import RULES, Token, TokenPosition
from tms_webhooks.validators import invalid_value

# Tokens that exist for every event type.
COMMON_TOKENS = (
    "id",
    "type",
    "timestamp",
    "version",
    "sequence",
    "correlation_id",
    "digest",
    "data",
    "details",
    "changed",
    "previous",
    "truncated",
    "test",
    "organization",
    "organization.id",
    "organization.external_id",
    "actor",
    "actor.kind",
    "actor.id",
    "EventId",
    "EventType",
    "EventTimestamp",
    "EventTest",
    "CorrelationId",
    "Digest",
    "Sequence",
    "Changed",
    "Previous",
)

_CHARSET = re.compile(r'charset\s*=\s*"?([^";\s]*)', re.IGNORECASE)

MOST_PROBLEMS = 10
"""Problems that are reported together. The search for similar names takes long, and content can have 100,000 tokens."""


def check(shape: RequestFormat, event_types: Sequence[EventType]) -> None:
    """Raise `ValidationError`, with errors by field of the webhook, if it can't render events of these types.

    It has the first `MOST_PROBLEMS` problems of all fields together.
    """
    problems = {
        "url": _of_url(shape, event_types),
        "headers": _of_content_type(shape),
        "content": _of_content(shape, event_types),
        "contents": _of_contents(shape, event_types),
    }
    errors = defaultdict(list)
    found = ((name, problem) for name, of_field in problems.items() for problem in of_field)
    for name, problem in islice(found, MOST_PROBLEMS):
        errors[name].append(problem)
    if errors:
        raise ValidationError(errors)


def names_in(shape: RequestFormat, event_types: Iterable[EventType]) -> Mapping[str, bool]:
    """Return all tokens of these event types, and whether the webhook's detail includes their values."""
    names = dict.fromkeys(COMMON_TOKENS, True)
    for event_type in event_types:
        for name, included in _names_at(event_type, shape.detail).items():
            names[name] = names.get(name, False) or included
    return names


@cached
def _names_at(event_type: EventType, detail: str) -> Mapping[str, bool]:
    """Return the tokens of the fields of an event type, and whether the detail includes their values."""
    names: dict[str, bool] = {}
    for field in event_type.all_fields:
        inner = [f"{field.name}.code", f"{field.name}.name"] if field.kind is FieldKind.STATUS else []
        paths = [*accumulate(field.name.split("."), "{}.{}".format), *inner]
        of_field = [f"{part}.{path}" for part in (event_type.root_of(field), "previous") for path in paths]
        for name in [name_of(field, event_type.noun.name), *of_field]:
            names[name] = names.get(name, False) or is_included(field, detail)
    return names


def _of_url(shape: RequestFormat, event_types: Sequence[EventType]) -> Iterator[ValidationError]:
    parts = template.parse(shape.url, TokenPosition.URL)
    yield from _unknown(parts, shape, event_types)
    formats = list(_of_formats(parts, TokenPosition.URL))
    yield from formats
    if not formats and any("{" in part or "}" in part for part in parts if isinstance(part, str)):
        yield invalid_value(
            _("URL: a brace is not part of a token. Write a token as {data.id}, and a literal brace as %7B or %7D."),
            code="brace",
        )


def _of_content_type(shape: RequestFormat) -> Iterator[ValidationError]:
    if len(shape.content_type) > LONGEST_CONTENT_TYPE:
        yield invalid_value(
            _("The content type has more than %(limit)d characters."), code="long", limit=LONGEST_CONTENT_TYPE
        )
    charset = _CHARSET.search(shape.content_type)
    if charset and charset[1].lower() not in ("utf-8", "utf8"):
        yield invalid_value(
            _("The content type must not name a charset other than utf-8: all requests are sent in UTF-8."),
            code="charset",
        )


def _of_contents(shape: RequestFormat, event_types: Sequence[EventType]) -> Iterator[ValidationError]:
    """Yield the problems of the contents of some events, each with the event type or pattern that it is for."""
    for pattern, content in shape.contents.items():
        chosen = [one for one in event_types if pattern in event_names.patterns_for(one.name)]
        alone = replace(shape, content=content, contents={})
        for problem in _of_content(alone, chosen or registry.expand(pattern)):
            message = _("%(pattern)s: %(problem)s")
            yield invalid_value(message, code=problem.code, pattern=pattern, problem=problem.messages[0])


def _of_content(shape: RequestFormat, event_types: Sequence[EventType]) -> Iterator[ValidationError]:
    if shape.format != PayloadFormat.CUSTOM:
        return
    position = template.position_in(shape.content, shape.content_type)
    parts = template.parse(shape.content, position)
    try:
        template.refuse_costly(parts)
    except PayloadError as error:
        yield invalid_value(_("Content: %(problem)s"), code="too_many_tokens", problem=str(error))
        return
    yield from _unknown(parts, shape, event_types)
    formats = list(islice(_of_formats(parts, position), MOST_PROBLEMS))
    yield from formats
    if formats or not shape.content:
        return
    samples: Iterator[Callable[[str], Any]] = chain(
        (custom.values_of(tailored(shape, event_type.example())) for event_type in event_types), [lambda _name: None]
    )
    for value_of in samples:
        try:
            text = template.fill(parts, value_of)
            if position is TokenPosition.JSON_VALUE:
                json.loads(text)
        except template.TextTooLong as error:
            message = _("Content for %(name)s: %(problem)s")
            yield invalid_value(message, code="too_long", problem=str(error), name=value_of("type"))
            return
        except json.JSONDecodeError as error:
            message = _(
                "Content: with its tokens replaced it is not valid JSON (line %(line)d, column %(column)d: %(reason)s). "
                "Correct it, or add a header with another content type, such as Content-Type=text/plain."
            )
            yield invalid_value(message, code="not_json", line=error.lineno, column=error.colno, reason=error.msg)
            return


def _of_formats(parts: Sequence[str | Token], position: TokenPosition) -> Iterator[ValidationError]:
    for beginning in dict.fromkeys(template.incomplete(parts, position)):
        yield invalid_value(
            _(
                'The token %(token)s… is not complete. Write it as {data.id}, {data.name|truncate:100} or {timestamp|date:"%%d %%b %%Y"}.'
            ),
            code="incomplete_token",
            token=beginning,
        )
    tokens = [part for part in parts if isinstance(part, Token)]
    for name, one in dict.fromkeys((token.name, one) for token in tokens for one in token.formats):
        if one.name not in RULES:
            nearest = difflib.get_close_matches(one.name, RULES, n=1) or list(RULES)
            message = _("{%(token)s}: %(name)s is not a format of a token. Did you mean %(nearest)s?")
            yield invalid_value(message, code="unknown_format", token=name, name=one.name, nearest=", ".join(nearest))
        elif problem := RULES[one.name].problem(one.argument):
            message = _("{%(token)s|%(name)s}: %(problem)s")
            yield invalid_value(message, code="format", token=name, name=one.name, problem=problem)


def format_problem(shape: RequestFormat, event_type: EventType) -> ValidationError | None:
    """Return why the tokens of URL and content for an event type can't be filled in: an invalid format, or None."""
    return next(_of_formats(custom.tokens_of(shape, event_type.name), TokenPosition.TEXT), None)


def empty_tokens(shape: RequestFormat, event_types: Iterable[EventType]) -> Mapping[str, Sequence[str]]:
    """Return the tokens of content and URL that some of these event types have no value for, with these types.

    A token with the format ``default`` is not among them.
    """
    found = defaultdict(list)
    for event_type in event_types:
        for name in custom.names_without_default(shape, event_type.name):
            if name not in COMMON_TOKENS and not _names_at(event_type, shape.detail).get(name, False):
                found[name].append(event_type.name)
    return found


def _unknown(
    parts: Iterable[str | Token], shape: RequestFormat, event_types: Iterable[EventType]
) -> Iterator[ValidationError]:
    names = names_in(shape, event_types)
    included = [name for name, is_token_included in names.items() if is_token_included]
    for name in dict.fromkeys(part.name for part in parts if isinstance(part, Token)):
        if name not in names:
            nearest = difflib.get_close_matches(name, included, cutoff=0.4) or ["data.id", "Id"]
            yield invalid_value(
                _("{%(name)s} is not a field of this webhook's events. Did you mean %(nearest)s?"),
                code="unknown_token",
                name=name,
                nearest=", ".join(f"{{{one}}}" for one in nearest),
            )
        elif not names[name]:
            yield invalid_value(
                _("{%(name)s} is not included in this webhook's payload. Remove it, or choose another payload."),
                code="excluded_token",
                name=name,
            )
