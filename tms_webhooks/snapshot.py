"""The nouns of a snapshot, and its work in batches. `tms_webhooks.manage.jobs` starts it.

A branch of the tree of organizations that moves is emitted in the same way, as a job of `tms_webhooks.moves`.

Each batch is one page of objects: its events, their deliveries and the place where the next batch begins are written in
one transaction. An interrupted job continues there. The deliveries have the priority of replays, and at most
SNAPSHOT_BACKLOG of them are unfinished, so that a slow receiver does not fill the tables.
"""

from __future__ import annotations

import difflib
import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence, Set
from datetime import datetime, timedelta
from functools import partial, reduce
from itertools import chain, islice
from operator import or_
from time import sleep
from typing import Any, NamedTuple

from django.db import router, transaction
from django.utils.translation import gettext as _

from tms_webhooks import catalogue, event_names, moves, sharing
from tms_webhooks.actors import actor_context
from tms_webhooks.catalogue.event_type import EventType
from tms_webhooks.choices import ActorKind, DeliveryStatus, JobKind, Priority
from tms_webhooks.conf import strict_payloads
from tms_webhooks.delivery import replay
from tms_webhooks.digests import bucket_of, digest_of
from tms_webhooks.exceptions import ReplayError
from tms_webhooks.filters.paths import suggested
from tms_webhooks.models import Delivery, DrainSlot, Event, EventSequence, Job, PeriodicRun, Subscription, Webhook
from tms_webhooks.models.audience import RELATIONS, EventOrganizations
from tms_webhooks.models.delivery import UNSUCCESSFUL
from tms_webhooks.models.event import OUTSIDE_THE_FEED, owned_key, subject_key
from tms_webhooks.models.job import ALL_READ
from tms_webhooks.models.organization import organization_key
from tms_webhooks.outbox import owners
from tms_webhooks.outbox.event_row import event_row, insertion_of, organizations_of, set_sequence
from tms_webhooks.outbox.record import wake_on_commit
from tms_webhooks.payloads.envelope import FIRST_SEQUENCE, build_content, from_text, nested_json
from tms_webhooks.routing.subscription_rules import present_checks, values_of
from tms_webhooks.sources import states
from tms_webhooks.sources.base import Source
from tms_webhooks.sources.mapping import organization_value
from tms_webhooks.sources.objects import rows_with
from tms_webhooks.sources.registry import sources_of_noun
from tms_webhooks.sources.rows import Rows, at_keys, database_of, in_organizations, read_rows, rows_of
from tms_webhooks.sources.rules import Change

ALL = "all"
"""In place of names: each noun that a snapshot of the webhook can have."""


def subscriptions_to(webhook: Webhook, names: Set[str]) -> list[Subscription]:
    """Return the webhook's subscriptions to at least one event type with one of these names."""
    rows = webhook.subscriptions.order_by("pk")
    return [one for one in rows if not names.isdisjoint(event_names.matching(one.event_type))]


def available(webhook: Webhook) -> list[str]:
    """Return the nouns that a snapshot of a webhook can have, in the order of the catalogue."""
    nouns = {one.noun.name for row in webhook.subscriptions.all() for one in catalogue.expand(row.event_type)}
    return [noun for noun in catalogue.grouped() if noun in nouns and sources_of_noun(noun)]


def checked(webhook: Webhook, nouns: Iterable[str]) -> list[str]:
    """Return these nouns without duplicates; raise `ReplayError` for one that a snapshot of the webhook can't have.

    `ALL` alone stands for all that it can have; it is refused where that is none.
    """
    possible, chosen = available(webhook), list(dict.fromkeys(nouns))
    if chosen == [ALL] and possible:
        return possible
    noun = next((noun for noun in chosen or [ALL] if noun not in possible), None)
    if noun is None:
        return chosen
    code, suggestion = "not_subscribed", ""
    if not possible:
        message = _("nouns: webhook %(key)s subscribes to no events of objects that a snapshot can send.")
    elif sources_of_noun(noun):
        message = _(
            'nouns: webhook %(key)s has no subscription to events of "%(noun)s"; add one, such as %(noun)s.*, or leave '
            "it out. This webhook can have: %(nouns)s."
        )
    else:
        code, suggestion = "unknown", suggested(difflib.get_close_matches(noun, possible, n=1))
        message = _('nouns: objects of "%(noun)s" can\'t be sent as a snapshot. This webhook can have: %(nouns)s.')
    values = {"noun": noun, "key": webhook.public_id, "nouns": ", ".join(possible)}
    raise ReplayError(message % values + suggestion, field="nouns", code=code)


PAGE = 100
"""Objects that are read at a time, which is all that a job holds in memory."""

KEYS = 900
"""Rows of which the ids of objects alone are read at a time. Old versions of SQLite take 999 parameters in a statement."""

MOST_KEYS = 50_000
"""Rows that are examined for one page of objects that are chosen by their ids."""

MOST_IDS = 500
"""Ids of the objects that alone one snapshot sends, where a program or a page names them."""

MOST_EXAMINED = 10_000
"""Rows whose objects `SourceReader.count` finds and filters. It takes those beyond to have as many.

Objects that are chosen by their ids are found among all rows.
"""


class ObjectPage(NamedTuple):
    """The events of one page of objects.

    ``skipped`` is the number of objects whose payload could not be built. ``end`` is the key, as text, of the last object;
    None if no object follows.
    """

    events: list[Event]
    skipped: int
    end: str | None


class Selection(NamedTuple):
    """The objects of a noun with these ids as text, or those in these of so many buckets; with neither, all of them."""

    ids: Collection[str] = ()
    buckets: Collection[int] = ()
    of: int = 1

    def __bool__(self) -> bool:
        return bool(self.ids or self.buckets)

    def includes(self, text: str) -> bool:
        """Return whether the object with this id is one of them."""
        if self.buckets:
            return bucket_of(text, self.of) in self.buckets
        return not self.ids or text in self.ids

    @property
    def stored(self) -> dict[str, Any]:
        """The values for `Job.selection`."""
        if self.buckets:
            return {"buckets": sorted(self.buckets), "of": self.of}
        return {"ids": sorted(self.ids)} if self.ids else {}


EVERYTHING = Selection()


class ObjectDigest(NamedTuple):
    """The id of an object as text, the customer's own id, and the digest of the object as the webhook gets it."""

    id: str
    external_id: str | None
    digest: str


FAILED = object()
"""In place of an object from which no event or digest can be made."""


class SourceReader:
    """Reads the objects of one source that a webhook receives: by its organization and audience, and by its filters.

    A row may have several objects, or none. They are in one page.
    """

    def __init__(self, webhook: Webhook, source: Source, selection: Selection = EVERYTHING) -> None:
        self._selection, self._source, self._using = selection, source, database_of(source)
        self._objects = owners.ObjectScope(webhook.scope)
        self._webhook, self._shown = webhook, sharing.shown_to(source, self._objects.organizations)
        # Whether each of its rows is one object that is chosen.
        self._has_each_row = "id" in source.mapped and not selection
        types = {event_type.name for event_type in catalogue.grouped().get(source.noun.name, ())}
        self._emit(event_names.snapshot_of(source.noun.name), subscriptions_to(webhook, types))
        self._read_of(self._objects.organizations, webhook.audience)

    def _emit(self, name: str, subscriptions: Iterable[Subscription]) -> None:
        """Make events of this type for the objects that pass the filters of one of these subscriptions."""
        self._event_type = catalogue.get(name)
        self._checks = [present_checks(one, self._event_type) for one in subscriptions]
        self._takes_all = not all(self._checks)

    def _read_of(self, organizations: Collection[Any], audience: str) -> None:
        """Read the objects of these organizations, as far as SQL can find them."""
        self._organizations = organizations
        relations = [one for one in RELATIONS if one.closed_to != audience]
        self._scope = in_organizations(self._source, dict.fromkeys(relations, organizations))
        if self._scope is not None:
            self._scope = reduce(or_, self._shown.values(), self._scope)

    def count(self) -> int:
        """Return the number of objects that the webhook receives; see `MOST_EXAMINED`."""
        rows, takes_all = self._rows().count(), self._scope is not None and self._takes_all
        if takes_all and self._has_each_row:
            return rows
        examined = dict(islice(self.ids(), None if self._selection.ids else MOST_EXAMINED))
        chosen = [key for key, texts in examined.items() if texts]
        found = sum(map(len, examined.values())) if takes_all else sum(1 for _one in self.digests(chosen))
        # Others may have been added since they were counted.
        return found * max(rows, len(examined)) // (len(examined) or 1)

    def read(self, after: str, *, now: datetime, pause: float = 0.0) -> ObjectPage:
        """Return the events of the next objects after this key, oldest key first, with their sequence numbers.

        After each object, it waits for ``pause`` seconds.

        The numbers are read first, and then the objects. So a change that is committed between the two is in the
        object, and its own event has a higher number than the snapshot. The receiver then gets the same state twice. In
        the other order, the snapshot could have the number of a change that it lacks, and a receiver would return to
        the old state.
        """
        found, end = self.next_keys(after, limit=PAGE)
        numbers = self._numbers([subject_key(text) for text in chain.from_iterable(found.values())])
        events, skipped = [], 0
        with actor_context(ActorKind.SYSTEM):
            for event in self._each([*found], partial(self._event, now=now)):
                # The drain may be a thread of this process, and would wait 5 ms for Python's lock at each statement.
                sleep(pause)
                if event is FAILED or (event and event.error):
                    skipped += 1
                elif event:
                    # A copy has the greater of both numbers, see `EventSequenceManager.catch_up`.
                    set_sequence(event, max(numbers.get(one, 0) for one in (event.sequence_key, event.subject_id)))
                    events.append(event)
        return ObjectPage(events, skipped, end)

    def ids(self, after: str = "", *, together: int = KEYS) -> Iterator[tuple[Any, list[str]]]:
        """Yield the keys of the rows after this one, in their order, each with the ids of its chosen objects as text.

        Filters do not apply. ``together`` is the number of rows that are read at a time, and of each what its ids need alone.
        """
        while True:
            rows = states.rows_after(self._source, self._rows(), after)[:together]
            found = read_rows(self._source, rows, names=self._source._identifying)
            texts: dict[Any, list[str]] = {key: [] for key, _raw in found}
            for key, raw in self._source._objects_of(found, using=self._using):
                if self._selection.includes(text := str(raw["id"])):
                    texts[key].append(text)
            yield from texts.items()
            if len(found) < together:
                return
            after = states.key_text(found[-1][0])

    def next_keys(self, after: str, *, limit: int) -> tuple[dict[Any, list[str]], str | None]:
        """Return the keys of the next rows with chosen objects, at most ``limit``, each with the ids of these as text.

        The other value is the last key examined; None at the end.
        """
        chosen: dict[Any, list[str]] = {}
        found = self.ids(after, together=limit if self._has_each_row else KEYS)
        for examined, (key, texts) in enumerate(found, 1):
            if texts:
                chosen[key] = texts
            if len(chosen) == limit or examined == MOST_KEYS:
                return chosen, states.key_text(key)
        return chosen, None

    def digests(self, keys: Sequence[Any]) -> Iterator[ObjectDigest]:
        """Yield the digests of those of the objects with these keys that the webhook receives; `PAGE` objects are read at a time."""
        for start in range(0, len(keys), PAGE):
            yield from (
                one for one in self._each(keys[start : start + PAGE], self._digest) if one and one is not FAILED
            )

    def _each(self, keys: Sequence[Any], make: Callable[..., Any]) -> Iterator[Any]:
        """Yield the values that ``make`` returns for the objects with these keys; `FAILED` for one that it fails for.

        It gets the type and the canonical values of an event of the object. It also gets the names of the fields that a copy has;
        none for an object of the webhook's organizations. For an object that the webhook does not receive, it yields None.
        """
        rows = at_keys(self._source.model, keys, using=self._using)
        shown = sharing.seen_among(rows, self._shown)
        for key, raw in self._source._objects_of(read_rows(self._source, rows), using=self._using):
            if not self._selection.includes(str(raw["id"])):
                continue
            try:
                found = self._typed(raw)
                seen = shown.get(key, ()) if found is None else ()
                if seen:
                    found = self._event_type, owners.values_by_owner(self._source, raw)[0]
                made = None if found is None else make(*found, seen=seen)
            except Exception:
                if strict_payloads():
                    raise
                logger.exception("A snapshot leaves out %s %s.", self._source.model._meta.label, key)
                made = FAILED
            yield made

    def _digest(
        self, event_type: EventType, values: Mapping[str, Any], *, seen: Collection[str]
    ) -> ObjectDigest | None:
        """Return the digest of an object, or None if its filters don't match."""
        data = nested_json(event_type.fields, values)
        data = sharing.part_of(data, self._source, seen) if seen else data
        if not self._takes_all and not self._is_met({"data": data}, values, seen):
            return None
        external_id = data.get("external_id")
        digest = digest_of(self._source.noun.name, data, self._webhook.payload)
        return ObjectDigest(str(data["id"]), None if external_id is None else str(external_id), digest)

    def _numbers(self, subjects: Collection[str]) -> dict[str, int]:
        """Return the numbers of the last events of these objects, by the keys by which they are numbered."""
        if self._source.owners is not None:
            keys = {owned_key(subject, one) for subject in subjects for one in self._organizations}
        else:
            # Those of copies, too: another organization may own the object.
            keys = {*subjects, *(owned_key(subject, self._webhook.organization_id) for subject in subjects)}
        return EventSequence.objects.current(self._source.noun.name, keys, using=self._using)

    def _rows(self) -> Rows:
        rows, ids = rows_of(self._source), self._selection.ids
        # Those of a few objects are found without reading all.
        found = rows_with(self._source, rows, ids) if ids else None
        rows = rows if found is None else found
        return rows if self._scope is None else rows.filter(self._scope)

    def _event(
        self, event_type: EventType, values: Mapping[str, Any], *, seen: Collection[str], now: datetime
    ) -> Event | None:
        """Return the event of an object, or None if its filters don't match."""
        content = build_content(Change(before={}, after=values, changed=(), now=now, using=self._using), event_type)
        event = event_row(
            event_type,
            lambda: content,
            values,
            subject_id=values["id"],
            occurred_at=now,
            strict=strict_payloads(),
            source=self._source,
        )
        if seen and not event.error:
            event = sharing.copy_of(event, from_text(event.body), self._webhook.organization, self._source, seen)
        if event.error or self._takes_all or event_type.is_removal:
            return event
        return event if self._is_met(from_text(event.body), values, seen) else None

    def _typed(self, raw: Mapping[str, Any]) -> tuple[EventType, Mapping[str, Any]] | None:
        """Return the type of the event of an object, and its canonical values; None if the webhook receives none."""
        values = self._objects.canonical(self._source, raw)
        return None if values is None else (self._event_type, values)

    def _is_met(self, body: Mapping[str, Any], values: Mapping[str, Any], seen: Collection[str]) -> bool:
        """Return whether an event with this body, about an object with these canonical values or a copy, passes the filters."""
        own = self._webhook.organization_id
        organizations = EventOrganizations(own, own) if seen else organizations_of(values)
        if organizations is None:
            return False
        found = values_of(body, organizations)
        return any(all(check.condition.holds(found) for check in checks) for checks in self._checks)


class BranchReader(SourceReader):
    """Reads the objects of organizations that a webhook no longer includes, or includes from now on.

    They ``left`` with a branch of the tree, or ``joined`` with one. The tree decides, as it is now: a branch that has
    returned has no events.
    """

    def __init__(self, webhook: Webhook, source: Source, *, left: Collection[Any], joined: Collection[Any]) -> None:
        super().__init__(webhook, source)
        self._shown = {}
        removed, added = event_names.moves_of(source.noun.name)
        self._removal = catalogue.get(removed) if subscriptions_to(webhook, {removed}) else None
        self._emit(added, subscriptions_to(webhook, {added}))
        before = {*self._objects.organizations, *left} - {*joined}
        self._objects_before = owners.ObjectScope(webhook.scope, before)
        self._read_of({*left, *joined}, webhook.audience)

    def _typed(self, raw: Mapping[str, Any]) -> tuple[EventType, Mapping[str, Any]] | None:
        before, now = (one.canonical(self._source, raw) for one in (self._objects_before, self._objects))
        if before is not None and now is None and self._removal is not None:
            return self._removal, before
        return (self._event_type, now) if before is None and now is not None else None


SNAPSHOT_BACKLOG = 2_000
"""Unfinished deliveries of a snapshot, or of other replays of its webhook, at which it waits."""

CONTINUED_AFTER = timedelta(seconds=2)
"""After which a task continues a job that waits for its deliveries."""

PAUSE_NEXT_TO_LIVE = 0.01
"""Seconds after each object of a snapshot while other events happen: their deliveries would wait for the work."""

POLL_SECONDS = 0.05
"""For which `wait` waits."""

CONTINUATION = "tms_webhooks.snapshot.continuation"
"""The name under which a continuation is recorded, so that several workers do not each enqueue one."""

logger = logging.getLogger(__name__)


def count_objects(webhook: Webhook, nouns: Iterable[str], selection: Selection = EVERYTHING) -> int:
    """Return the number of objects that a snapshot of these nouns would send.

    Beyond the first `MOST_EXAMINED` rows of a source, it is estimated if objects are in buckets, filtered or computed.
    """
    return sum(SourceReader(webhook, source, selection).count() for noun in nouns for source in sources_of_noun(noun))


def work_on(job: Job, *, now: datetime) -> bool:
    """Do one batch of a job; return whether another one can follow immediately.

    It can't if the job is finished, or if it waits for its deliveries. If two workers call it at the same time, one gets False.
    """
    webhook = Webhook.objects.select_related("organization").get(pk=job.webhook_id or 0)
    refusal, is_move = replay.refusal_of(JobKind.SNAPSHOT, webhook), job.kind == JobKind.MOVE
    if refusal or (is_move and job.source == ALL_READ):
        job.finish(now=now, error=refusal)
    elif job.source == ALL_READ:
        _complete(job, webhook, now=now)
    elif not (is_move and moves.fail_beyond_most(job, now=now)) and not _must_wait(job, webhook):
        return _write_page(job, webhook, now=now)
    return False


def wait(job: Job, *, now: datetime) -> bool:
    """Wait a moment for the deliveries of a job, if a drain makes them; return whether the job can continue then."""
    if job.finished_at or not (DrainSlot.objects.held(now).exists() and _is_sent(job.webhook, now)):
        return False
    sleep(POLL_SECONDS)
    job.refresh_from_db()
    return True


def next_run(now: datetime) -> datetime | None:
    """Return when a snapshot that waits for its deliveries should be continued; None if the regular runs suffice.

    They do if no snapshot is unfinished, or if its receiver is down or slow. Of several workers, one gets the time.
    """
    # Of webhooks: also a branch of the tree that moves.
    jobs = Job.objects.unfinished().filter(kind__in=(JobKind.SNAPSHOT, JobKind.MOVE), webhook__isnull=False)
    if not any(_is_sent(job.webhook, now) for job in jobs.select_related("webhook__state")):
        return None
    if not PeriodicRun.objects.claim(CONTINUATION, now=now, unless_since=now - CONTINUED_AFTER / 2):
        return None
    return now + CONTINUED_AFTER


def _is_sent(webhook: Webhook | None, now: datetime) -> bool:
    """Return whether deliveries of a snapshot are being made, or all have been."""
    if webhook is None or not webhook.is_awake(now):
        return False
    waited_for = Delivery.objects.filter(webhook=webhook, priority=Priority.REPLAY).open()
    # None may be left: the last one can have been delivered since the job looked. Others are retries that are due later.
    return waited_for.filter(status=DeliveryStatus.PENDING).exists() or not waited_for.exists()


def _must_wait(job: Job, webhook: Webhook) -> bool:
    """Return whether a job waits for deliveries, or for an earlier move: the events of an object are in the order of moves."""
    earlier = Job.objects.unfinished().filter(kind=JobKind.MOVE, webhook=webhook, pk__lt=job.pk)
    # By the index ``tms_delivery_claim``.
    unfinished = Delivery.objects.filter(webhook=webhook, priority=Priority.REPLAY).open().order_by()
    return (job.kind == JobKind.MOVE and earlier.exists()) or (
        unfinished[:SNAPSHOT_BACKLOG].count() >= SNAPSHOT_BACKLOG
    )


def _write_page(job: Job, webhook: Webhook, *, now: datetime) -> bool:
    """Write the events of the next page, their deliveries and the place after it.

    Return False if another worker did, or if the job has failed because its source is gone.
    """
    using = router.db_for_write(Job)
    sources = {source.name: source for noun in job.nouns for source in sources_of_noun(noun)}
    source = sources.get(job.source or next(iter(sources), ""))
    if source is None:
        job.finish(now=now, error=_("The source %(name)s no longer exists. Start another one.") % {"name": job.source})
        return False
    if job.kind == JobKind.MOVE:
        branches = {side: [*map(organization_key, keys)] for side, keys in job.moved.items()}
        reader: SourceReader = BranchReader(webhook, source, **branches)
    else:
        # As `Selection.stored` wrote it.
        reader = SourceReader(webhook, source, Selection(**job.selection))
    # By the index ``tms_event_by_age``.
    live = Event.objects.filter(occurred_at__gt=now - timedelta(seconds=1), snapshot_job=0).order_by()
    page = reader.read(job.key, now=now, pause=PAUSE_NEXT_TO_LIVE if live.exists() else 0.0)
    # Before the transaction, which is short then. A batch that another worker has written is refused below.
    for event in page.events:
        _make_for(event, job, webhook, now=now)
    insert_events = insertion_of(page.events, using=using)
    with transaction.atomic(using=using):
        # The job's row first: it stays locked until the batch is committed with its count.
        if not job.advance_page([*sources], source.name, end=page.end, done=len(page.events), skipped=page.skipped):
            return False
        if page.events:
            insert_events()
            _create_deliveries(webhook, page.events, now=now, using=using, job=job.pk)
    return True


def _make_for(event: Event, job: Job, webhook: Webhook, *, now: datetime) -> None:
    event.webhook_id = webhook.pk
    event.snapshot_job = job.pk
    event.fanned_out_at = now
    if not webhook.pull_only:
        event.position = OUTSIDE_THE_FEED


def _create_deliveries(
    webhook: Webhook, events: Sequence[Event], *, now: datetime, using: str, job: int | None = None
) -> None:
    if webhook.pull_only:
        return
    Delivery.objects.using(using).bulk_create(
        Delivery(
            event_id=event.pk,
            webhook=webhook,
            priority=Priority.REPLAY,
            job=job,
            order_key=event.subject_key if webhook.ordered else None,
            due_at=now,
            created_at=now,
        )
        for event in events
    )
    wake_on_commit(using)


def _complete(job: Job, webhook: Webhook, *, now: datetime) -> None:
    """Send the last event and finish the job, once all its deliveries are finished."""
    deliveries = Delivery.objects.filter(webhook=webhook, event__webhook=webhook, event__snapshot_job=job.pk)
    # By the index ``tms_delivery_claim``: none is a live one, and the live ones may be many.
    if deliveries.open().filter(priority__in=(Priority.REPLAY, Priority.MANUAL)).exists():
        return
    failed = deliveries.filter(status__in=UNSUCCESSFUL).count()
    using = router.db_for_write(Job)
    with transaction.atomic(using=using):
        if not job.advance(position=job.position + 1, done=0):
            return
        event = _completed_event(job, webhook, failed=failed, now=now)
        _make_for(event, job, webhook, now=now)
        # As each event of a snapshot, it has the number of the object's last event.
        numbers = EventSequence.objects.current(event.subject_type, [event.subject_id], using=using)
        set_sequence(event, max([FIRST_SEQUENCE, *numbers.values()]))
        insertion_of([event], using=using)()
        _create_deliveries(webhook, [event], now=now, using=using)
        job.finish(now=now)
    logger.info("snapshot job=%s webhook=%s objects=%s skipped=%s", job.pk, webhook.pk, job.done, job.skipped)


def _completed_event(job: Job, webhook: Webhook, *, failed: int, now: datetime) -> Event:
    details: Mapping[str, Any] = {
        "job_id": job.public_id,
        "nouns": ",".join(job.nouns),
        "objects": job.done,
        "failed": failed,
        "cursor": job.cursor,
    }
    data = {"id": webhook.public_id, "name": webhook.name}
    values = {
        "organization.id": webhook.organization_id,
        "organization.external_id": organization_value(webhook.organization, "external_id"),
    }
    with actor_context(ActorKind.SYSTEM):
        return event_row(
            catalogue.get(event_names.SNAPSHOT_COMPLETED),
            lambda: {"data": data, "details": details, "changed": [], "previous": {}},
            values,
            subject_id=webhook.public_id,
            occurred_at=now,
            strict=True,
        )
