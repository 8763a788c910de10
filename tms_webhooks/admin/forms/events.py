"""The events in the form of a webhook: one row per event of the catalogue, grouped by noun."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.utils.functional import cached_property
from django.utils.translation import gettext

from tms_webhooks.admin.forms.subscription import SubscriptionRow
from tms_webhooks.catalogue import EventType, registry
from tms_webhooks.event_names import EVERYTHING
from tms_webhooks.models import Subscription, Webhook, limits
from tms_webhooks.models.subscription import duplicates

MAX_ROWS = 2_000
TOTAL = "TOTAL"
ANOTHER = "another"


@dataclass(slots=True)
class EventGroup:
    """The events of one noun. ``wildcard`` is the row for all of them, such as ``class.*``."""

    title: str
    wildcard: SubscriptionRow | None = None
    rows: list[SubscriptionRow] = field(default_factory=list)

    @property
    def count(self) -> int:
        """The number of selected rows."""
        return sum(row.is_selected for row in (*self.rows, *([self.wildcard] if self.wildcard else [])))

    @property
    def is_open(self) -> bool:
        """Whether the page shows the group unfolded."""
        return self.count > 0


@dataclass(slots=True)
class SavedSubscriptions:
    """The subscriptions that a save added, changed (as pairs of before and after) and deleted."""

    added: list[Subscription] = field(default_factory=list)
    changed: list[tuple[Subscription, Subscription]] = field(default_factory=list)
    deleted: list[Subscription] = field(default_factory=list)


class EventRows:
    """The rows of the form: from the posted data, or from the stored subscriptions and the catalogue."""

    prefix = "events"

    def __init__(self, *, webhook: Webhook, data: Mapping[str, Any] | None = None) -> None:
        self.data: Mapping[str, Any] = data or {}
        self.stored = list(webhook.subscriptions.order_by("pk")) if webhook.pk else []
        self.rows = list(self._stored_rows() if data is None else self._posted_rows())

    # Reading

    def _posted_rows(self) -> Iterator[SubscriptionRow]:
        # Copies, because the rows change them and `save` compares with the stored values.
        by_key = {one.public_id: copy.copy(one) for one in self.stored}
        seen: set[str] = set()
        for number in range(self._total()):
            prefix = f"{self.prefix}-{number}"
            if f"{prefix}-event_type" not in self.data:
                continue
            pattern = str(self.data[f"{prefix}-event_type"])
            key = str(self.data.get(f"{prefix}-key", ""))
            # Each stored subscription belongs to one row. One that another user has deleted is created again.
            stored = by_key.pop(key, None)
            instance = (
                stored if stored is not None and stored.event_type == pattern else Subscription(event_type=pattern)
            )
            yield SubscriptionRow(
                self.data, instance=instance, prefix=prefix, pattern=pattern, is_repeated=pattern in seen
            )
            seen.add(pattern)
        another = str(self.data.get(f"{self.prefix}-{ANOTHER}", ""))
        if another:
            row = self._row(self._total(), another, is_repeated=True)
            row.initial["chosen"] = True
            yield row

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

    def _row(
        self, number: int, pattern: str, *, instance: Subscription | None = None, is_repeated: bool = False
    ) -> SubscriptionRow:
        return SubscriptionRow(
            instance=instance or Subscription(event_type=pattern),
            prefix=f"{self.prefix}-{number}",
            pattern=pattern,
            is_repeated=is_repeated,
        )

    @property
    def is_incomplete(self) -> bool:
        """Whether the posted data lacks the number of rows: saving it would delete the rows that it lacks."""
        return not str(self.data.get(f"{self.prefix}-{TOTAL}", "")).isdecimal()

    @property
    def adds_row(self) -> bool:
        """Whether the user asked for another row instead of saving."""
        return bool(self.data.get(f"{self.prefix}-{ANOTHER}"))

    # Validation

    @property
    def selected(self) -> list[SubscriptionRow]:
        """The selected rows."""
        return [row for row in self.rows if row.is_selected]

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

    # Saving

    def save(self, webhook: Webhook) -> SavedSubscriptions:
        """Save the selected rows, keeping existing subscriptions, and delete all other subscriptions."""
        saved = SavedSubscriptions()
        kept = {row.instance.pk for row in self.selected}
        saved.deleted.extend(one for one in self.stored if one.pk not in kept)
        # First: the number of subscriptions is limited.
        webhook.subscriptions.filter(pk__in=[one.pk for one in saved.deleted]).delete()
        before = {one.pk: one for one in self.stored}
        for row in self.selected:
            subscription = row.instance
            if subscription._state.adding:
                subscription.webhook = webhook
                subscription.save()
                saved.added.append(subscription)
            elif row.has_changed():
                subscription.save()
                saved.changed.append((before[subscription.pk], subscription))
        return saved

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


def patterns() -> Iterator[str]:
    """Yield all patterns of the catalogue, by noun."""
    yield EVERYTHING
    for noun, event_types in registry.grouped().items():
        names = [event_type.name for event_type in event_types if event_type.offered]
        # The event names of a host's own noun need not begin with the noun.
        if any(name.startswith(f"{noun}.") for name in names):
            yield f"{noun}.*"
        yield from names
