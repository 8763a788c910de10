"""The rules of one subscription: its filters and condition as a list of checks. `routing.filtered` evaluates them for many events."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from tms_webhooks import catalogue, event_names
from tms_webhooks.catalogue import EventType
from tms_webhooks.choices import Audience
from tms_webhooks.exceptions import UnknownEventType
from tms_webhooks.filters.condition import AllOf, AnyOf, EventValues, Node, OneOf, part_about
from tms_webhooks.filters.criteria import FIRST_OCCURRENCE, ORGANIZATIONS, PATHS, STATUS_FROM, comparison
from tms_webhooks.filters.parsing import parse
from tms_webhooks.filters.paths import EventPath, event_paths
from tms_webhooks.models import Event, Subscription
from tms_webhooks.models.audience import RELATIONS, EventOrganizations
from tms_webhooks.payloads.envelope import from_text

logger = logging.getLogger(__name__)


# The filters that are about a change, not about the current state of an object.
OF_CHANGES = frozenset({STATUS_FROM, "status_to", "actor_kind", FIRST_OCCURRENCE})


class EventCheck(NamedTuple):
    """One check: its name, the condition that an event has to meet, and a description for people."""

    name: str
    condition: Node
    words: Callable[[], str]


class SubscriptionRules:
    """The filters and the condition of a subscription, compiled once for all events; ``audience`` is that of its webhook.

    The filter `FIRST_OCCURRENCE` is in no check, because it needs the database: see `routing.filtered`.
    """

    def __init__(self, subscription_id: int | None, filters: Any, condition: Any, audience: str) -> None:
        self._subscription_id = subscription_id
        self._condition = condition
        self._filters = filters
        self._audience = audience
        self._checks: dict[str, tuple[EventCheck, ...]] = {}
        self._parsed: list[tuple[dict[str, EventPath | None], tuple[EventCheck, ...]]] = []
        self.is_first_only = isinstance(filters, dict) and filters.get(FIRST_OCCURRENCE) is True

    def checks(self, event_type: str) -> tuple[EventCheck, ...]:
        """Return the checks for events of this type. An event matches if all of them hold; one with ids only always does."""
        if event_names.is_removal(event_type):
            return ()
        if event_type not in self._checks:
            try:
                kind = catalogue.get(event_type)
                self._checks[event_type] = (
                    *_of_filters(self._filters, kind, self._audience),
                    *self._of_condition(kind),
                )
            except UnknownEventType as error:
                self._checks[event_type] = (_invalid(event_type, str(error)),)
        return self._checks[event_type]

    def are_met(self, event: Event, values: EventValues) -> bool:
        """Return whether an event with these values matches the filters and the condition, except `FIRST_OCCURRENCE`."""
        return all(self.holds(check, event, values) for check in self.checks(event.type))

    def holds(self, check: EventCheck, event: Event, values: EventValues) -> bool:
        """Return whether a check holds for an event; False if it raises, so that one check can't stop the fan-out."""
        try:
            return check.condition.holds(values)
        except Exception:
            message = "The check of subscription %s failed for event %s: %s."
            logger.exception(message, self._subscription_id, event.pk, check.name)
            return False

    def _of_condition(self, event_type: EventType) -> tuple[EventCheck, ...]:
        """Return the checks of the condition: a reason, if it is invalid for events of this type."""
        if self._condition in (None, {}):
            return ()
        known = event_paths(event_type)
        for paths, checks in self._parsed:
            # Large lists of values are kept once, not once for each type with the same field.
            if all(known.get(name) == path for name, path in paths.items()):
                return checks
        try:
            tree = parse(self._condition, [event_type])
        except ValidationError as error:
            return (_invalid(event_type.name, " ".join(error.messages)),)
        checks = tuple(
            EventCheck("condition", part, part.__str__) for part in (tree.parts if isinstance(tree, AllOf) else (tree,))
        )
        self._parsed.append(({name: known.get(name) for name in tree.paths()}, checks))
        return checks


def present_checks(subscription: Subscription, snapshot: EventType) -> tuple[EventCheck, ...]:
    """Return the checks of a subscription that are about the current state of an object, for the snapshot of a noun.

    Rules about a change are left out: statuses before and after it, its actor, and first occurrences. So are the parts
    of a condition about ``previous``, ``changed`` or fields that only some events of the noun have.
    """
    filters = subscription.filters
    if isinstance(filters, dict):
        filters = {name: values for name, values in filters.items() if name not in OF_CHANGES}
    checks = tuple(_of_filters(filters, snapshot, subscription.webhook.audience))
    if subscription.condition in (None, {}):
        return checks
    try:
        tree = parse(subscription.condition, catalogue.expand(subscription.event_type))
    except ValidationError as error:
        return (*checks, _invalid(snapshot.name, " ".join(error.messages)))
    known = event_paths(snapshot)
    part = part_about(tree, lambda path: path.startswith("data.") and path in known)
    return checks if part is None else (*checks, EventCheck("condition", part, part.__str__))


def event_values(event: Event) -> EventValues:
    """Return the values in the body of an event, and its `ORGANIZATIONS`; only these if the body is no JSON object."""
    try:
        body: Any = from_text(event.body)
    except ValueError:
        body = None
    organizations = EventOrganizations(event.organization_id, event.learner_organization_id)
    return values_of(body if isinstance(body, Mapping) else {}, organizations)


def values_of(body: Mapping[str, Any], organizations: EventOrganizations) -> EventValues:
    """Return the values that checks read: those of an event's body, and its `ORGANIZATIONS`."""
    related = list(zip(RELATIONS, organizations[:2], strict=True))
    keys = {
        audience: [key for relation, key in related if key is not None and audience != relation.closed_to]
        for audience in Audience
    }
    return EventValues({**body, ORGANIZATIONS: keys})


def _of_filters(filters: Any, event_type: EventType, audience: str) -> Iterator[EventCheck]:
    """Yield a check for each filter. A filter that is not valid in the database matches no event."""
    if not isinstance(filters, dict):
        yield _never("filters", _("The filters are invalid. Correct and save the subscription."))
        return
    for name, values in filters.items():
        if name in PATHS and isinstance(values, list):
            in_words = OneOf(name, None, tuple(values)).__str__
            yield EventCheck(f"filters.{name}", comparison(name, values, event_type, audience), in_words)
        elif name != FIRST_OCCURRENCE:
            message = _("The filter %(name)s is invalid. Correct and save the subscription.")
            yield _never(f"filters.{name}", message % {"name": name})


def _invalid(event_type: str, reason: str) -> EventCheck:
    """Log that a condition is invalid for events of a type, and return the check that never holds."""
    logger.error("An invalid condition matches no %s: %s", event_type, reason)
    return _never("condition", reason)


def _never(name: str, reason: str) -> EventCheck:
    """Return a check that never holds, for filters or a condition that are invalid."""
    return EventCheck(name, AnyOf(()), lambda: reason)
