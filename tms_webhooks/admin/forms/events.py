"""The events in the form of a webhook: one row per event of the catalogue, grouped by noun."""

from __future__ import annotations

import copy
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.utils.datastructures import MultiValueDict
from django.utils.functional import cached_property
from django.utils.translation import gettext

from tms_webhooks.admin.forms.subscription import DAYS, SubscriptionRow
from tms_webhooks.catalogue import EventType, registry
from tms_webhooks.event_names import EVERYTHING
from tms_webhooks.models import Subscription, Webhook, limits
from tms_webhooks.models.subscription import duplicates

MAX_ROWS = 2_000
TOTAL = "TOTAL"
ANOTHER = "another"
OPEN = "open"
PACKED = "events"
"""The value in which the form's script sends all values of the rows, as JSON: a list of names and values."""


@dataclass(slots=True)
class EventGroup:
    """The events of one noun. ``wildcard`` is the row for all of them, such as ``class.*``."""

    title: str
    wildcard: SubscriptionRow | None = None
    rows: list[SubscriptionRow] = field(default_factory=list)

    @property
    def selected(self) -> int:
        """The number of selected rows."""
        return sum(row.is_selected for row in (*self.rows, *([self.wildcard] if self.wildcard else [])))

    @property
    def is_open(self) -> bool:
        """Whether the page shows the group unfolded."""
        return self.selected > 0


class EventRows:
    """The rows of the form: from the posted data, or from the stored subscriptions and the catalogue."""

    prefix = "events"

    def __init__(self, *, webhook: Webhook, data: MultiValueDict[str, Any] | None = None) -> None:
        self.data: Any = MultiValueDict() if data is None else unpacked(data)
        self.stored = list(webhook.subscriptions.order_by("pk")) if webhook.pk else []
        order = {pattern: place for place, pattern in enumerate(patterns())}
        rows = self._stored_rows() if data is None else self._posted_rows()
        self.rows = sorted(rows, key=lambda row: order.get(row.pattern, len(order)))

    # Reading

    def _posted_rows(self) -> Iterator[SubscriptionRow]:
        # Copies, because the rows change them, and `merge` needs the stored values.
        by_key = {one.public_id: copy.copy(one) for one in self.stored}
        seen: set[str] = set()
        for number in range(self._total()):
            prefix = f"{self.prefix}-{number}"
            if not self._is_posted(number):
                continue
            pattern = str(self.data[f"{prefix}-event_type"])
            key = str(self.data.get(f"{prefix}-key", ""))
            # Each stored subscription belongs to one row. One that another user has deleted is created again.
            stored = by_key.pop(key, None)
            instance = (
                stored if stored is not None and stored.event_type == pattern else Subscription(event_type=pattern)
            )
            is_repeated = pattern in seen
            seen.add(pattern)
            row = SubscriptionRow(self.data, instance=instance, prefix=prefix, pattern=pattern, is_repeated=is_repeated)
            if str(number) in self._opened and not row.is_open:
                row = self._unfolded(
                    self._row(number, pattern, instance=instance, is_repeated=is_repeated, is_open=True)
                )
            yield row
        another = str(self.data.get(f"{self.prefix}-{ANOTHER}", ""))
        if another:
            yield self._unfolded(self._row(self._total(), another, is_repeated=True, is_open=True))
        # The script sends selected and stored rows only.
        used = {self._total(), *(number for number in range(self._total()) if self._is_posted(number))}
        free = (number for number in itertools.count() if number not in used)
        for pattern in patterns():
            if pattern not in seen:
                yield self._row(next(free), pattern)

    def _is_posted(self, number: int) -> bool:
        return f"{self.prefix}-{number}-event_type" in self.data

    def _unfolded(self, row: SubscriptionRow) -> SubscriptionRow:
        """Select a row that shows its filters instead of the posted data, and keep its days."""
        row.initial["chosen"] = True
        posted = {name: self.data.get(row.add_prefix(name)) for name in DAYS if row.add_prefix(name) in self.data}
        row.initial.update(posted)
        return row

    def _total(self) -> int:
        text = str(self.data.get(f"{self.prefix}-{TOTAL}", ""))
        return min(int(text), MAX_ROWS) if text.isdecimal() and len(text) < 10 else 0

    def _stored_rows(self) -> Iterator[SubscriptionRow]:
        by_pattern: dict[str, list[Subscription]] = {}
        for one in self.stored:
            by_pattern.setdefault(one.event_type, []).append(one)
        number = 0
        for pattern in dict.fromkeys([*patterns(), *by_pattern]):
            stored: Sequence[Subscription | None] = by_pattern.get(pattern) or [None]
            for index, instance in enumerate(stored):
                yield self._row(number, pattern, instance=instance, is_repeated=index > 0)
                number += 1

    def merge(self, seen: Mapping[str, str], current: Mapping[str, str]) -> bool:
        """Keep the subscriptions that other users added, changed or deleted; return whether this user edited one of these, too.

        ``seen`` and ``current`` are fingerprints of the subscriptions by public id: those that the page showed, and those
        that are stored. A row that was not opened was not edited.
        """
        posted = {str(self.data.get(row.add_prefix("key"), "")): row for row in self.rows if row.is_bound}
        conflicts = False
        for key in seen.keys() | current.keys():
            if seen.get(key) == current.get(key):
                continue
            row = posted.get(key)
            if key not in seen:
                stored = next(one for one in self.stored if one.public_id == key)
                self._insert(self._row(self.total, stored.event_type, instance=stored, is_repeated=True))
            elif row is None or not row.is_selected:
                conflicts |= key in current
            elif row.is_open:
                conflicts = True
            elif key not in current:
                self.rows[self.rows.index(row)] = self._row(int(row.number), row.pattern, is_repeated=row.is_repeated)
        return conflicts

    def _insert(self, row: SubscriptionRow) -> None:
        """Add a row after the others of its event, in the place of one that is not selected."""
        same = [one for one in self.rows if one.pattern == row.pattern]
        place = self.rows.index(same[-1]) + 1 if same else len(self.rows)
        if same and not same[-1].is_selected:
            place -= 1
            self.rows.remove(same[-1])
        self.rows.insert(place, row)

    def opened(self, number: int, pattern: str, key: str) -> SubscriptionRow:
        """Return the row of one event with its filters; ``key`` is the public id of its stored subscription, or empty."""
        stored = next((one for one in self.stored if one.public_id == key and one.event_type == pattern), None)
        return self._row(number, pattern, instance=stored, is_open=True)

    def _row(
        self,
        number: int,
        pattern: str,
        *,
        instance: Subscription | None = None,
        is_repeated: bool = False,
        is_open: bool = False,
    ) -> SubscriptionRow:
        return SubscriptionRow(
            instance=instance or Subscription(event_type=pattern),
            prefix=f"{self.prefix}-{number}",
            pattern=pattern,
            is_repeated=is_repeated,
            is_open=is_open,
        )

    @property
    def _opened(self) -> list[str]:
        """The numbers of the rows whose filters the user asked for, instead of saving."""
        numbers: list[str] = self.data.getlist(f"{self.prefix}-{OPEN}")
        return numbers

    @property
    def is_incomplete(self) -> bool:
        """Whether the posted data lacks the number of rows: saving it would delete the rows that it lacks."""
        return not str(self.data.get(f"{self.prefix}-{TOTAL}", "")).isdecimal()

    @property
    def is_no_save(self) -> bool:
        """Whether the user asked for another row or for the filters of a row, instead of saving."""
        return bool(self.data.get(f"{self.prefix}-{ANOTHER}") or self._opened)

    # Validation

    @property
    def selected(self) -> list[SubscriptionRow]:
        """The selected rows."""
        return [row for row in self.rows if row.is_selected]

    @property
    def wanted(self) -> list[Subscription]:
        """The subscriptions of the selected rows: as they are stored, unless the user changed the row."""
        stored = {one.pk: one for one in self.stored}
        rows = [(row.instance, row.has_changed()) for row in self.selected]
        return [one if changed else stored.get(one.pk, one) for one, changed in rows]

    @cached_property
    def problems(self) -> int:
        """The number of rows with errors, duplicates included."""
        bound = [row for row in self.selected if row.is_bound]
        invalid = sum(not row.is_valid() for row in bound)
        if invalid:
            return invalid
        repeated = duplicates(row.instance for row in bound)
        for index, error in repeated.items():
            bound[index].add_error(None, error)
        return len(repeated)

    def refuse_beyond_limit(self) -> None:
        """Raise `LimitReached` if more rows are selected than a webhook may have subscriptions."""
        present = len(self.stored)
        limits.refuse_subscriptions(present, adding=len(self.selected) - present)

    def event_types(self) -> list[EventType]:
        """Return the event types of the selected rows, without repeats."""
        found = [event_type for row in self.selected for event_type in row.event_types]
        return list(dict.fromkeys(found))

    # Rendering

    @property
    def total(self) -> int:
        """The number of rows to read from the posted data."""
        return 1 + max((int(row.prefix.rpartition("-")[2]) for row in self.rows if row.prefix), default=-1)

    @property
    def everything(self) -> list[SubscriptionRow]:
        """The rows for all training events."""
        return [row for row in self.rows if row.pattern == EVERYTHING]

    def groups(self) -> list[EventGroup]:
        """Return the rows grouped by noun, in catalogue order; rows without a noun come last."""
        groups = {noun: EventGroup(gettext(types[0].noun.title)) for noun, types in registry.grouped().items()}
        nouns = {event_type.name: event_type.noun.name for event_type in registry.all_types()}
        other = EventGroup(gettext("Other"))
        for row in self.rows:
            if row.pattern == EVERYTHING:
                continue
            noun = row.pattern.removesuffix(".*") if row.pattern.endswith(".*") else nouns.get(row.pattern, "")
            group = groups.get(noun, other)
            if row.pattern == f"{noun}.*" and not row.is_repeated:
                group.wildcard = row
            else:
                group.rows.append(row)
        return [group for group in (*groups.values(), other) if group.rows or group.wildcard]


def unpacked(data: MultiValueDict[str, Any]) -> MultiValueDict[str, Any]:
    """Return the posted data with the values of the rows that the form's script packs: Django limits the number of values."""
    try:
        pairs = json.loads(data.get(PACKED) or "[]")
    except (ValueError, RecursionError):
        pairs = []
    found = data.copy()
    for pair in pairs if isinstance(pairs, list) else []:
        if isinstance(pair, list) and len(pair) == 2 and all(isinstance(part, str) for part in pair):
            found.appendlist(*pair)
    return found


def patterns() -> Iterator[str]:
    """Yield all patterns of the catalogue, by noun."""
    yield EVERYTHING
    for noun, event_types in registry.grouped().items():
        names = [event_type.name for event_type in event_types if event_type.offered]
        # The event names of a host's own noun need not begin with the noun.
        if any(name.startswith(f"{noun}.") for name in names):
            yield f"{noun}.*"
        yield from names
