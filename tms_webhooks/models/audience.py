"""The tree that the host's organizations form, asked of the database: any depth, and a ring comes to an end."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

from django.apps import apps
from django.core.exceptions import FieldDoesNotExist
from django.db import connections
from django.db.models import Q

from tms_webhooks import event_names
from tms_webhooks.choices import Audience
from tms_webhooks.conf import app_settings
from tms_webhooks.db.sql import database, filled, read
from tms_webhooks.models.organization import organization_model

# UNION and not UNION ALL: what was found before is not looked at again, and that ends a ring.
LINEAGES = """
WITH RECURSIVE line (start, above) AS (
    SELECT {key}, {key} FROM {organization} WHERE {key} IN ({places})
    UNION SELECT line.start, o.{parent} FROM line JOIN {organization} o ON o.{key} = line.above
    WHERE o.{parent} IS NOT NULL
)
SELECT start, above FROM line"""

OFFSPRING = """
WITH RECURSIVE branch (below) AS (
    SELECT {key} FROM {organization} WHERE {key} IN ({places})
    UNION SELECT o.{key} FROM branch JOIN {organization} o ON o.{parent} = branch.below
)
SELECT below FROM branch"""

KEYS_AT_ONCE = 500


def parent_column() -> str | None:
    """Return the column of the organization model that leads to the parent; None where there is no tree."""
    try:
        field = apps.get_model(organization_model())._meta.get_field(app_settings.ORGANIZATION_PARENT)
    except FieldDoesNotExist:
        return None  # there is none, or a check tells
    return getattr(field, "column", None)


def lineages(keys: Collection[Any], *, using: str) -> dict[Any, frozenset[Any]]:
    """Return, for each of these organizations, its own key and those of all above it."""
    found: dict[Any, set[Any]] = {key: {key} for key in keys}
    for start, above in _ask(LINEAGES, keys, using=using):
        found[start].add(above)
    return {key: frozenset(line) for key, line in found.items()}


def offspring(keys: Collection[Any], *, using: str) -> set[Any]:
    """Return the keys of these organizations and of all below them."""
    return {*keys, *(below for (below,) in _ask(OFFSPRING, keys, using=using))}


def names(using: str) -> dict[str, str]:
    """Return what stands for the organizations' table and columns in a statement; only where there is a tree."""
    model = apps.get_model(organization_model())
    quote = connections[using].ops.quote_name
    return {
        "organization": quote(model._meta.db_table),
        "key": quote(str(model._meta.pk.column)),
        "parent": quote(str(parent_column())),
    }


def _ask(sql: str, keys: Collection[Any], *, using: str) -> list[tuple[Any, ...]]:
    if parent_column() is None:
        return []
    connection, key = connections[using], apps.get_model(organization_model())._meta.pk
    prepared = [key.get_db_prep_value(one, connection) for one in keys]
    rows: list[tuple[Any, ...]] = []
    with connection.cursor() as cursor:
        for start in range(0, len(prepared), KEYS_AT_ONCE):
            some = prepared[start : start + KEYS_AT_ONCE]
            cursor.execute(sql.format(places=", ".join(["%s"] * len(some)), **names(using)), some)
            rows += [tuple(map(key.to_python, row)) for row in cursor.fetchall()]
    return rows


class EventOrganizations(NamedTuple):
    """The keys of the organizations in which an event is at home; None where there is none."""

    owner: Any
    learner: Any = None

    @property
    def keys(self) -> set[Any]:
        """Those that there are."""
        return {key for key in self if key is not None}


class Relation(NamedTuple):
    """One way from an event to a webhook: by which organization, and for which audience it is no way."""

    column: str
    closed_to: Audience


OWNER = Relation("organization_id", closed_to=Audience.LEARNER)
LEARNER = Relation("learner_organization_id", closed_to=Audience.OWNER)
RELATIONS = (OWNER, LEARNER)
"""In the order of `Home`."""


class SubscriberScope(NamedTuple):
    """What a webhook says of whose events it is for."""

    organization_id: Any
    audience: str
    include_children: bool

    def hears(self, home: EventOrganizations, lines: dict[Any, frozenset[Any]] | None = None) -> bool:
        """Return whether an event comes to it; ``lines`` are the lineages of the organizations of its home.

        Without them child organizations don't count.
        """
        for key, way in zip(home, RELATIONS, strict=True):
            if key is None or self.audience == way.closed_to:
                continue
            if key == self.organization_id:
                return True
            if self.include_children and lines is not None and self.organization_id in lines.get(key, ()):
                return True
        return False


def patterns_by_organizations(
    homes: Collection[EventOrganizations], listeners: Iterable[tuple[SubscriberScope, str]], *, using: str
) -> dict[EventOrganizations, frozenset[str]]:
    """Return, for each home, the patterns of those listeners to whom an event that is at home there comes.

    Asks for the tree where it makes a difference, in one query for all.
    """
    asked = list(listeners)
    found = {home: {pattern for one, pattern in asked if one.hears(home)} for home in homes}
    wide = [(one, pattern) for one, pattern in asked if one.include_children]
    open_to = {home for home in homes if any(pattern not in found[home] for _one, pattern in wide)}
    if open_to:
        lines = lineages({key for home in open_to for key in home.keys}, using=using)
        for home in open_to:
            found[home].update(pattern for one, pattern in wide if one.hears(home, lines))
    return {home: frozenset(patterns) for home, patterns in found.items()}


def events_for_scope(listener: SubscriberScope, *, using: str) -> Q:
    """Return a filter for the events that come to a webhook."""
    own: Collection[Any] = [listener.organization_id]
    if listener.include_children:
        own = offspring(own, using=using)
    reached = Q(pk__in=())
    for way in RELATIONS:
        if listener.audience != way.closed_to:
            reached |= Q(**{f"{way.column}__in": own})
    return reached


# For statements: from an event ``e`` to the webhooks ``w`` to which it comes by one way, or from above.
TO = {
    way: f"JOIN {{webhook}} w ON w.organization_id = e.{way.column} AND w.audience <> '{way.closed_to.value}'"
    for way in RELATIONS
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


def recipient_sql(ids: str, *, way: Relation | None) -> dict[str, str]:
    """Return the parts of a statement that lead from events, by their keys, to webhooks; None is the way from below."""
    return {
        "lines": filled(LINES, ids=ids, **names(database().alias)) if way is None else "",
        "reached": filled(FROM_BELOW if way is None else f"{{event}} e {TO[way]}"),
    }


def reaches(event_id: int, webhook_id: int) -> bool:
    """Return whether an event comes to a webhook, by any way."""
    from_below: list[Relation | None] = [None] if parent_column() is not None else []
    sql = "{lines} SELECT 1 FROM {reached} WHERE e.id = %s AND w.id = %s"
    return any(
        read(sql, [event_id, webhook_id], **recipient_sql(str(event_id), way=way)) for way in (*RELATIONS, *from_below)
    )


def subject_webhook_id(event_type: str, subject_id: str) -> int:
    """Return the key of the webhook that an event speaks of, which is told nothing of it; 0 where it speaks of none."""
    # A host may tell of webhooks of its own, which may have other keys than ours.
    is_key = subject_id.isdecimal() and len(subject_id) <= LONGEST_KEY
    return int(subject_id) if is_key and event_names.is_operational(event_type) else 0
