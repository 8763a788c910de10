"""Objects that are changed many at a time: as they were before, and what is told of them after."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from django.utils import timezone

from tms_webhooks.models import Event
from tms_webhooks.outbox import told_states
from tms_webhooks.outbox.batch import anybody_wants, record_changes
from tms_webhooks.outbox.capture import Watched, saves_under_way
from tms_webhooks.outbox.record import NeverBreaking
from tms_webhooks.outbox.transactions import has_outbox
from tms_webhooks.sources.base import Source
from tms_webhooks.sources.changes import diff
from tms_webhooks.sources.querysets import CHUNK, Rows
from tms_webhooks.sources.row_sets import at_keys
from tms_webhooks.sources.rules import Change
from tms_webhooks.sources.snapshots import locked, read_rows

Known = Mapping[str, Any]


class Observed:
    """The objects of one source that an operation is about, from before it to after it.

    ``also`` names what the operation changes, where that stands beside their own rows.
    """

    def __init__(self, source: Source, *, using: str, also: Collection[str] = ()) -> None:
        self.source = source
        self.using = using
        self.also = also
        self.before: dict[Any, dict[str, Any]] = {}
        self.under_way: dict[Any, Watched] = {}
        self.failed = False

    def read(self, keys: Sequence[Any]) -> None:
        """Read and lock what the database holds of them."""
        self.failed = True
        with NeverBreaking(self.source):
            for chunk in chunks(keys, CHUNK):
                self.under_way.update(saves_under_way(self.source, set(chunk), using=self.using))
                names = self.also or self.source.own
                self.before.update(read_rows(self.source, locked(self._rows(chunk)), names=names))
            self.failed = False

    def tell(self, keys: Sequence[Any]) -> None:
        """Record what happened to these objects since; those that were not read before are new."""
        for chunk in chunks(keys if not self.failed else [], CHUNK):
            with NeverBreaking(self.source):
                found = dict(read_rows(self.source, self._rows(chunk)))
                # In the order in which a host gave what is new.
                after = {key: found[key] for key in chunk if key in found} | found
                states = {key: (self._as_before(key, raw), raw) for key, raw in after.items()}
                changed = {key: pair for key, pair in states.items() if _differ(*pair)}
                told = self._record(changed)
                told_states.keep_all(self.source, changed, using=self.using, beside=bool(self.also))
                for key in self.under_way.keys() & told.keys():
                    self.under_way[key].note(told[key], after[key])

    def tell_end(self, keys: Sequence[Any]) -> None:
        """Record that they go, while they are still there."""
        with NeverBreaking(self.source):
            saves_under_way(self.source, set(keys), using=self.using)
            self._record({key: (raw, None) for key, raw in read_rows(self.source, self._rows(keys))})
            told_states.forget(self.source, keys, using=self.using)

    def _as_before(self, key: Any, after: Known) -> Known | None:
        """Return what an object was: what the operation does not change is told by whatever changed it meanwhile."""
        before = self.before.get(key)
        if before is None or not self.also:
            return before
        return {**{name: after[name] for name in self.source.own}, **before}

    def _rows(self, keys: Sequence[Any]) -> Rows:
        return at_keys(self.source.model, keys, using=self.using)

    def _record(self, states: Mapping[Any, tuple[Known | None, Known | None]]) -> dict[Any, list[Event]]:
        now = timezone.now()
        changes: dict[Any, Change] = {}
        for key, (before, after) in states.items():
            with NeverBreaking(self.source):
                changes[key] = diff(self.source, before=before, after=after, now=now, using=self.using)
        told = record_changes(self.source, list(changes.values()), using=self.using)
        return dict(zip(changes, told, strict=True))


def _differ(before: Known | None, after: Known) -> bool:
    """Say whether a closer look is needed: most of what an update leaves as it is needs none."""
    return before is None or any(after[name] != value for name, value in before.items())


def listening(sources: Iterable[Source], *, using: str, deletions: bool = False) -> list[Source]:
    """Return those of these sources that tell something which anybody wants, asked in one query for all.

    Those that are reconciled take note of what nobody wants, too.
    """
    asked: dict[Source, Collection[str]] = {}
    for source in sources if has_outbox(using) else ():
        with NeverBreaking(source):
            event_types = source.deletion_types if deletions else source.event_types
            if event_types and source.own:
                asked[source] = event_types
    if not asked:
        return []
    wanted = anybody_wants({name for names in asked.values() for name in names}, using=using)
    return [source for source, names in asked.items() if source.reconcile or not wanted.isdisjoint(names)]


def chunks(keys: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    return (keys[start : start + size] for start in range(0, len(keys), size))
