"""What moves with an object: the objects whose organizations are found through it, and those of a branch of the tree.

A user takes course assignments and enrollments along, and a class its roster. An organization that gets another parent takes
along what it and those below it own. A job is created in the transaction of the move. Each batch is one page of objects. Their
events and the place where the next batch begins are written in one transaction, so that an interrupted job continues there.

What moves with an object is one job for all webhooks. A branch is one job for each webhook that includes child organizations:
`tms_webhooks.snapshot` works on it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache, reduce
from operator import or_
from typing import Any, NamedTuple

from django.db import router, transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from tms_webhooks import event_names
from tms_webhooks.actors import actor_context
from tms_webhooks.choices import ActorKind, JobKind
from tms_webhooks.models import Event, Job, OwnerlessObject, SourceState, Webhook
from tms_webhooks.models.audience import descendants
from tms_webhooks.models.event import subject_key
from tms_webhooks.outbox.record import record_changes
from tms_webhooks.sources import states
from tms_webhooks.sources.base import LEARNER, Source
from tms_webhooks.sources.interest import organization_paths, types_of_any_webhook
from tms_webhooks.sources.mapping import OWNERS, Values
from tms_webhooks.sources.paths import RelatedList, field_at, follow
from tms_webhooks.sources.registry import all_sources, sources_of_noun
from tms_webhooks.sources.rows import database_of, lock, read_rows, rows_of
from tms_webhooks.sources.rules import Change, event_types_of

PAGE = 100
"""Objects that are read at a time, which is all that a job holds in memory."""

MOST = 10_000
"""Objects that a job examines. The message of one with more of them says so."""

Lineages = Mapping[Any, frozenset[Any]]
"""The keys of organizations, each with its own key and those above it."""


class Follower(NamedTuple):
    """A source whose objects belong to organizations through objects that can move.

    ``ways`` are the values that say so, each with the lookup of the object and the name of the value there.
    """

    source: Source
    ways: Sequence[tuple[str, str, str]]


def followers_of(moved: Source) -> list[Follower]:
    """Return the sources whose objects move with those of a source."""
    own = {lookup: name for name, lookup in _organization_lookups(moved).items()}
    found = []
    for source in all_sources():
        ways = [
            (name, "__".join(parts[:length]), own["__".join(parts[length:])])
            for name, lookup in _organization_lookups(source).items()
            for parts in [lookup.split("__")]
            for length in range(1, len(parts))
            if "__".join(parts[length:]) in own
            and follow(source.model, ".".join(parts[:length])) is moved.model._meta.concrete_model
        ]
        if ways and source.has_moves and "id" in moved.own:
            found.append(Follower(source, ways))
    return found


def types_that_follow(source: Source, updated: Collection[str] | None = None) -> tuple[str, ...]:
    """Return the types of the events of objects that move with those of a source.

    With ``updated``, the result is empty unless one of these fields says whose an object is.
    """
    if updated is not None:
        fields = [field_at(source.model, path.column) for path in organization_paths(source)]
        if {*updated}.isdisjoint(name for field in fields for name in (field.name, field.attname)):
            return ()
    names = (event_names.moves_of(one.source.noun.name) for one in followers_of(source))
    return tuple(sorted({name for pair in names for name in pair}))


def note_moves(
    source: Source, rows: Mapping[Any, tuple[Values | None, Values | None]], *, now: datetime, using: str
) -> None:
    """Create a job for the objects that move with these ones, if a subscription may match their events.

    ``rows`` are pairs of values before and after, by the key. What moves with an object is not hidden with it.
    """
    names, moved = _organization_lookups(source), dict[str, Values]()
    for before, after in states.with_values_behind_keys(source, rows, using=using).values():
        if before and after:
            old = {name: before[name] for name in names if name in before and before[name] != after[name]}
            moved |= {str(after.get("id")): old} if old else {}
    types = types_that_follow(source) if moved else ()
    if not types or not types_of_any_webhook(types, using=using):
        return
    Job.objects.create(
        kind=JobKind.MOVE,
        moved={"source": source.name, "objects": moved},
        nouns=sorted({name.rpartition(".")[0] for name in types}),
        requested_by=_named(source.noun.name, moved),
        created_at=now,
    )


def _named(noun: str, keys: Iterable[Any]) -> str:
    """Return what a job names as its requester: the first object that moved, and the number of the others."""
    first, *others = keys
    return f"{noun}:{first}{f' + {len(others)}' if others else ''}"[:100]


def note_branches(before: Lineages, after: Lineages, *, now: datetime, using: str) -> None:
    """Create a job for each webhook above that includes branches of the tree no longer, or from now on.

    ``before`` and ``after`` are the `ancestors` of the organizations that may have another parent.
    """
    moved = [key for key in before if before[key] != after[key]]
    above = {key for one in moved for key in before[one] ^ after[one]}
    webhooks = Webhook.objects.using(using).existing().filter(organization__in=above, include_children=True)
    for webhook in webhooks.order_by("pk").prefetch_related("subscriptions"):
        patterns = {one.event_type for one in webhook.subscriptions.all()}
        names = {name for pattern in patterns for name in event_names.matching(pattern) if event_names.is_move(name)}
        nouns = sorted(noun for noun in {name.rpartition(".")[0] for name in names} if sources_of_noun(noun))
        if not nouns:
            continue
        own = webhook.organization_id
        left = {key for key in moved if own in before[key] - after[key]}
        joined = {key for key in moved if own in after[key] - before[key]}
        branches = {
            # Without what came into such a branch by the same change.
            side: sorted(descendants(keys, using=using) - descendants({*moved} - keys, using=using))
            for side, keys in (("left", left), ("joined", joined))
        }
        Job.objects.create(
            kind=JobKind.MOVE,
            webhook=webhook,
            moved=branches,
            nouns=nouns,
            requested_by=_named("organization", sorted(left | joined)),
            created_at=now,
        )


@cache
def _organization_lookups(source: Source) -> Mapping[str, str]:
    """Return the lookups of the columns that say whose an object is, by the names of their values."""
    names, owners = sorted(states.organization_names(source)), source.owners
    found = {name: lookup for name in names if (lookup := source.lookup(name)) is not None}
    # Several owners move with the object that has the list. A change of the list itself moves nothing along.
    if owners is not None and isinstance(owners.lookup, RelatedList) and owners.lookup.base:
        found[OWNERS] = owners.path.replace(".", "__")
    return found


def work_on(job: Job, *, now: datetime) -> bool:
    """Do one batch of a job; return whether more batches follow. If two workers call it at the same time, one gets False."""
    moved = next((source for source in all_sources() if source.name == job.moved["source"]), None)
    followers = followers_of(moved) if moved is not None else []
    names = [one.source.name for one in followers]
    follower = next((one for one in followers if job.source in ("", one.source.name)), None)
    if moved is None or follower is None:
        job.finish(now=now)
        return False
    if fail_beyond_most(job, now=now):
        return False
    source, using = follower.source, database_of(follower.source)
    objects, key = job.moved["objects"], moved.own["id"].lookup
    # The objects that are found through those that moved.
    found = reduce(or_, (Q(**{f"{path}__{key}__in": list(objects)}) for _name, path, _own in follower.ways))
    rows = states.rows_after(source, rows_of(source).filter(found), job.key)
    page = list(rows[:PAGE].values_list("pk", flat=True))
    end = None if len(page) < PAGE else states.key_text(page[-1])
    with transaction.atomic(using=router.db_for_write(Job)), transaction.atomic(using=using):
        # The job's row first: it stays locked until the batch is committed with its count.
        if not job.advance_page(names, source.name, end=end, done=len(page)):
            return False
        with actor_context(ActorKind.SYSTEM):
            _record(follower, key, page, job, now=now, using=using)
    return True


def fail_beyond_most(job: Job, *, now: datetime) -> bool:
    """End a job that has emitted events of `MOST` objects and is not done; return whether it has."""
    if job.done < MOST:
        return False
    message = _("More than %(most)s objects move with it. Send a snapshot: it has the rest.")
    job.finish(now=now, error=message % {"most": f"{MOST:,}"})
    return True


def _record(follower: Follower, key: Any, page: Sequence[Any], job: Job, *, now: datetime, using: str) -> None:
    """Record the events of a page of objects, which are as they are now, but had the organizations of the objects that moved."""
    source, moved = follower.source, job.moved["objects"]
    rows = rows_of(source).filter(pk__in=page).order_by("pk")
    lock(rows)
    through = {
        pk: keys for pk, *keys in rows.values_list("pk", *(f"{path}__{key}" for _name, path, _own in follower.ways))
    }
    changes, read = [], read_rows(source, rows)
    for pk, raw in read:
        before = dict(raw)
        for (name, _path, own), one in zip(follower.ways, through.get(pk, ()), strict=False):
            if own in (old := moved.get(str(one), {})):
                owners = source.mapped[name].lookup
                before[name] = owners.to_python(old[own]) if isinstance(owners, RelatedList) else old[own]
        learner = (LEARNER,) if before.get(LEARNER) != raw.get(LEARNER) else ()
        changes.append(Change(source.canonical(before), source.canonical(raw), learner, now, using))
    ids = [one.values["id"] for one in changes]
    new = _new_objects(source, ids, since=job.created_at, using=using)
    changes = [one for one in changes if one.values["id"] not in new]
    record_changes(source, changes, moves_only=True)
    if source.reconcile:
        lines = [(states.state_text(source, raw), states.object_state(source, pk, raw), True) for pk, raw in read]
        SourceState.objects.record_all(source.name, lines, now=now, using=using)


def _new_objects(source: Source, ids: Collection[Any], *, since: datetime, using: str) -> set[Any]:
    """Return those of these ids whose objects are new since a move: their first event is recorded, or waits for an organization."""
    kept = OwnerlessObject.objects.using(using).filter(source=source.name, key__in=map(states.key_text, ids))
    events = Event.objects.using(using).filter(
        subject_type=source.noun.name,
        subject_id__in=map(subject_key, ids),
        occurred_at__gte=since,
        type__in={*event_types_of(source.rules)} - {source.expired_type},
        # Only the body says which ones are of new objects. It is the envelope's key: strings escape quotation marks.
        body__contains='"changed":[]',
    )
    keys, subjects = set(kept.values_list("key", flat=True)), set(events.values_list("subject_id", flat=True))
    return {one for one in ids if states.key_text(one) in keys or subject_key(one) in subjects}
