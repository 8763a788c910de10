"""The registered event names, and the patterns with which subscriptions select them.

The catalogue fills this list. Settings and queries need nothing else of the catalogue.

A pattern is what a subscription stores: an exact name, ``noun.*`` for all names that begin with ``noun.``, or ``*``.
``*`` means all training events; a subscription to the app's own webhook events needs their names or ``webhook.*``.
"""

from __future__ import annotations

import difflib
import re

EVENT_NAME = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)+")
EVERYTHING = "*"
OPERATIONAL = "webhook."
"""The prefix of the events about the app's own webhooks."""
TEST = "webhook.test"
"""The event of a test send; only the tested webhook receives it."""
MERGED = (".updated", ".progressed")
"""The ends of the names whose events a quiet period merges. Events of a status are never merged."""

# A dictionary, because it keeps the order of registration.
_known: dict[str, None] = {}


def add(name: str) -> None:
    """Register a name."""
    _known[name] = None


def discard(name: str) -> None:
    """Remove a name."""
    _known.pop(name, None)


def is_known(name: str) -> bool:
    """Return True if exactly this name is registered."""
    return name in _known


def matching(pattern: str) -> list[str]:
    """Return the registered names that match a pattern; an empty list for an unknown or malformed pattern."""
    if pattern == EVERYTHING:
        return [name for name in _known if not is_operational(name)]
    if pattern.endswith(".*"):
        beginning = pattern.removesuffix("*")
        return [name for name in _known if name.startswith(beginning)]
    return [pattern] if pattern in _known else []


def is_operational(name: str) -> bool:
    """Return True if an event is about a webhook of this app, not about training."""
    return name.startswith(OPERATIONAL)


def may_be_merged(name: str) -> bool:
    """Return True if a quiet period merges events of this name."""
    return name.endswith(MERGED)


def patterns_for(name: str) -> list[str]:
    """Return the patterns that match this name, registered or not, the narrowest first.

    >>> patterns_for("class.cancelled")
    ['class.cancelled', 'class.*', '*']
    """
    segments = name.split(".")
    prefixes = (".".join(segments[:length]) for length in range(len(segments) - 1, 0, -1))
    narrow = [name, *(f"{prefix}.*" for prefix in prefixes)]
    return narrow if is_operational(name) else [*narrow, EVERYTHING]


def is_pattern_known(pattern: str) -> bool:
    """Return True if a pattern matches a registered name."""
    return bool(matching(pattern))


def nearest(name: str) -> list[str]:
    """Return up to three registered names that are similar to this one, the closest first."""
    return difflib.get_close_matches(name, _known)


def nearest_patterns(pattern: str) -> list[str]:
    """Return up to three registered names and patterns that are similar to this one, the closest first."""
    return difflib.get_close_matches(pattern, [*_known, *_patterns()])


def did_you_mean(candidates: list[str]) -> str:
    """Return " Did you mean …?" with a leading space, or "" without candidates."""
    quoted = [f'"{candidate}"' for candidate in candidates]
    return f" Did you mean {' or '.join(quoted)}?" if quoted else ""


def _patterns() -> list[str]:
    prefixes = (name.rpartition(".")[0] for name in _known)
    return [f"{prefix}.*" for prefix in dict.fromkeys(prefixes)]
