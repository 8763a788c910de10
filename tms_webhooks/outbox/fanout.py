"""Fans out new events: chooses a batch of them, and creates their deliveries to the webhooks that subscribe to them."""

from __future__ import annotations

import logging
import re
import threading
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import nullcontext, suppress
from datetime import datetime, timedelta
from itertools import chain, takewhile, zip_longest
from time import monotonic
from traceback import format_tb
from typing import Any, NamedTuple

from django.db import DataError, IntegrityError
from django.db import Error as DatabaseFailure

from tms_webhooks import catalogue, event_names, sharing
from tms_webhooks.choices import Audience
from tms_webhooks.db.django_private import insert_ignoring_conflicts
from tms_webhooks.db.sql import brief_write, database, filled, has_one_writer, moment, others_write, read, write
from tms_webhooks.exceptions import WebhooksError
from tms_webhooks.models import Event, FanOutFailure, Webhook
from tms_webhooks.models.audience import LEARNER, OWNER, Relation, parent_column
from tms_webhooks.models.event import MOST_TRIES
from tms_webhooks.models.public_ids import uid_of
from tms_webhooks.outbox import fanout_sql, numbers, quiet
from tms_webhooks.outbox.fanout_sql import WITHOUT_EXISTING, EventBatch, Insertion, NewEvent
from tms_webhooks.outbox.wake import waker
from tms_webhooks.payloads.envelope import from_text
from tms_webhooks.routing import filtered
from tms_webhooks.routing.budget import BudgetedMatcher, TurnResult
from tms_webhooks.routing.filtered import Pair, Verdict
from tms_webhooks.sources.registry import shared_nouns

# Events in a batch. While a batch is written to SQLite, all other writers wait, and look again after 1, 3, 8 and 18 ms.
# Where there are any, a batch takes some 3 ms.
BATCH = 400
BATCH_WITH_OTHER_WRITERS = 64
# About as many deliveries are in a batch on a database with one writer, for the same reason.
DELIVERIES_OF_ONE_WRITER = 2_000
DELIVERIES_WITH_OTHER_WRITERS = 128
# Organizations in a batch, where more events wait than it has.
ORGANIZATIONS = 50
# How many times its share of a batch is read for each of them.
SHARES = 4
# Seconds between two checks of an event type's payloads against its schema.
SCHEMA_CHECK_INTERVAL = 10.0
# Seconds that a batch takes at most to be fanned out apart, because the drain sends nothing until then.
APART_SECONDS = 0.5
# In the message of a database: our tables, with their columns, and constraints.
OWN_NAMES = re.compile(r"\btms_[\w.]+")

logger = logging.getLogger(__name__)

# By event type, the `monotonic` time of its next schema check.
_next_schema_check: dict[str, float] = {}


class _Rotation(threading.local):
    """Whose turn it is, for each drain."""

    last_organization: Any = None
    """The last organization of the batch before: the next batch begins with the one after it."""

    def __init__(self) -> None:
        self.matcher = BudgetedMatcher()
        # The deliveries of each event in the batch before; at first an assumption.
        self.deliveries_per_event = 10.0

    def batch_size(self) -> int:
        """Return how many events the next batch has; two organizations get a turn however many deliveries there are."""
        is_brief = others_write()
        size = BATCH_WITH_OTHER_WRITERS if is_brief else BATCH
        if not has_one_writer():
            return size
        most = DELIVERIES_WITH_OTHER_WRITERS if is_brief else DELIVERIES_OF_ONE_WRITER
        return min(size, max(2, int(most / max(self.deliveries_per_event, 1.0))))


_rotation = _Rotation()


def fan_out(now: datetime, *, limit: int | None = None) -> int:
    """Create the deliveries of up to ``limit`` new events, or of one batch; return the number of those events.

    Organizations take turns: however many events of one wait, and however slow its conditions are, the others don't
    wait for all of that. Of each organization the oldest events come first. An event that takes longer than the budget
    for matching is finished in a later batch; a batch of only such events counts as one. Ordered deliveries stay in
    order: the worker's claim queries see to that. Events that other organizations may see are copied for them first. Events and deliveries change in one transaction, and one worker at a
    time fans out, so each event gets its number and its deliveries once.

    If an error stops a batch, its halves are fanned out alone, and their halves: only the events that fail alone wait. After
    `MOST_TRIES` tries, such an event is set aside until a user has it tried again. An outage of the database is raised, and counts as no try.
    """
    events = _next_events(limit or _rotation.batch_size(), now)
    return _fan_out_apart(events, now, monotonic() + APART_SECONDS) if events else 0


def _fan_out_apart(events: Sequence[NewEvent], now: datetime, end: float) -> int:
    """Fan these events out together or, if that fails, apart; return their number without those that fail alone.

    After the `monotonic` time ``end``, the rest is left to the next batch, and counts as one.
    """
    try:
        return _fan_out_together(events, now)
    except Exception as raised:
        if isinstance(raised, DatabaseFailure) and not isinstance(raised, IntegrityError | DataError):
            raise
        error = raised
    if middle := len(events) // 2:
        done = _fan_out_apart(events[:middle], now, end)
        return done + (_fan_out_apart(events[middle:], now, end) if monotonic() < end else 1)
    _count_try(events[0].id, error, now)
    return 0


def _count_try(key: int, error: Exception, now: datetime) -> None:
    """Count a try of an event, and log it without the values that the error's message may quote."""
    # Later events of its object need its number before theirs.
    with suppress(IntegrityError, DataError), brief_write():
        numbers.number([key])
    # PostgreSQL quotes the values on further lines.
    names = OWN_NAMES.findall(str(error).partition("\n")[0]) if isinstance(error, DatabaseFailure) else ()
    reason = ": ".join(filter(None, (type(error).__name__, ", ".join(names))))
    with brief_write():
        tries = FanOutFailure.objects.count_try(key, reason, now=now)
    if tries:
        frames = "".join(format_tb(error.__traceback__))
        logger.error("Event %s can't be fanned out, try %d of %d: %s\n%s", key, tries, MOST_TRIES, reason, frames)


def _fan_out_together(events: Sequence[NewEvent], now: datetime) -> int:
    """Fan these events out; return the number of those that are done, or 1 if the next batch finishes them."""
    plan = FanOutPlan.of_today()
    matched = plan.match(events) if plan.has_filters else TurnResult()
    unfinished = set(matched.unfinished)
    if shared := [event.id for event in events if event.type.partition(".")[0] in shared_nouns]:
        has_more, others = sharing.share(shared)
        unfinished |= others
        if has_more:
            waker.wake()
    served = dict.fromkeys(event.organization_id for event in takewhile(lambda one: one.id != matched.end, events))
    # The next batch begins after the last organization that got its turn.
    _rotation.last_organization = next(reversed(served), _rotation.last_organization)
    batch = _batch(event for event in events if event.id not in unfinished)
    written = _write(batch, plan, matched.verdicts, now=now) if batch.events else 0
    return written or min(len(unfinished), 1)


def _write(batch: EventBatch, plan: FanOutPlan, verdicts: Mapping[Pair, Verdict], *, now: datetime) -> int:
    """Number these events and insert their deliveries in one transaction; return the number of events.

    What another worker has locked is left out, and all while another worker fans out. An event that is lost with its
    deliveries is fanned out again: the commit need not wait for the disk.
    """
    keys = [event.id for event in batch.events]
    waiting_types = {name for name in {event.type for event in batch.events} if plan.quiet and plan.may_wait(name)}
    deliveries = None
    if database().vendor == "postgresql" and batch.is_of_one_type and plan.is_plain and not waiting_types:
        # One statement does all, and is a transaction of its own.
        deliveries = plan.insertion(batch, OWNER, wanted=batch.by_name(unfiltered=False), now=now)
    with brief_write() if deliveries is None else nullcontext():
        numbered = numbers.number(keys, fanned_out_at=now, deliveries=deliveries)
        # Events without a body have no deliveries.
        if sum(numbered.values()) < len(keys):
            batch = EventBatch((event for event in batch.events if numbered.get(event.id)), batch.not_for)
        if batch.events and deliveries is None:
            matching = plan.insert_deliveries(batch, verdicts, now=now)
            if may_wait := {event.id for event in batch.events if event.type in waiting_types}:
                quiet.hold(may_wait, matching, now=now)
    _check_schemas(batch)
    return len(numbered)


class FanOutPlan(NamedTuple):
    """The features of webhooks and subscriptions in use, which decide the statements that a fan-out takes."""

    delays: Collection[int]
    """The delays of first attempts, in seconds."""
    relations: Sequence[Relation | None]
    """From an event's organizations to webhooks; None is the relation to webhooks of parent organizations."""
    has_filters: bool
    """Whether a subscription takes only some of the events of its types."""
    quiet: Mapping[str, bool]
    """The patterns of subscriptions with a quiet period, each with whether a webhook of it is ordered."""

    @property
    def is_plain(self) -> bool:
        """Whether each webhook gets the events of its own organization to whose types it subscribes."""
        return not self.has_filters and len(self.relations) == 1

    @classmethod
    def of_today(cls) -> FanOutPlan:
        """Query the webhooks and their subscriptions."""
        rows = read(fanout_sql.EXTRAS, repeated=True)
        columns = list(zip(*sorted(rows), strict=True)) or [()] * 6
        delays, audiences, children, filters, patterns, ordered = columns
        relations: list[Relation | None] = [OWNER]
        if {*audiences} - {Audience.OWNER.value}:
            relations.append(LEARNER)
        if any(children) and parent_column() is not None:
            relations.append(None)
        quiet_patterns = dict(zip(patterns, ordered, strict=True))
        quiet_patterns.pop("", None)
        # MariaDB returns decimals.
        return cls({int(delay) for delay in delays if delay}, relations, any(filters), quiet_patterns)

    def may_wait(self, event_type: str) -> bool:
        """Return whether events of this type may wait for a quiet period, or end the wait of another event.

        On an ordered webhook, any event does.
        """
        is_quiet = not self.quiet.keys().isdisjoint(event_names.patterns_for(event_type))
        return any(self.quiet.values()) or (is_quiet and event_names.may_be_merged(event_type))

    def match(self, events: Sequence[NewEvent]) -> TurnResult:
        """Evaluate the filters for these events, in their order and within the budgets. Call it before the transaction."""
        position, batch = {event.id: number for number, event in enumerate(events)}, _batch(events)
        candidates = {one for relation in self.relations for one in fanout_sql.filter_candidates(batch, relation)}
        return _rotation.matcher.match(
            sorted(candidates, key=lambda one: (position[one.event_id], one.subscription_id))
        )

    def insert_deliveries(self, batch: EventBatch, verdicts: Mapping[Pair, Verdict], *, now: datetime) -> set[Pair]:
        """Insert the deliveries of these events; return the events and filtered subscriptions that match."""
        # Read again, because a subscription may have got its filters since the events were matched.
        candidates = {
            relation: fanout_sql.filter_candidates(batch, relation) if self.has_filters else []
            for relation in self.relations
        }
        # All are decided together, in their order.
        pairs = {(one.event_id, one.subscription_id) for rows in candidates.values() for one in rows}
        matching = filtered.matching(pairs, known=verdicts) if pairs else set()
        inserted = 0
        for relation, rows in candidates.items():
            chosen = fanout_sql.in_pairs(
                {(one.event_id, one.webhook_id) for one in rows if (one.event_id, one.subscription_id) in matching}
            )
            for wanted in filter(None, (chosen, batch.by_name(unfiltered=self.has_filters))):
                parts, params = self.insertion(batch, relation, wanted=wanted, now=now)
                # The text is another for each number of types.
                inserted += write(fanout_sql.INSERT_DELIVERIES, params, repeated=batch.is_of_one_type, **parts)
        if has_one_writer():
            _rotation.deliveries_per_event = inserted / len(batch.events)
        return matching

    def insertion(self, batch: EventBatch, relation: Relation | None, *, wanted: str, now: datetime) -> Insertion:
        """Return the insertion of deliveries to webhooks of one relation that fulfill the condition ``wanted``.

        A webhook whose delay changes at this moment has none.
        """
        insert, suffix = insert_ignoring_conflicts(database())
        after = {f"after{delay}": moment(now + timedelta(seconds=delay)) for delay in self.delays}
        cases = " ".join(f"WHEN w.delay_seconds = {delay} THEN %(after{delay})s" for delay in self.delays)
        # One of several statements may find deliveries of another one. They stay.
        excludes = not self.is_plain and database().vendor == "mysql"
        existing = {name: filled(part) if excludes else "" for name, part in WITHOUT_EXISTING.items()}
        parts = {"insert": insert, "suffix": suffix, "wanted": wanted, "delays": cases, **existing}
        return Insertion({**parts, **batch.parts(relation)}, {**batch.params, **after, "now": moment(now)})


def _next_events(limit: int, now: datetime) -> list[NewEvent]:
    """Return the events of the next batch: the oldest of each organization, then the second oldest of each, and so on."""
    last, most = _rotation.last_organization, min(limit, ORGANIZATIONS)
    events, has_more = fanout_sql.waiting_events(limit, now)
    if has_more:
        organizations = fanout_sql.waiting_organizations(last, most=most)
        if len(organizations) < most and last is not None:
            # Those whose turn it is come first.
            organizations += fanout_sql.waiting_organizations(None, most=most)
            organizations = list(dict.fromkeys(organizations))[:most]
        # More than the share of each: some leave theirs to others.
        share = min(limit, SHARES * limit // (len(organizations) + 1))
        events = fanout_sql.waiting_of_organizations(organizations, limit=share, now=now)
    by_organization: dict[Any, list[NewEvent]] = defaultdict(list)
    for event in events:
        by_organization[event.organization_id].append(event)
    # An event of no organization comes first.
    organizations = sorted(
        by_organization, key=lambda key: () if key is None else (last is not None and key <= last, key)
    )
    rounds = zip_longest(*(by_organization[key] for key in organizations))
    return list(filter(None, chain(*rounds)))[:limit]


def _batch(events: Iterable[NewEvent]) -> EventBatch:
    """Return these events as a batch. Left out are the webhooks that operational ones are about, and those on the other
    side of a move.
    """
    events = list(events)
    # A host may emit operational events about webhooks of its own.
    uids = {
        event.id: uid
        for event in events
        if event_names.is_operational(event.type) and (uid := uid_of(event.subject_id, Webhook.PUBLIC_PREFIX))
    }
    keys = dict(Webhook.objects.filter(uid__in=set(uids.values())).values_list("uid", "pk")) if uids else {}
    not_for = [(event_id, keys[uid]) for event_id, uid in uids.items() if uid in keys]
    if moved := [event.id for event in events if event.other_organization_id is not None]:
        not_for += Event.objects.not_for(moved)
    return EventBatch(events, not_for)


def _check_schemas(batch: EventBatch) -> None:
    """Log payloads that break their schema, with one event of each type per interval. They are sent anyway."""
    for event_type, pk in {event.type: event.id for event in reversed(batch.events)}.items():
        if monotonic() < _next_schema_check.get(event_type, 0.0):
            continue
        _next_schema_check[event_type] = monotonic() + SCHEMA_CHECK_INTERVAL
        event = Event.objects.filter(pk=pk).first()
        try:
            catalogue.get(event_type).validate(from_text(event.body if event else "{}"))
        except (WebhooksError, ValueError) as error:
            logger.error("Event %s breaks the schema of its type and is sent anyway: %s", pk, error)
