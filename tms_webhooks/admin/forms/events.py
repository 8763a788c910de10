"""The events of a webhook in its form: every event there is, by noun, each with its row."""

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
from tms_webhooks.models import Subscription, Webhook

MOST_ROWS = 2_000
TOTAL = "TOTAL"
ANOTHER = "another"


@dataclass(slots=True)
class Group:
    """The events of one noun. ``whole`` is the row that means all of them."""

    title: str
    whole: SubscriptionRow | None = None
    rows: list[SubscriptionRow] = field(default_factory=list)

    @property
    def chosen(self) -> int:
        """How many are chosen."""
        return sum(row.is_chosen for row in (*self.rows, *([self.whole] if self.whole else [])))

    @property
    def is_open(self) -> bool:
        """Whether there is something to see: a choice."""
        return self.chosen > 0


@dataclass(slots=True)
class Saved:
    """What became of the subscriptions; those that changed with how they were before."""

    added: list[Subscription] = field(default_factory=list)
    changed: list[tuple[Subscription, Subscription]] = field(default_factory=list)
    deleted: list[Subscription] = field(default_factory=list)


class EventRows:
    """The rows: from what was posted, or from what a webhook asks for and what else there is."""

    prefix = "events"

    def __init__(self, *, webhook: Webhook, data: Mapping[str, Any] | None = None) -> None:
        self.data: Mapping[str, Any] = data or {}
        self.known = list(webhook.subscriptions.order_by("pk")) if webhook.pk else []
        self.rows = list(self._stored() if data is None else self._posted())

    # Reading

    def _posted(self) -> Iterator[SubscriptionRow]:
        # The forms change these; what was stored is asked for later.
        by_key = {one.pk: copy.copy(one) for one in self.known}
        seen: set[str] = set()
        for number in range(self._total()):
            prefix = f"{self.prefix}-{number}"
            if f"{prefix}-event_type" not in self.data:
                continue
            pattern = str(self.data[f"{prefix}-event_type"])
            key = str(self.data.get(f"{prefix}-key", ""))
            # Each stored one for one row only. One that somebody else deleted in the meantime is made again.
            stored = by_key.pop(int(key), None) if key.isdecimal() and len(key) < 19 else None
            instance = (
                stored if stored is not None and stored.event_type == pattern else Subscription(event_type=pattern)
            )
            yield SubscriptionRow(self.data, instance=instance, prefix=prefix, pattern=pattern, again=pattern in seen)
            seen.add(pattern)
        another = str(self.data.get(f"{self.prefix}-{ANOTHER}", ""))
        if another:
            row = self._row(self._total(), another, again=True)
            row.initial["chosen"] = True
            yield row

    def _total(self) -> int:
        text = str(self.data.get(f"{self.prefix}-{TOTAL}", ""))
        return min(int(text), MOST_ROWS) if text.isdecimal() and len(text) < 10 else 0

    def _stored(self) -> Iterator[SubscriptionRow]:
        by_pattern: dict[str, list[Subscription]] = {}
        for one in self.known:
            by_pattern.setdefault(one.event_type, []).append(one)
        number = 0
        for pattern in dict.fromkeys([*patterns(), *by_pattern]):
            stored: Sequence[Subscription | None] = by_pattern.get(pattern) or [None]
            for place, instance in enumerate(stored):
                yield self._row(number, pattern, instance=instance, again=place > 0)
                number += 1

    def _row(
        self, number: int, pattern: str, *, instance: Subscription | None = None, again: bool = False
    ) -> SubscriptionRow:
        return SubscriptionRow(
            instance=instance or Subscription(event_type=pattern),
            prefix=f"{self.prefix}-{number}",
            pattern=pattern,
            again=again,
        )

    @property
    def is_broken(self) -> bool:
        """Whether what was posted is no form of this page: saving it would remove what it does not name."""
        return not str(self.data.get(f"{self.prefix}-{TOTAL}", "")).isdecimal()

    @property
    def is_paused(self) -> bool:
        """Whether somebody asked for one more row, and not to save."""
        return bool(self.data.get(f"{self.prefix}-{ANOTHER}"))

    # Judging

    @property
    def chosen(self) -> list[SubscriptionRow]:
        """The rows that are checked."""
        return [row for row in self.rows if row.is_chosen]

    @cached_property
    def problems(self) -> int:
        """How many rows have to be corrected."""
        return sum(not row.is_valid() for row in self.chosen if row.is_bound)

    def event_types(self) -> list[EventType]:
        """Return the events that are chosen, each once."""
        found = [event_type for row in self.chosen for event_type in row.event_types]
        return list(dict.fromkeys(found))

    # Writing

    def save(self, webhook: Webhook) -> Saved:
        """Write what is chosen, keeping the rows that stay, and delete the rest."""
        saved = Saved()
        before = {one.pk: one for one in self.known}
        for row in self.chosen:
            subscription = row.instance
            if subscription._state.adding:
                subscription.webhook = webhook
                subscription.save()
                saved.added.append(subscription)
                continue
            stored = before.pop(subscription.pk)
            if row.has_changed():
                subscription.save()
                saved.changed.append((stored, subscription))
        saved.deleted.extend(before.values())
        webhook.subscriptions.filter(pk__in=[one.pk for one in saved.deleted]).delete()
        return saved

    # Showing

    @property
    def total(self) -> int:
        """How many rows to look for in what is posted."""
        return 1 + max((int(row.prefix.rpartition("-")[2]) for row in self.rows if row.prefix), default=-1)

    @property
    def everything(self) -> list[SubscriptionRow]:
        """The rows that mean all of training."""
        return [row for row in self.rows if row.pattern == EVERYTHING]

    def groups(self) -> list[Group]:
        """Return the rows by noun, in the catalogue's order, and then those of no noun."""
        groups = {noun: Group(gettext(types[0].noun.title)) for noun, types in registry.grouped().items()}
        nouns = {event_type.name: event_type.noun.name for event_type in registry.all_types()}
        other = Group(gettext("Other"))
        for row in self.rows:
            if row.pattern == EVERYTHING:
                continue
            noun = row.pattern.removesuffix(".*") if row.pattern.endswith(".*") else nouns.get(row.pattern, "")
            group = groups.get(noun, other)
            if row.pattern == f"{noun}.*" and not row.again:
                group.whole = row
            else:
                group.rows.append(row)
        return [group for group in (*groups.values(), other) if group.rows or group.whole]


def patterns() -> Iterator[str]:
    """Yield every pattern that can be chosen, by noun."""
    yield EVERYTHING
    for noun, event_types in registry.grouped().items():
        names = [event_type.name for event_type in event_types]
        # The names of a noun's events need not begin with it, as those of a host's own.
        if any(name.startswith(f"{noun}.") for name in names):
            yield f"{noun}.*"
        yield from names
