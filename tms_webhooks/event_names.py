"""The names of the events there are, and the patterns by which a subscription asks for them.

The catalogue fills this list. It is all that settings and queries need to know of the catalogue.

A pattern is what a subscription stores: an exact name, ``noun.*`` for all names that begin with ``noun.``, or ``*``.
``*`` is everything that happens in training; what the app tells of its own webhooks has to be asked for by name or as
``webhook.*``.
"""

from __future__ import annotations

import difflib
import re

EVENT_NAME = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)+")
EVERYTHING = "*"
OPERATIONAL = "webhook."
TEST = "webhook.test"
"""What somebody sends to see whether a webhook works; it goes to that one alone."""

# A dictionary, because it keeps the order of registration.
_known: dict[str, None] = {}


def add(name: str) -> None:
    """Make a name known."""
    _known[name] = None


def discard(name: str) -> None:
    """Make a name unknown again."""
    _known.pop(name, None)


def is_known(name: str) -> bool:
    """Say whether there is an event of exactly this name."""
    return name in _known


def matching(pattern: str) -> list[str]:
    """Return the names that a pattern means today; none for a pattern that is unknown or ill-formed."""
    if pattern == EVERYTHING:
        return [name for name in _known if not is_operational(name)]
    if pattern.endswith(".*"):
        beginning = pattern.removesuffix("*")
        return [name for name in _known if name.startswith(beginning)]
    return [pattern] if pattern in _known else []


def is_operational(name: str) -> bool:
    """Say whether an event tells of a webhook of this app, not of training."""
    return name.startswith(OPERATIONAL)


def patterns_for(name: str) -> list[str]:
    """Return the patterns that mean an event of this name, known or not, the narrowest first.

    >>> patterns_for("class.cancelled")
    ['class.cancelled', 'class.*', '*']
    """
    segments = name.split(".")
    prefixes = (".".join(segments[:length]) for length in range(len(segments) - 1, 0, -1))
    narrow = [name, *(f"{prefix}.*" for prefix in prefixes)]
    return narrow if is_operational(name) else [*narrow, EVERYTHING]


def is_pattern_known(pattern: str) -> bool:
    """Say whether a pattern means any event today."""
    return bool(matching(pattern))


def nearest(name: str) -> list[str]:
    """Return up to three known names that look like this one, the best first."""
    return difflib.get_close_matches(name, _known)


def nearest_patterns(pattern: str) -> list[str]:
    """Return up to three names and patterns that look like this one, the best first."""
    return difflib.get_close_matches(pattern, [*_known, *_patterns()])


def did_you_mean(candidates: list[str]) -> str:
    """Return the question with a blank before it, or nothing where there are no candidates."""
    quoted = [f'"{candidate}"' for candidate in candidates]
    return f" Did you mean {' or '.join(quoted)}?" if quoted else ""


def _patterns() -> list[str]:
    prefixes = (name.rpartition(".")[0] for name in _known)
    return [f"{prefix}.*" for prefix in dict.fromkeys(prefixes)]
