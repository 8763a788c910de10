"""What a subscription asks of an event beyond its type, one question at a time."""

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
    """One question: its name, its answer for an event, and what is asked for, in words."""

    name: str
    holds: Callable[[FilterInput], bool]
    words: Callable[[], str]


def checks_of(subscription: Subscription, event_type: str) -> tuple[EventCheck, ...]:
    """Return what a subscription asks of events of this type, all of which has to hold; nothing where it takes them all.

    Whether an event is the first of its kind is no such question: see `FirstOccurrence`.
    """
    if not subscription.is_filtered:
        return ()
    return _checks(json.dumps(subscription.filters), json.dumps(subscription.condition), event_type)


def occasion_of(event: Event, audience: str) -> FilterInput:
    """Return an event as filters see it that a webhook with this audience has."""
    try:
        body: Any = from_text(event.body)
    except ValueError:
        body = None
    keys = (getattr(event, way.column) for way in RELATIONS if audience != way.closed_to)
    return FilterInput(
        body if isinstance(body, Mapping) else {},
        event.subject_type,
        frozenset(str(key) for key in keys if key is not None),
    )


@lru_cache(maxsize=1024)
def _checks(filters: str, condition: str, event_type: str) -> tuple[EventCheck, ...]:
    return (*_of_filters(json.loads(filters)), *_of_condition(json.loads(condition), event_type))


def _of_filters(filters: Any) -> Iterator[EventCheck]:
    """Yield the filters; one that is not of the form that is checked when it is saved is met by nothing."""
    if not isinstance(filters, dict):
        yield _unreadable("filters", _("The filters can't be read; save the subscription anew."))
        return
    for name, wanted in filters.items():
        if name in CRITERIA and isinstance(wanted, list):
            yield _of_filter(name, wanted)
        elif name != FIRST_OCCURRENCE:
            message = _("The filter %(name)s can't be read; save the subscription anew.")
            yield _unreadable(f"filters.{name}", message % {"name": name})


def _of_filter(name: str, wanted: list[Any]) -> EventCheck:
    def words() -> str:
        return _("%(name)s is %(values)s") % {"name": name, "values": in_words(tuple(wanted))}

    return EventCheck(f"filters.{name}", lambda occasion: CRITERIA[name].is_met(wanted, occasion), words)


def _of_condition(condition: Any, event_type: str) -> Iterator[EventCheck]:
    if condition in (None, {}):
        return
    try:
        tree = parse(condition, [catalogue.get(event_type)])
    except (ValidationError, UnknownEventType) as error:
        reason = " ".join(error.messages) if isinstance(error, ValidationError) else str(error)
        logger.error("A condition is met by no %s: %s", event_type, reason)
        yield _unreadable("condition", reason)
        return
    for part in tree.parts if isinstance(tree, AllOf) else (tree,):
        yield _of_part(part)


def _of_part(part: Node) -> EventCheck:
    return EventCheck("condition", lambda occasion: part.holds(occasion.body), lambda: str(part))


def _unreadable(name: str, reason: str) -> EventCheck:
    return EventCheck(name, lambda _occasion: False, lambda: reason)
