"""A subscription's filters and condition as a list of checks on one event."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from tms_webhooks import catalogue
from tms_webhooks.exceptions import UnknownEventType
from tms_webhooks.filters.condition import AllOf, Node, in_words
from tms_webhooks.filters.criteria import CRITERIA, FIRST_OCCURRENCE, FilterInput
from tms_webhooks.filters.parsing import parse
from tms_webhooks.models import Event, Subscription
from tms_webhooks.models.audience import RELATIONS
from tms_webhooks.payloads.envelope import from_text

logger = logging.getLogger(__name__)


class EventCheck(NamedTuple):
    """One check: its name, whether it holds for an event, and a description for people."""

    name: str
    holds: Callable[[FilterInput], bool]
    words: Callable[[], str]


def checks_of(subscription: Subscription, event_type: str) -> tuple[EventCheck, ...]:
    """Return the checks of a subscription for events of this type. An event matches if all of them hold.

    The filter `FIRST_OCCURRENCE` is not among them, because it needs the database: see `routing.filtered`.
    """
    if not subscription.is_filtered:
        return ()
    return _checks(json.dumps(subscription.filters), json.dumps(subscription.condition), event_type)


def filter_input_of(event: Event, audience: str) -> FilterInput:
    """Return an event as input of the filters of a webhook with this audience."""
    try:
        body: Any = from_text(event.body)
    except ValueError:
        body = None
    keys = (getattr(event, relation.column) for relation in RELATIONS if audience != relation.closed_to)
    return FilterInput(
        body if isinstance(body, Mapping) else {},
        event.subject_type,
        frozenset(str(key) for key in keys if key is not None),
    )


@lru_cache(maxsize=1024)
def _checks(filters: str, condition: str, event_type: str) -> tuple[EventCheck, ...]:
    return (*_of_filters(json.loads(filters)), *_of_condition(json.loads(condition), event_type))


def _of_filters(filters: Any) -> Iterator[EventCheck]:
    """Yield a check for each filter. A filter that is not valid in the database matches no event."""
    if not isinstance(filters, dict):
        yield _never("filters", _("The filters are invalid. Correct and save the subscription."))
        return
    for name, values in filters.items():
        if name in CRITERIA and isinstance(values, list):
            yield _of_filter(name, values)
        elif name != FIRST_OCCURRENCE:
            message = _("The filter %(name)s is invalid. Correct and save the subscription.")
            yield _never(f"filters.{name}", message % {"name": name})


def _of_filter(name: str, values: list[Any]) -> EventCheck:
    def words() -> str:
        return _("%(name)s is %(values)s") % {"name": name, "values": in_words(tuple(values))}

    return EventCheck(f"filters.{name}", lambda given: CRITERIA[name].is_met(values, given), words)


def _of_condition(condition: Any, event_type: str) -> Iterator[EventCheck]:
    if condition in (None, {}):
        return
    try:
        tree = parse(condition, [catalogue.get(event_type)])
    except (ValidationError, UnknownEventType) as error:
        reason = " ".join(error.messages) if isinstance(error, ValidationError) else str(error)
        logger.error("An invalid condition matches no %s: %s", event_type, reason)
        yield _never("condition", reason)
        return
    for part in tree.parts if isinstance(tree, AllOf) else (tree,):
        yield _of_part(part)


def _of_part(part: Node) -> EventCheck:
    return EventCheck("condition", lambda given: part.holds(given.body), lambda: str(part))


def _never(name: str, reason: str) -> EventCheck:
    """Return a check that never holds, for filters or a condition that are invalid."""
    return EventCheck(name, lambda _given: False, lambda: reason)
