"""The catch-up feed: the events of some organizations in one stable order, readable from any position.

A primary key is assigned before its transaction commits. So a reader that continues after the last key that it read
misses events that commit late. The feed has its own positions. One publisher at a time assigns them to committed
events, so an event that is published later has a higher position. A long transaction delays only its own events.

The feed of one webhook has the events that its subscriptions match, in the same order and with the same cursors. A
pull-only webhook is read like this; nothing is sent to it. Any other webhook can be compared with its feed.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from time import monotonic
from typing import Any, NamedTuple

from django.db import IntegrityError, OperationalError, connections, router, transaction
from django.db.models import F, Model, Q, QuerySet

from tms_webhooks.db.sql import key_in
from tms_webhooks.exceptions import CursorError, SecretError
from tms_webhooks.models import Event, FeedEnds, FirstOccurrence, Webhook
from tms_webhooks.models.audience import of_its_side
from tms_webhooks.models.encryption import decrypt, encrypt
from tms_webhooks.models.event import LEARNERS_ELSEWHERE, EventQuerySet, conditions_of, in_feed
from tms_webhooks.outbox import numbers
from tms_webhooks.routing import filtered

# Events that one transaction publishes.
BATCH = 1_000
# The cursor of a reader that wants no past events.
LATEST = "latest"
# Younger events are published after their fan-out, which gives them their numbers.
FAN_OUT_TIME = timedelta(seconds=10)
# Seconds that a reader spends on publishing.
READER_SECONDS = 1.0
# A committed event that has no position for longer than this is reported.
LATE = timedelta(minutes=5)
# Events that one page of a webhook's feed examines at most. If few match, the page is short, and its cursor is past those
# examined.
EXAMINED = 1_000
# The number of organizations that a query lists by their keys; for more it contains a subquery.
MOST_LISTED = 100

logger = logging.getLogger(__name__)


class Page(NamedTuple):
    """A page of events, oldest first, with the cursor of the next page, and whether that has events already."""

    events: list[Event]
    cursor: str
    has_more: bool


class Start(NamedTuple):
    """Where a page begins, and what it needs.

    ``end`` is the position of the last published event, and ``owner`` the organization that its cursor is bound to.
    ``organizations`` are the keys of those it is read for, up to one more than `MOST_LISTED`.
    """

    position: int
    end: int
    owner: str
    organizations: list[Any]


def publish(now: datetime) -> int:
    """Number events that no worker has fanned out in time, and assign positions to up to `BATCH` numbered ones that are committed.

    Return how many of these. Concurrent calls are safe: one of them publishes, the others return 0.
    """
    events = Event.objects.using(router.db_for_write(Event))
    # Before the transaction, because this reads all that wait.
    unnumbered = events.unnumbered().filter(occurred_at__lt=now - FAN_OUT_TIME)
    late = list(unnumbered.values_list("pk", flat=True)[:BATCH])
    with transaction.atomic(using=events.db):
        if late:
            # The fan-out finds the event that is refused.
            with suppress(IntegrityError), transaction.atomic(using=events.db):
                numbers.number(late)
        ends = FeedEnds.objects.locked()
        if ends is None:
            return 0
        new = events.without_position().filter(sequence__isnull=False).select_for_update(skip_locked=True)
        keys = list(new.values_list("pk", flat=True)[:BATCH])
        if not keys:
            return 0
        # Positions may have gaps: one statement assigns them all, on every database.
        shift = ends.published + 1 - keys[0]
        events.filter(key_in(keys)).update(position=F("pk") + shift)
        ends.published = keys[-1] + shift
        ends.save(update_fields=["published"])
    return len(keys)


def publish_all(now: datetime, *, seconds: float) -> int:
    """Publish until no events are left or the time is over; return the number of published events."""
    total, end = 0, monotonic() + seconds
    while published := publish(now):
        total += published
        if published < BATCH or monotonic() >= end:
            break
    return total


def keep_up(now: datetime, *, seconds: float) -> int:
    """Publish new events, and log a warning where the feed is stuck; return the number of published events."""
    total = publish_all(now, seconds=seconds)
    late = Event.objects.without_position().filter(occurred_at__lt=now - LATE).first()
    if late is not None:
        logger.warning(
            "The catch-up feed is stuck: event %s of %s is not in it yet. A process that was suspended while it was "
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
    types: Collection[str] = (),
    events: QuerySet[Event] | None = None,
    among: Iterable[EventQuerySet] = (),
    limit: int = 100,
) -> Page:
    """Return up to ``limit`` events after a cursor that these organizations may see.

    ``after`` is the cursor of an earlier page, `LATEST` for the end of the feed, or empty for its beginning. ``types``
    are the names of event types; empty for all. ``events`` is the choice of events. The default is all except those for
    one webhook: in the feed of all they would look like a change. ``among`` are choices of few events, such as those of
    one object; a page has only events that are in each. Raises `CursorError` for a cursor that is malformed,
    another organization's, or too old.
    """
    start = begin(organizations, now=now, after=after)
    keys = start.organizations
    for_all = Event.objects.filter(webhook__isnull=True, subscription__isnull=True)
    chosen = (for_all if events is None else events).filter(
        *map(in_feed, among), position__gt=start.position, position__lte=start.end
    )
    if types:
        chosen = chosen.filter(type__in=sorted(types))
    listed: Any = keys if len(keys) <= MOST_LISTED else organizations.order_by().values("pk")
    # With both conditions in one query, a database reads the events of all organizations, or sorts all matching ones.
    conditions = [Q(organization__in=listed), Q(LEARNERS_ELSEWHERE, learner_organization__in=listed)]
    found = list(first_events(chosen.filter(of_its_side(listed)), conditions, limit + 1))
    has_more = len(found) > limit
    last = found[limit - 1].position if has_more else None
    return Page(found[:limit], cursor_at(last or start.end, start.owner), has_more)


def read_webhook(
    webhook: Webhook, *, now: datetime, after: str = "", among: Iterable[EventQuerySet] = (), limit: int = 100
) -> Page:
    """Return up to ``limit`` events of a webhook after a cursor, oldest first. Examines about `EXAMINED` events at most.

    It takes and returns the cursors of `read`, and the same ``among``, and raises the same `CursorError`. A page may be
    shorter than ``limit``, or empty, and have more after it.
    """
    model: Any = Event._meta.get_field("organization").related_model
    start = begin(model._base_manager.filter(pk=webhook.organization_id), now=now, after=after)
    organizations = webhook.scope.organizations(using=router.db_for_read(Event))
    conditions, narrow = conditions_of(webhook.scope, organizations), list(map(in_feed, among))
    position, examined, found, has_more = start.position, 0, list[Event](), True
    while has_more and len(found) < limit and examined < EXAMINED:
        published = Event.objects.filter(*narrow, position__gt=position, position__lte=start.end)
        rows = list(first_events(published, conditions, limit + 1))
        chunk, has_more = rows[:limit], len(rows) > limit
        matching = _matching(webhook, organizations, chunk)
        fitting = matching[: limit - len(found)]
        found += fitting
        examined += len(chunk)
        if len(fitting) < len(matching):
            has_more = True
            position = fitting[-1].position or 0
        else:
            position = (chunk[-1].position or 0) if has_more else start.end
    return Page(found, cursor_at(position, start.owner), has_more)


def _matching(webhook: Webhook, organizations: Collection[Any], events: Sequence[Event]) -> list[Event]:
    """Return which of these events match a subscription of the webhook, with its filters and its condition.

    ``organizations`` are those whose events it receives. A snapshot has applied the filters to the events that it made
    for one webhook.
    """
    matching: set[int] = set()
    keys: list[int] = []
    for event in events:
        if event.webhook_id == webhook.pk:
            matching.add(event.pk)
        elif (
            event.webhook_id is None
            and webhook.scope.includes(
                event.organizations, [webhook.organization_id] if event.is_copy else organizations
            )
            and not webhook.is_subject_of(event)
            and not webhook.skips(event)
        ):
            keys.append(event.pk)
    if keys:
        # Nothing is sent to a pull-only webhook: what its feed shows first is the first occurrence.
        claim = FirstOccurrence.objects.claim if webhook.pull_only else FirstOccurrence.objects.recorded
        with transaction.atomic(using=router.db_for_write(FirstOccurrence)):
            matching |= {*filtered.matching_events(webhook, keys, claim=claim)}
    return [event for event in events if event.pk in matching]


def begin(organizations: QuerySet[Model], *, now: datetime, after: str) -> Start:
    """Publish new events, and return where a page after the cursor ``after`` begins; raise as `read` does."""
    keys = list(organizations.order_by("pk").values_list("pk", flat=True)[: MOST_LISTED + 1])
    _publish_new_events(now)
    # Read the end before the events: all events up to it are committed.
    ends = FeedEnds.objects.current()
    position, owner = _position_of(after, organizations, keys, ends)
    return Start(position, ends.published, owner, keys)


def first_events(chosen: QuerySet[Event], conditions: Iterable[Q], limit: int) -> QuerySet[Event]:
    """Return the first ``limit`` of the events that meet one of the conditions, each of which is a query."""
    rows = (chosen.filter(condition).order_by("position")[:limit] for condition in conditions)
    positions = {position or 0 for found in rows for position in found.values_list("position", flat=True)}
    return Event.objects.filter(position__in=sorted(positions)[:limit]).order_by("position")


def current_cursor(organization_id: Any) -> str:
    """Return the cursor of the feed's current end for an organization. Every later change is in the feed after it."""
    return cursor_at(FeedEnds.objects.current().published, str(organization_id))


def _publish_new_events(now: datetime) -> None:
    """Publish new events before they are read; without it a reader waits up to a minute for the sweep."""
    using = router.db_for_write(Event)
    connection: Any = connections[using]
    in_transaction = connection.vendor == "mysql" and connection.in_atomic_block
    if in_transaction and str(connection.isolation_level) != "read committed":
        # The caller's transaction would fail if others have published since it began.
        return
    try:
        if Event.objects.using(using).without_position().exists():
            publish_all(now, seconds=READER_SECONDS)
    except OperationalError:
        # The database is busy, or read-only for this process.
        logger.warning("New events were not published by a reader of the feed; it sees them later.", exc_info=True)


def _position_of(after: str, organizations: QuerySet[Model], keys: list[Any], ends: FeedEnds) -> tuple[int, str]:
    """Return the position in a cursor, and the organization that the cursor is bound to."""
    own = str(keys[0]) if keys else ""
    if not after:
        return 0, own
    if after == LATEST:
        return ends.published, own
    try:
        position, owner = json.loads(decrypt(after + "=" * (-len(after) % 4)))
    except (SecretError, ValueError, TypeError):
        raise CursorError(
            "This is not a cursor; pass the cursor of the last page unchanged, or begin without one.", code="malformed"
        ) from None
    known = {str(key) for key in keys}
    if owner and owner not in known and not (len(keys) > MOST_LISTED and organizations.filter(pk=owner).exists()):
        raise CursorError("This cursor belongs to another organization; begin without one.", code="foreign")
    if position > ends.published:
        raise CursorError("This cursor is beyond the end of the feed; begin without one.", code="unknown")
    if position < ends.forgotten:
        raise CursorError(
            "This cursor is too old: some events after it are deleted. Begin without one, at the oldest event that is kept.",
            code="expired",
        )
    return position, owner or own


def cursor_at(position: int, owner: str) -> str:
    """Return the cursor after a position, bound to an organization, which is given by its key as text."""
    # Encrypted, because positions count the events of all organizations.
    return encrypt(json.dumps([position, owner])).rstrip("=")
