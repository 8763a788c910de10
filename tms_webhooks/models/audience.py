"""Which organizations an event comes to, and so whose webhooks.

An event is at home in the organization that owns what it tells of and, where it tells of a learner, in that of the
learner, both as they were when it happened. It comes to these two and, by webhooks that include child organizations,
to those above them in the tree as it is now. To nobody else: whoever sees neither the object nor the learner gets
nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

from django.db.models import Q

from tms_webhooks import event_names
from tms_webhooks.choices import Audience
from tms_webhooks.models import tree
from tms_webhooks.models.statements import database, filled, read


class Home(NamedTuple):
    """The keys of the organizations in which an event is at home; None where there is none."""

    owner: Any
    learner: Any = None

    @property
    def keys(self) -> set[Any]:
        """Those that there are."""
        return {key for key in self if key is not None}


class Way(NamedTuple):
    """One way from an event to a webhook: by which organization, and for which audience it is no way."""

    column: str
    closed_to: Audience


OWNER = Way("organization_id", closed_to=Audience.LEARNER)
LEARNER = Way("learner_organization_id", closed_to=Audience.OWNER)
WAYS = (OWNER, LEARNER)
"""In the order of `Home`."""


class Listener(NamedTuple):
    """What a webhook says of whose events it is for."""

    organization_id: Any
    audience: str
    include_children: bool

    def hears(self, home: Home, lines: dict[Any, frozenset[Any]] | None = None) -> bool:
        """Return whether an event comes to it; ``lines`` are the lineages of the organizations of its home.

        Without them child organizations don't count.
        """
        for key, way in zip(home, WAYS, strict=True):
            if key is None or self.audience == way.closed_to:
                continue
            if key == self.organization_id:
                return True
            if self.include_children and lines is not None and self.organization_id in lines.get(key, ()):
                return True
        return False


def heard_at(
    homes: Collection[Home], listeners: Iterable[tuple[Listener, str]], *, using: str
) -> dict[Home, frozenset[str]]:
    """Return, for each home, the patterns of those listeners to whom an event that is at home there comes.

    Asks for the tree where it makes a difference, in one query for all.
    """
    asked = list(listeners)
    found = {home: {pattern for one, pattern in asked if one.hears(home)} for home in homes}
    wide = [(one, pattern) for one, pattern in asked if one.include_children]
    open_to = {home for home in homes if any(pattern not in found[home] for _one, pattern in wide)}
    if open_to:
        lines = tree.lineages({key for home in open_to for key in home.keys}, using=using)
        for home in open_to:
            found[home].update(pattern for one, pattern in wide if one.hears(home, lines))
    return {home: frozenset(patterns) for home, patterns in found.items()}


def comes_to(listener: Listener, *, using: str) -> Q:
    """Return a filter for the events that come to a webhook."""
    own: Collection[Any] = [listener.organization_id]
    if listener.include_children:
        own = tree.offspring(own, using=using)
    reached = Q(pk__in=())
    for way in WAYS:
        if listener.audience != way.closed_to:
            reached |= Q(**{f"{way.column}__in": own})
    return reached


# For statements: from an event ``e`` to the webhooks ``w`` to which it comes by one way, or from above.
TO = {
    way: f"JOIN {{webhook}} w ON w.organization_id = e.{way.column} AND w.audience <> '{way.closed_to.value}'"
    for way in WAYS
}

LINES = """
WITH RECURSIVE line (event_id, way, above) AS (
    SELECT id, 0, organization_id FROM {event} WHERE id IN ({ids})
    UNION SELECT id, 1, learner_organization_id FROM {event} WHERE id IN ({ids}) AND learner_organization_id IS NOT NULL
    UNION SELECT line.event_id, line.way, o.{parent} FROM line JOIN {organization} o ON o.{key} = line.above
    WHERE o.{parent} IS NOT NULL
)"""

FROM_BELOW = f"""line JOIN {{event}} e ON e.id = line.event_id
JOIN {{webhook}} w ON w.organization_id = line.above AND w.include_children
    AND w.audience <> CASE line.way WHEN 0 THEN '{OWNER.closed_to.value}' ELSE '{LEARNER.closed_to.value}' END"""


LONGEST_KEY = 18


def ways_of(ids: str, *, way: Way | None) -> dict[str, str]:
    """Return the parts of a statement that lead from events, by their keys, to webhooks; None is the way from below."""
    return {
        "lines": filled(LINES, ids=ids, **tree.names(database().alias)) if way is None else "",
        "reached": filled(FROM_BELOW if way is None else f"{{event}} e {TO[way]}"),
    }


def reaches(event_id: int, webhook_id: int) -> bool:
    """Return whether an event comes to a webhook, by any way."""
    from_below: list[Way | None] = [None] if tree.parent_column() is not None else []
    sql = "{lines} SELECT 1 FROM {reached} WHERE e.id = %s AND w.id = %s"
    return any(read(sql, [event_id, webhook_id], **ways_of(str(event_id), way=way)) for way in (*WAYS, *from_below))


def spoken_of(event_type: str, subject_id: str) -> int:
    """Return the key of the webhook that an event speaks of, which is told nothing of it; 0 where it speaks of none."""
    # A host may tell of webhooks of its own, which may have other keys than ours.
    is_key = subject_id.isdecimal() and len(subject_id) <= LONGEST_KEY
    return int(subject_id) if is_key and event_names.is_operational(event_type) else 0
