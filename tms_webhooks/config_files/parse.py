"""Parse a YAML document within limits, so that no document takes long, and none is read in another way than it looks."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import yaml

from tms_webhooks.exceptions import WebhooksError

LONGEST_DOCUMENT = 1_000_000
"""Characters of a document."""
MOST_VALUES = 50_000
"""Values of a document, with the keys of its mappings."""
DEEPEST = 20
"""Nested lists and mappings of a document."""
TOO_DEEP = f"values are nested more than {DEEPEST} deep"
LONGEST_NUMBER = 20
"""Characters of a whole number."""


class DocumentError(WebhooksError, ValueError):
    """A document that can't be imported or written. ``problems`` are sentences that begin with their place in it."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def parse(text: str) -> Any:
    """Return the document in a text; raise `DocumentError` if it is not YAML, or over a limit."""
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
        self._values += 1
        self._depth += 1
        problem = ""
        if self._values > MOST_VALUES:
            problem = f"there are more than {MOST_VALUES:,} values; divide the document"
        elif isinstance(event, yaml.AliasEvent):
            problem = "aliases (*name) are not supported; write the value out"
        elif self._depth > DEEPEST:
            problem = TOO_DEEP
        if problem:
            raise yaml.composer.ComposerError(None, None, problem, event.start_mark)
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

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
