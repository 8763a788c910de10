"""The registered event names, and the patterns with which subscriptions select them.

The catalogue fills this list. Settings and queries need nothing else of the catalogue.

A pattern is what a subscription stores: an exact name, ``noun.*`` for all names that begin with ``noun.``, or ``*``.
``*`` means all training events; a subscription to the app's own webhook events needs their names or ``webhook.*``.
Events that are made for one webhook, such as those of a snapshot, match no pattern but their own name.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

EVENT_NAME = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)+")
EVERYTHING = "*"
OPERATIONAL = "webhook."
"""The prefix of the events about the app's own webhooks."""
UPDATED = ".updated"
"""The end of the names of events that report changes without a more specific event."""
TEST = "webhook.test"
"""The event of a test send; only the tested webhook receives it."""
SNAPSHOT_COMPLETED = "webhook.snapshot_completed"
"""The last event of a snapshot; only the webhook that the snapshot is for receives it."""
MERGED = (UPDATED, ".progressed")
"""The ends of the names whose events a quiet period merges. Events of a status are never merged."""
REMOVED = ".removed"
"""The end of the names of events for those that see an object no longer."""
ADDED = ".added"
"""The end of the names of events for those that see an object from now on."""

# Each name, and whether a webhook can subscribe to it. A dictionary, because it keeps the order of registration.
_known: dict[str, bool] = {}


def add(name: str, *, offered: bool = True) -> None:
    """Register a name; ``offered`` says whether a webhook can subscribe to it."""
    # A name that is registered again moves to the end.
    _known.pop(name, None)
    _known[name] = offered


def snapshot_of(noun: str) -> str:
    """Return the name of the event with an object's current state, which a snapshot of the noun sends."""
    return f"{noun}.snapshot"


def moves_of(noun: str) -> tuple[str, str]:
    """Return the names of the events for those that see an object of the noun no longer, and from now on."""
    return f"{noun}{REMOVED}", f"{noun}{ADDED}"


def of_every_noun(noun: str) -> tuple[str, ...]:
    """Return the names of the events that each noun has."""
    return (*moves_of(noun), snapshot_of(noun))


def discard(name: str) -> None:
    """Remove a name."""
    _known.pop(name, None)


def is_known(name: str) -> bool:
    """Return True if exactly this name is registered."""
    return name in _known


def is_offered(name: str) -> bool:
    """Return True unless a registered name is of events that are made for one webhook, to which none subscribes."""
    return _known.get(name, True)


def matching(pattern: str) -> list[str]:
    """Return the registered names that match a pattern; an empty list for an unknown or malformed pattern."""
    if pattern == EVERYTHING:
        return [name for name, offered in _known.items() if offered and not is_operational(name)]
    if pattern.endswith(".*"):
        beginning = pattern.removesuffix("*")
        return [name for name, offered in _known.items() if offered and name.startswith(beginning)]
    return [pattern] if pattern in _known else []


def is_operational(name: str) -> bool:
    """Return True if an event is about a webhook of this app, not about training."""
    return name.startswith(OPERATIONAL)


def title_of(name: str, *, noun: str) -> str:
    """Return a name for people: "Created"; with its first part if that is not the noun: "Class feedback created"."""
    is_of_noun = not noun or name.startswith(f"{noun}.")
    text = name.rpartition(".")[2] if is_of_noun else name
    text = text.replace(".", " ").replace("_", " ")
    return text[:1].upper() + text[1:]


def is_removal(name: str) -> bool:
    """Return True if an event is for those that see an object no longer; it has ids only."""
    return name.endswith(REMOVED)


def is_move(name: str) -> bool:
    """Return True if an event is for those that see an object no longer, or from now on."""
    return name.endswith((REMOVED, ADDED))


def may_be_merged(name: str) -> bool:
    """Return True if a quiet period merges events of this name."""
    return name.endswith(MERGED)


def patterns_for(name: str) -> list[str]:
    """Return the patterns that match this name, registered or not, the narrowest first.

    >>> patterns_for("class.cancelled")
    ['class.cancelled', 'class.*', '*']
    """
    if not is_offered(name):
        return [name]
    segments = name.split(".")
    prefixes = (".".join(segments[:length]) for length in range(len(segments) - 1, 0, -1))
    narrow = [name, *(f"{prefix}.*" for prefix in prefixes)]
    return narrow if is_operational(name) else [*narrow, EVERYTHING]


def is_pattern_known(pattern: str) -> bool:
    """Return True if a pattern matches a registered name."""
    return bool(matching(pattern))


def nearest(name: str) -> list[str]:
    """Return up to three registered names that are similar to this one, the closest first."""
    found = difflib.get_close_matches(name, _known)
    if found:
        return found
    # Of a similar noun, even if the rest is not similar.
    noun, dot, _rest = name.partition(".")
    nouns = difflib.get_close_matches(noun, {one.partition(".")[0]: None for one in _known}, n=1) if dot else []
    of_noun = [one for one in _known if nouns and is_offered(one) and one.startswith(f"{nouns[0]}.")]
    return difflib.get_close_matches(name, of_noun, cutoff=0.0)


def nearest_patterns(pattern: str) -> list[str]:
    """Return up to three registered names and patterns that are similar to this one, the closest first."""
    offered = [name for name in _known if is_offered(name)]
    prefixes = dict.fromkeys(name.rpartition(".")[0] for name in offered)
    return difflib.get_close_matches(pattern, [*offered, *(f"{prefix}.*" for prefix in prefixes)])


def suggest(name: object, known: Iterable[str]) -> str:
    """Return " Did you mean …?" with the known names that are similar to ``name``, or "" without one."""
    return did_you_mean(difflib.get_close_matches(str(name), [*known]))


def did_you_mean(candidates: list[str]) -> str:
    """Return " Did you mean …?" with a leading space, or "" without candidates."""
    quoted = [f'"{candidate}"' for candidate in candidates]
    return f" Did you mean {' or '.join(quoted)}?" if quoted else ""
