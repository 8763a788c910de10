"""Which webhooks receive an event: by its organizations, by the webhook's audience, and by the tree of organizations.

An event belongs to the organization that owns the object and, for a learner's object, to the learner's organization. A
webhook receives the events of its own organization and, where it includes child organizations, of all below it. The tree
is the host's: it is read with recursive queries, to any depth, and a cycle in it does no harm.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from functools import cache
from typing import Any, NamedTuple

from django.apps import apps
from django.core.exceptions import FieldDoesNotExist
from django.core.signals import setting_changed
from django.db import connections
from django.db.models import Q

from tms_webhooks import event_names
from tms_webhooks.choices import Audience
from tms_webhooks.conf import app_settings
from tms_webhooks.db.sql import database, filled
from tms_webhooks.models.organization import organization_model

KEYS_PER_QUERY = 500
NO_LINEAGES: Mapping[Any, frozenset[Any]] = {}

# In these three, UNION instead of UNION ALL drops rows that were found before, which ends a cycle.

# The key of each organization with its own key and those above it. By primary key.
ANCESTORS = """
WITH RECURSIVE line (start, above) AS (
    SELECT {key}, {key} FROM {organization} WHERE {key} IN ({places})
    UNION SELECT line.start, o.{parent} FROM line JOIN {organization} o ON o.{key} = line.above
    WHERE o.{parent} IS NOT NULL
)
SELECT start, above FROM line"""

# The keys of organizations and of those below them. By the host's index of the parent column.
DESCENDANTS = """
WITH RECURSIVE branch (below) AS (
    SELECT {key} FROM {organization} WHERE {key} IN ({places})
    UNION SELECT o.{key} FROM branch JOIN {organization} o ON o.{parent} = branch.below
)
SELECT below FROM branch"""

# The organizations of events and all above them, each with the relation (0: owner, 1: learner). By primary key. Copies are
# for their own organizations alone.
LINEAGES = """
WITH RECURSIVE line (event_id, way, above) AS (
    SELECT id, 0, organization_id FROM {event} WHERE id {among} AND NOT is_copy
    UNION SELECT id, 1, learner_organization_id FROM {event}
    WHERE id {among} AND learner_organization_id IS NOT NULL AND NOT is_copy
    UNION SELECT line.event_id, line.way, o.{parent} FROM line JOIN {organization} o ON o.{key} = line.above
    WHERE o.{parent} IS NOT NULL
)"""


class EventOrganizations(NamedTuple):
    """The keys of the organizations that an event belongs to; None for a missing one.

    For an event of a move, ``other`` are those of the object on the other side: before the move, or for a removal after
    it. Only webhooks that receive the object on both sides get the event if it ``stays``, otherwise only webhooks
    that do not.
    """

    owner: Any
    learner: Any = None
    other: EventOrganizations | None = None
    stays: bool = False

    @property
    def keys(self) -> set[Any]:
        """All keys, also those of the other side."""
        return {self.owner, self.learner, *(self.other.keys if self.other else ())} - {None}

    def reach(self, audience: str, includes: Callable[[Any], bool]) -> bool:
        """Return whether a webhook with this audience receives the event; ``includes`` says whether it includes an organization."""
        is_received = any(
            key is not None and audience != relation.closed_to and includes(key)
            for key, relation in zip(self[:2], RELATIONS, strict=True)
        )
        return is_received and (self.other is None or self.other.reach(audience, includes) is self.stays)


class Relation(NamedTuple):
    """One of the two relations from an event to an organization, and the audience whose webhooks do not use it."""

    column: str
    closed_to: Audience


OWNER = Relation("organization_id", closed_to=Audience.LEARNER)
LEARNER = Relation("learner_organization_id", closed_to=Audience.OWNER)
RELATIONS = (OWNER, LEARNER)
"""In the order of `EventOrganizations`."""

# The event was not caused by the integration of a webhook that skips its own changes.
NOT_OWN = "NOT (w.skip_own AND e.actor_kind = w.integration_kind AND {binary} e.actor_id = w.integration_id)"

# From events ``e`` to the webhooks ``w`` that receive them by one relation. Index: tms_webhook_by_organization.
JOIN_WEBHOOKS = {
    relation: f"JOIN {{webhook}} w ON w.organization_id = e.{relation.column} "
    f"AND w.audience <> '{relation.closed_to.value}' AND {NOT_OWN}"
    for relation in RELATIONS
}

# The same by either relation, to webhooks of the organizations in LINEAGES that include children. Index: tms_webhook_by_organization.
BY_LINEAGE = f"""line JOIN {{event}} e ON e.id = line.event_id
JOIN {{webhook}} w ON w.organization_id = line.above AND w.include_children
    AND w.audience <> CASE line.way WHEN 0 THEN '{OWNER.closed_to.value}' ELSE '{LEARNER.closed_to.value}' END
    AND {NOT_OWN}"""


class Integration(NamedTuple):
    """The API key or user that a webhook belongs to, as the ``actor`` of the events that it causes."""

    kind: str
    id: str


class SubscriberScope(NamedTuple):
    """The fields of `Webhook` that decide which events it receives, whatever its subscriptions are.

    ``skipped`` is the integration whose changes it does not receive; None for a webhook that receives those of all. It
    counts in `events_for_scope` alone: the methods compare organizations.
    """

    organization_id: Any
    audience: str
    include_children: bool
    skipped: Integration | None = None

    def organizations(self, *, using: str) -> set[Any]:
        """Return the keys of the webhook's organization and of those below that it includes. Reads the tree at most once."""
        own = {self.organization_id}
        return descendants(own, using=using) if self.include_children else own

    def matches(self, organizations: EventOrganizations, lineages: Mapping[Any, frozenset[Any]] = NO_LINEAGES) -> bool:
        """Return whether the webhook receives events of these organizations.

        ``lineages`` are the `ancestors` of these organizations; without them child organizations do not count.
        """
        own = self.organization_id
        return organizations.reach(
            self.audience, lambda key: key == own or (self.include_children and own in lineages.get(key, ()))
        )

    def includes(self, event: EventOrganizations, organizations: Collection[Any]) -> bool:
        """Return whether the webhook receives events of these organizations, given its `organizations`."""
        return event.reach(self.audience, organizations.__contains__)


def patterns_by_organizations(
    organizations: Collection[EventOrganizations], subscriptions: Iterable[tuple[SubscriberScope, str]], *, using: str
) -> dict[EventOrganizations, frozenset[str]]:
    """Return the patterns of the subscriptions that receive events of each of these pairs of organizations.

    ``subscriptions`` are pairs of a webhook's scope and an event pattern. Reads the tree only where it can add a
    pattern, in one query for all.
    """
    pairs = list(subscriptions)
    found = {one: {pattern for scope, pattern in pairs if scope.matches(one)} for one in organizations}
    with_children = [(scope, pattern) for scope, pattern in pairs if scope.include_children]
    incomplete = {
        one
        for one in organizations
        if any(one.other is not None or pattern not in found[one] for _scope, pattern in with_children)
    }
    if incomplete:
        lineages = ancestors({key for one in incomplete for key in one.keys}, using=using)
        for one in incomplete:
            found[one] = {pattern for scope, pattern in pairs if scope.matches(one, lineages)}
    return {one: frozenset(patterns) for one, patterns in found.items()}


def events_for_scope(scope: SubscriberScope, *, using: str) -> Q:
    """Return a filter for the events that a webhook with this scope receives."""
    matching = visible_to(scope.organizations(using=using), scope.audience)
    if scope.include_children:
        matching &= Q(is_copy=False) | Q(organization=scope.organization_id)
    if scope.skipped is not None:
        kind, key = scope.skipped.kind, scope.skipped.id
        # MariaDB ignores case and trailing spaces where it compares texts, except at their beginning and end.
        matching &= ~Q(actor_kind=kind, actor_id=key, actor_id__startswith=key, actor_id__endswith=key)
    return matching


@cache
def parent_column() -> str | None:
    """Return the column of the organization model that refers to the parent; None where organizations form no tree."""
    try:
        field = apps.get_model(organization_model())._meta.get_field(app_settings.ORGANIZATION_PARENT)
    except FieldDoesNotExist:
        return None  # the setting is empty, or a system check reports it
    return getattr(field, "column", None)


def _forget_parent_column(**_kwargs: Any) -> None:
    """Read the settings again, which a test has changed."""
    parent_column.cache_clear()


setting_changed.connect(_forget_parent_column)


def ancestors(keys: Collection[Any], *, using: str) -> dict[Any, frozenset[Any]]:
    """Return, for each of these organizations, its own key and those of all above it."""
    found: dict[Any, set[Any]] = {key: {key} for key in keys}
    for start, above in _read_tree(ANCESTORS, keys, using=using):
        found[start].add(above)
    return {key: frozenset(line) for key, line in found.items()}


def descendants(keys: Collection[Any], *, using: str) -> set[Any]:
    """Return the keys of these organizations and of all below them."""
    return {*keys, *(below for (below,) in _read_tree(DESCENDANTS, keys, using=using))}


def _read_tree(sql: str, keys: Collection[Any], *, using: str) -> list[tuple[Any, ...]]:
    if parent_column() is None:
        return []
    connection, key = connections[using], apps.get_model(organization_model())._meta.pk
    params = [key.get_db_prep_value(one, connection) for one in keys]
    rows: list[tuple[Any, ...]] = []
    with connection.cursor() as cursor:
        for start in range(0, len(params), KEYS_PER_QUERY):
            some = params[start : start + KEYS_PER_QUERY]
            cursor.execute(sql.format(places=", ".join(["%s"] * len(some)), **_organization_names(using)), some)
            rows += [tuple(map(key.to_python, row)) for row in cursor.fetchall()]
    return rows


def _organization_names(using: str) -> dict[str, str]:
    """Return the quoted names of the organizations' table and columns for a statement. There must be a tree."""
    model = apps.get_model(organization_model())
    quote = connections[using].ops.quote_name
    return {
        "organization": quote(model._meta.db_table),
        "key": quote(str(model._meta.pk.column)),
        "parent": quote(str(parent_column())),
    }


def recipient_sql(among: str, *, way: Relation | None) -> dict[str, str]:
    """Return the parts ``lines`` and ``reached`` of a statement, which lead from the events with these keys to webhooks.

    ``way`` is a relation, or None for webhooks of organizations above that include children.
    """
    return {
        "lines": filled(LINEAGES, among=among, **_organization_names(database().alias)) if way is None else "",
        "reached": filled(BY_LINEAGE if way is None else f"{{event}} e {JOIN_WEBHOOKS[way]}"),
    }


def visible_to(organizations: Any, audience: str = Audience.BOTH) -> Q:
    """Return the filter for events that these organizations may see: by default their own, and those of their learners."""
    return _by_relations("", organizations, audience) & of_its_side(organizations, audience)


def of_its_side(organizations: Any, audience: str = Audience.BOTH) -> Q:
    """Return the filter that leaves out the events of moves that are not for these organizations."""
    there, leads_on = _by_relations("other_", organizations, audience), Q(other_organization__isnull=False)
    is_move = Q(type__endswith=event_names.REMOVED) | Q(type__endswith=event_names.ADDED)
    return ~leads_on | (is_move & ~there) | (~is_move & there)


def _by_relations(prefix: str, organizations: Any, audience: str) -> Q:
    found = Q()
    for relation in RELATIONS:
        if audience != relation.closed_to:
            found |= Q(**{f"{prefix}{relation.column}__in": organizations})
    return found
