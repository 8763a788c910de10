"""The events in the form of a webhook: one row per event of the catalogue, grouped by noun."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from django.utils.datastructures import MultiValueDict
from django.utils.functional import cached_property
from django.utils.translation import gettext

from tms_webhooks.admin.forms.fields import read_json
from tms_webhooks.admin.forms.subscription import DAYS, SubscriptionRow
from tms_webhooks.catalogue import EventType, registry
from tms_webhooks.event_names import EVERYTHING
from tms_webhooks.models import Subscription, Webhook, limits
from tms_webhooks.models.subscription import duplicates

MAX_ROWS = 2_000
ANOTHER = "another"
OPEN = "open"
PACKED = "events"
"""The value in which the form's script sends all values of the rows, as JSON: a list of names and values."""


@dataclass
class EventGroup:
    """The events of one noun. ``wildcard`` is the row for all of them, such as ``class.*``."""

    title: str
    wildcard: SubscriptionRow | None = None
    rows: list[SubscriptionRow] = field(default_factory=list)

    @property
    def selected(self) -> int:
        """The number of selected rows; the page shows a group with one unfolded."""
        return sum(row.is_selected for row in (*self.rows, self.wildcard) if row is not None)


class EventRows:
    """The rows of the form: from the posted data, or from the stored subscriptions and the catalogue."""

    prefix = "events"

    def __init__(self, *, webhook: Webhook, data: MultiValueDict[str, Any] | None = None) -> None:
        self.data: Any = MultiValueDict() if data is None else unpacked(data)
        self.stored = list(webhook.subscriptions.order_by("pk")) if webhook.pk else []
        order = [*patterns()]
        rows = self._stored_rows() if data is None else self._posted_rows()
        self.rows = sorted(rows, key=lambda row: order.index(row.pattern) if row.pattern in order else len(order))

    # Reading

    def _posted_rows(self) -> Iterator[SubscriptionRow]:
        # Copies, because the rows change them.
        by_key = {stored.public_id: copy.copy(stored) for stored in self.stored}
        total = self._posted("TOTAL")
        end = min(int(total), MAX_ROWS) if total.isdecimal() and len(total) < 10 else 0
        # The script sends selected and stored rows only.
        used = [number for number in range(end) if f"{self.prefix}-{number}-event_type" in self.data]
        seen: set[str] = set()
        for number in used:
            pattern = self._posted(f"{number}-event_type")
            # Each stored subscription belongs to one row. One that another user has deleted is created again.
            stored = by_key.pop(self._posted(f"{number}-key"), None)
            instance = stored if stored is not None and stored.event_type == pattern else None
            is_repeated = pattern in seen
            seen.add(pattern)
            row = self._row(number, pattern, instance=instance, is_repeated=is_repeated, data=self.data)
            is_opened = str(number) in self._opened and not row.is_open
            yield self._opened_row(number, pattern, instance, is_repeated=is_repeated) if is_opened else row
        another = self._posted(ANOTHER)
        if another:
            yield self._opened_row(end, another, None, is_repeated=True)
        free = (number for number in itertools.count() if number not in {end, *used})
        for pattern in patterns():
            if pattern not in seen:
                yield self._row(next(free), pattern)

    def _posted(self, name: str) -> str:
        return str(self.data.get(f"{self.prefix}-{name}", ""))

    def _opened_row(self, number: int, pattern: str, instance: Any, *, is_repeated: bool) -> SubscriptionRow:
        """Return a selected row with the stored filters and the posted days."""
        row = self._row(number, pattern, instance=instance, is_repeated=is_repeated, is_open=True)
        row.initial["chosen"] = True
        row.initial.update({name: self.data[key] for name in DAYS if (key := row.add_prefix(name)) in self.data})
        return row

    def _stored_rows(self) -> Iterator[SubscriptionRow]:
        by_pattern: dict[str, list[Subscription | None]] = {pattern: [] for pattern in patterns()}
        for stored in self.stored:
            by_pattern.setdefault(stored.event_type, []).append(stored)
        numbers = itertools.count()
        for pattern, rows in by_pattern.items():
            for index, instance in enumerate(rows or [None]):
                yield self._row(next(numbers), pattern, instance=instance, is_repeated=index > 0)

    def opened(self, number: int, pattern: str, key: str) -> SubscriptionRow:
        """Return the row of one event with its filters; ``key`` is the public id of its stored subscription, or empty."""
        stored = next((one for one in self.stored if one.public_id == key and one.event_type == pattern), None)
        return self._row(number, pattern, instance=stored, is_open=True)

    def _row(self, number: int, pattern: str, *, instance: Any = None, **options: Any) -> SubscriptionRow:
        instance = instance or Subscription(event_type=pattern)
        return SubscriptionRow(instance=instance, prefix=f"{self.prefix}-{number}", pattern=pattern, **options)

    @property
    def _opened(self) -> Any:
        """The numbers of the rows whose filters the user asked for, instead of saving."""
        return self.data.getlist(f"{self.prefix}-{OPEN}")

    @property
    def is_incomplete(self) -> bool:
        """Whether the posted data lacks the number of rows: saving it would delete the rows that it lacks."""
        return not self._posted("TOTAL").isdecimal()

    @property
    def is_no_save(self) -> bool:
        """Whether the user asked for another row or for the filters of a row, instead of saving."""
        return bool(self._posted(ANOTHER) or self._opened)

    # Validation

    @property
    def selected(self) -> list[SubscriptionRow]:
        """The selected rows."""
        return [row for row in self.rows if row.is_selected]

    @property
    def wanted(self) -> list[Subscription]:
        """The subscriptions of the selected rows: as they are stored, unless the user changed the row."""
        stored = {one.pk: one for one in self.stored}
        return [
            row.instance if row.has_changed() else stored.get(row.instance.pk, row.instance) for row in self.selected
        ]

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
        return list(dict.fromkeys(event_type for row in self.selected for event_type in row.event_types))

    # Rendering

    @property
    def total(self) -> int:
        """The number of rows to read from the posted data."""
        return 1 + max((int(row.number) for row in self.rows), default=-1)

    @property
    def everything(self) -> list[SubscriptionRow]:
        """The rows for all training events."""
        return [row for row in self.rows if row.pattern == EVERYTHING]

    def groups(self) -> list[EventGroup]:
        """Return the rows grouped by noun, in catalogue order; rows without a noun come last."""
        groups = {noun: EventGroup(gettext(types[0].noun.title)) for noun, types in registry.grouped().items()}
        groups[""] = EventGroup(gettext("Other"))
        for row in self.rows:
            is_wildcard = row.pattern.endswith(".*")
            noun = row.event_types[0].noun.name if row.event_types else ""
            if is_wildcard and not row.is_repeated:
                groups[noun].wildcard = row
            elif row.pattern != EVERYTHING:
                groups[noun].rows.append(row)
        return [group for group in groups.values() if group.rows or group.wildcard]


def unpacked(data: MultiValueDict[str, Any]) -> MultiValueDict[str, Any]:
    """Return the posted data with the values of the rows that the form's script packs: Django limits the number of values."""
    found = data.copy()
    for pair in read_json(data.get(PACKED, ""), list):
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
