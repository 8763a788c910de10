"""The catch-up feed: the events of some organizations in one stable order, to be read on from any place.

An event's key is handed out before its transaction commits, so whoever reads on after the last key that they saw misses
what committed late. Here an event gets its position after its commit, by one publisher at a time: whatever is
published later stands later. No transaction, however long, holds anything back but its own events.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from time import monotonic
from typing import Any

from django.db import OperationalError, connections, router, transaction
from django.db.models import F, Model, Q, QuerySet

from tms_webhooks import event_names
from tms_webhooks.db.lookups import key_in
from tms_webhooks.exceptions import CursorError, SecretError, UnknownEventType
from tms_webhooks.models import Event, FeedEnds
from tms_webhooks.models.encryption import decrypt, encrypt
from tms_webhooks.models.event import LEARNERS_ELSEWHERE

BATCH = 1_000
LATEST = "latest"
"""The cursor of those who want nothing of what was."""

# New events are the workers'; they would pass by one that is locked here. These are events that no worker takes.
LEFT_LYING = timedelta(seconds=10)
READER_SECONDS = 1.0
LATE = timedelta(minutes=5)
# So many organizations stand in the query one by one; more than that, as a query of their own.
LISTED = 100

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Page:
    """Some events, oldest first, the cursor to read on after them, and whether there are more by now."""

    events: list[Event]
    cursor: str
    has_more: bool


def publish(now: datetime, *, limit: int = BATCH) -> int:
    """Give up to ``limit`` events that are committed their position; return how many that were.

    Safe to be called by many at once: one of them does it.
    """
    ready = Q(fanned_out_at__isnull=False) | Q(occurred_at__lt=now - LEFT_LYING)
    events = Event.objects.using(router.db_for_write(Event))
    with transaction.atomic(using=events.db):
        ends = FeedEnds.objects.locked()
        if ends is None:
            return 0
        new = events.without_position().filter(ready).select_for_update(skip_locked=True)
        keys = list(new.values_list("pk", flat=True)[:limit])
        if not keys:
            return 0
        # Positions may have gaps: so one statement numbers them all, on every database.
        shift = ends.published + 1 - keys[0]
        events.filter(key_in(keys)).update(position=F("pk") + shift)
        ends.publish_up_to(keys[-1] + shift)
    return len(keys)


def publish_all(now: datetime, *, seconds: float) -> int:
    """Publish until there is nothing to do, or the time is over; return how many events that were."""
    end = monotonic() + seconds
    total = 0
    while published := publish(now):
        total += published
        if published < BATCH or monotonic() >= end:
            break
    return total


def keep_up(now: datetime, *, seconds: float) -> int:
    """Publish what is new, as a sweep does, and tell the log where the feed stands still all the same."""
    total = publish_all(now, seconds=seconds)
    late = Event.objects.without_position().filter(occurred_at__lt=now - LATE).first()
    if late is not None:
        logger.warning(
            "The catch-up feed stands still: event %s of %s is not in it yet. A process that was suspended in the midst of "
            "publishing or fanning out may hold a lock; end its connection.",
            late.public_id,
            late.occurred_at.isoformat(timespec="seconds"),
        )
    return total


def read(
    organizations: QuerySet[Model],
    *,
    now: datetime,
    after: str = "",
    types: Iterable[str] = (),
    events: QuerySet[Event] | None = None,
    limit: int = 100,
) -> Page:
    """Return the events that these organizations may see and that come after a cursor, up to ``limit``.

    ``after`` is the cursor of an earlier page, `LATEST` for the end of the feed, or nothing for its beginning.
    ``types`` are names and patterns as a subscription has them; ``events`` narrows the choice further. Raises
    `UnknownEventType`, and `CursorError` for a cursor that is none, is another organization's, or is too old.
    """
    names = _names(types)
    keys = list(organizations.order_by("pk").values_list("pk", flat=True)[: LISTED + 1])
    _publish_what_lies(now)
    # In this order: what is up to the end was committed before the end was.
    ends = FeedEnds.objects.current()
    start, owner = _place(after, organizations, keys, ends)
    chosen = (Event.objects.all() if events is None else events).filter(
        position__gt=start, position__lte=ends.published
    )
    if names is not None:
        chosen = chosen.filter(type__in=names)
    if len(keys) > LISTED:
        found = list(_first(chosen.filter(visible_to(organizations.order_by().values("pk"))), limit + 1))
    else:
        found = _gathered(chosen, keys, limit + 1)
    has_more = len(found) > limit
    last = found[limit - 1].position if has_more else None
    return Page(found[:limit], _cursor(last or ends.published, owner), has_more)


def _first(chosen: QuerySet[Event], limit: int) -> QuerySet[Event]:
    return chosen.order_by("position")[:limit]


def _gathered(chosen: QuerySet[Event], keys: list[Any], limit: int) -> list[Event]:
    """Return the first events of these organizations: of their own and their learners' the first each, put together.

    With both conditions in one query a database reads everybody's events until it has enough, or sorts all that there are.
    """
    own = _first(chosen.filter(organization__in=keys), limit)
    learners = _first(chosen.filter(LEARNERS_ELSEWHERE, learner_organization__in=keys), limit)
    positions = {position or 0 for rows in (own, learners) for position in rows.values_list("position", flat=True)}
    return list(Event.objects.filter(position__in=sorted(positions)[:limit]).order_by("position"))


def visible_to(organizations: Any) -> Q:
    """Return the filter for events that these organizations may see: their own, and those of their learners."""
    return Q(organization__in=organizations) | Q(learner_organization__in=organizations)


def _publish_what_lies(now: datetime) -> None:
    """Do what a sweep would do within the minute; without workers nobody else does it."""
    using = router.db_for_write(Event)
    if _has_a_frail_snapshot(connections[using]):
        return
    try:
        if Event.objects.using(using).without_position().exists():
            publish_all(now, seconds=READER_SECONDS)
    except OperationalError:
        # A database that is busy, or that this process may only read.
        logger.warning("New events were not published by a reader of the feed; it sees them later.", exc_info=True)


def _has_a_frail_snapshot(connection: Any) -> bool:
    """Say whether the caller's own transaction would not survive that others have published since it began."""
    in_transaction: bool = connection.vendor == "mysql" and connection.in_atomic_block
    return in_transaction and str(connection.isolation_level) != "read committed"


def _names(patterns: Iterable[str]) -> list[str] | None:
    names: set[str] = set()
    asked = list(patterns)
    for pattern in asked:
        meant = event_names.matching(pattern)
        if not meant:
            suggestion = event_names.did_you_mean(event_names.nearest_patterns(pattern))
            raise UnknownEventType(f'Unknown event type "{pattern}".{suggestion}')
        names.update(meant)
    return sorted(names) if asked else None


def _place(after: str, organizations: QuerySet[Model], keys: list[Any], ends: FeedEnds) -> tuple[int, str]:
    """Return the position that a cursor stands for, and the organization that it is bound to."""
    own = str(keys[0]) if keys else ""
    if not after:
        return 0, own
    if after == LATEST:
        return ends.published, own
    position, owner = _opened(after)
    known = {str(key) for key in keys}
    if owner and owner not in known and not (len(keys) > LISTED and organizations.filter(pk=owner).exists()):
        raise CursorError("This cursor is of another organization; begin without one.", code="foreign")
    if position > ends.published:
        raise CursorError("This cursor is from beyond the end of the feed; begin without one.", code="unknown")
    if position < ends.forgotten:
        raise CursorError(
            "This cursor is too old: events that came after it are no longer kept. Begin without one, at the oldest that is.",
            code="expired",
        )
    return position, owner or own


def _cursor(position: int, owner: str) -> str:
    # Encrypted, because positions count the events of all organizations.
    return encrypt(json.dumps([position, owner])).rstrip("=")


def _opened(cursor: str) -> tuple[int, str]:
    try:
        position, owner = json.loads(decrypt(cursor + "=" * (-len(cursor) % 4)))
    except (SecretError, ValueError, TypeError):
        raise CursorError(
            "This is no cursor; give the one of the last page as it was, or begin without.", code="malformed"
        ) from None
    return position, owner
