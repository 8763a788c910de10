"""Write guessed declarations as the text of a ``webhooks.py``, formatted as ``ruff format`` leaves it."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from tms_webhooks.computed import Expression
from tms_webhooks.scaffold.declaration import SOURCES, Declaration, Guesses
from tms_webhooks.sources.base import Source

WIDTH = 88
"""The line length of `ruff format` and of Black by default; comments are broken there."""
INDENT = "    "

HEADING = '''\
"""Sources of webhook events: which models emit events, and where their fields are.

manage.py webhooks_scaffold guessed this file from names. Correct and complete it:
manage.py check reports mistakes and missing fields, with a remedy.
"""
'''


def render(guesses: Guesses) -> str:
    """Return the text of the module."""
    models_of = [one.model for one in guesses.declarations]
    imports = {f"from {one.__module__} import {one.__name__}" for one in models_of}
    blocks = ["\n".join([HEADING, "from tms_webhooks import sources", "", *sorted(imports)])]
    for one in guesses.declarations:
        is_only = models_of.count(one.model) == 1
        name = f"{one.model.__name__}{'Source' if is_only else SOURCES[one.noun].__name__}"
        blocks.append("\n".join(_class(name, one, guesses.source(one))))
    if guesses.rejected:
        labels = [model._meta.label for model in guesses.rejected]
        text = (
            f"Without a source, because their names say no noun: {', '.join(labels)}. If one of them is an "
            f"object, name its noun, as in webhooks_scaffold {labels[0]}:class."
        )
        blocks.append("\n".join(_comment(text, indent="")))
    return "\n\n\n".join(blocks) + "\n"


def literal(value: Any) -> str:
    """Return a value as Python source with double quotes, unless it contains them."""
    if callable(value):
        return str(value.__name__)
    if isinstance(value, Expression):
        inner = ", ".join(map(literal, value.paths or [getattr(value, "constant", None)]))
        return f"sources.{type(value).__name__}({inner})"
    text = repr(value)
    return f'"{text[1:-1]}"' if text.startswith("'") and '"' not in text else text


def dictionary(values: Mapping[str, Any]) -> str:
    """Return a dictionary as Python source on one line, like ``{"user": sources.Not(None)}``."""
    return f"{{{', '.join(f'{literal(key)}: {literal(value)}' for key, value in values.items())}}}"


def _class(name: str, one: Declaration, source: Source) -> Iterator[str]:
    yield f"@sources.register({one.model.__name__})"
    yield f"class {name}(sources.{SOURCES[one.noun].__name__}):"
    attributes = {**one.attributes, "fields": one.fields, "statuses": one.statuses}
    written = {attribute: value for attribute, value in attributes.items() if value}
    for attribute, value in written.items():
        yield from _assignment(f"{INDENT}{attribute} = ", value)
    if not written:
        yield f"{INDENT}pass"
    # The rows of a source without a snapshot are no objects of the noun: other columns belong to another source.
    have = source.available
    lacking = [name.name for name in source.noun.fields if name.name not in have and source.path_of(name.name)]
    references = {name: name.partition(".")[0] for name in lacking if "organization." not in name}
    null = dict.fromkeys(name if f"{first}.id" in have else first for name, first in references.items())
    if null and source.snapshot:
        yield from _comment(f"Null, because no name fits: {', '.join(null)}.")


def _assignment(beginning: str, value: Any, end: str = "") -> Iterator[str]:
    """Yield an assignment or an entry of a dictionary; a comment for a status whose meaning is unknown."""
    indent = beginning[: len(beginning) - len(beginning.lstrip())]
    if isinstance(value, Mapping):
        yield f"{beginning}{{"
        for key, entry in value.items():
            yield from _assignment(f"{indent}{INDENT}{literal(key)}: ", entry, ",")
        yield f"{indent}}}{end}"
    else:
        yield f"{beginning}{literal(value)}{end}" if value else f"{indent}# {beginning.strip()} ?"


def _comment(text: str, *, indent: str = INDENT) -> list[str]:
    """Return a text as lines of comment."""
    mark = f"{indent}# "
    return textwrap.wrap(
        text, WIDTH, initial_indent=mark, subsequent_indent=mark, break_long_words=False, break_on_hyphens=False
    )
