"""Checks of the mapping: the names on its left, the paths on its right, and what is missing."""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from django.core.checks import CheckMessage

from tms_webhooks import catalogue, event_names
from tms_webhooks.checks.messages import message
from tms_webhooks.checks.paths import Obstacle, Trouble, obstacle
from tms_webhooks.sources.base import Source
from tms_webhooks.sources.related_keys import RelatedKeys

OWN_PACKAGE = "tms_webhooks.sources"


def check(source: Source) -> Iterator[CheckMessage]:
    """Yield what is wrong with the fields of one source."""
    yield from _check_names(source)
    obstacles = dict(_obstacles(source))
    for name, found in obstacles.items():
        yield _refuse_path(source, name, found)
    for name, who in _required(source).items():
        # One message for one mistake: the path has been refused already.
        if not obstacles.keys() & {name, reference_of(name)}:
            yield _missing(source, name, who)


def written_fields(source: Source) -> dict[str, str]:
    """Return the mapping as the host wrote it, without what the app's own classes say."""
    written: dict[str, str] = {}
    for base in reversed(type(source).__mro__):
        if not base.__module__.startswith(OWN_PACKAGE):
            written.update(vars(base).get("fields") or {})
    return written


def available(source: Source) -> set[str]:
    """Return the canonical names that payloads of this source have a value for."""
    return {*source.mapped, *source.supplies()}


def refused(source: Source) -> set[str]:
    """Return the canonical names and references whose path is wrong; what follows from that needs no second message."""
    return {name for name, _found in _obstacles(source)}


def told(source: Source) -> list[tuple[str, tuple[str, ...]]]:
    """Return the events that a source declares, each with the canonical fields without which it never happens."""
    pairs = [(name, rule.needs(name)) for rule in source.rules for name in rule.event_types]
    if source.deadline is not None:
        waits = (source.deadline.field,)
        pairs += [(name, waits) for name in (source.deadline.expiring, source.deadline.expired) if name]
    return pairs


def _check_names(source: Source) -> Iterator[CheckMessage]:
    fields, references = _names(source)
    for name, path in written_fields(source).items():
        if name == "organization":
            remedy = f'Write organization = "{path}" in the class itself; `fields` does not change it.'
        elif name in fields or name in references:
            continue
        else:
            nearest = event_names.did_you_mean(difflib.get_close_matches(name, [*fields, *references]))
            remedy = f"Write one of {', '.join([*fields, *references])}.{nearest}"
        yield message(
            "E031", f"fields[{name!r}] is no field of the noun {source.noun.name!r}.", hint=remedy, obj=source
        )


def _names(source: Source) -> tuple[list[str], list[str]]:
    """Return what `fields` may name: the noun's fields, and its references."""
    fields = [field.name for field in source.all_fields]
    return fields, list(dict.fromkeys(reference_of(name) for name in fields if "." in name))


def _obstacles(source: Source) -> Iterator[tuple[str, Obstacle]]:
    fields, references = _names(source)
    for name, path in written_fields(source).items():
        if path and name in (*fields, *references) and name != "organization":
            # Behind a reference there must be an object, so that its key can be read.
            found = obstacle(source.model, path if name in fields else f"{path}.pk")
            many = name in source.mapped and isinstance(source.mapped[name].lookup, RelatedKeys)
            if found is not None and not many:
                yield name, found


def _refuse_path(source: Source, name: str, found: Obstacle) -> CheckMessage:
    text = f"fields[{name!r}] is {source.paths[name]!r}, and {found}."
    if found.trouble is Trouble.MANY:
        return message(
            "E033",
            text,
            hint=f'Name a property of {found.model.__name__} that picks one of them, or "" to leave the field out.',
            obj=source,
        )
    return message(
        "E032",
        text,
        hint=f'Correct the path, which begins at {source.model._meta.label}, or write "" to leave the field out.'
        + found.suggestion,
        obj=source,
    )


def _required(source: Source) -> dict[str, str]:
    """Return the names that are missing, each with who needs it."""
    have = available(source)
    needed = {field.name: f"the noun {source.noun.name!r}" for field in source.all_fields if field.required}
    for event_type, waits in told(source):
        # What never happens needs nothing, and what nobody knows has no needs.
        if event_names.is_known(event_type) and have.issuperset(waits):
            for name in catalogue.get(event_type).needs:
                needed.setdefault(name, event_type)
    return {name: who for name, who in needed.items() if name not in have and name != "organization.id"}


def _missing(source: Source, name: str, who: str) -> CheckMessage:
    key = reference_of(name) if "." in name else name
    path = source.path_of(name)
    looked = f"{path!r} leads nowhere from {source.model._meta.label}" if path else "it is left out"
    return message(
        "E034",
        f"{name!r} is needed by {who}, and {looked}.",
        hint=f'Name the attribute: fields = {{"{key}": "…"}}. Where `derived` makes the value, name it in `supplies`.',
        obj=source,
    )


def reference_of(name: str) -> str:
    """Return the reference that a dotted canonical name belongs to: "user" of "user.email"."""
    return name.partition(".")[0]
