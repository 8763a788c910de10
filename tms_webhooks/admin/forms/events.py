"""The events in the form of a webhook: a check box for each event of the catalogue, grouped by noun."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from django.utils.translation import gettext, pgettext

from tms_webhooks.admin.forms.subscription import described
from tms_webhooks.catalogue import EventType, registry
from tms_webhooks.event_names import EVERYTHING, title_of
from tms_webhooks.models import Subscription


@dataclass(slots=True)
class EventRow:
    """One event or pattern in the form: whether it is selected, and its stored subscriptions with their filters in words."""

    pattern: str
    is_selected: bool
    stored: list[Subscription] = field(default_factory=list)

    @property
    def subscriptions(self) -> list[tuple[Subscription, list[tuple[Any, str]]]]:
        """The stored subscriptions, each with its filters in words."""
        return [(one, described(one)) for one in self.stored]

    @property
    def event_types(self) -> list[EventType]:
        """The event types that it stands for."""
        return [*registry.expand(self.pattern)]

    @property
    def label(self) -> str:
        """The name of the event: "Guaranteed to run"."""
        if self.pattern == EVERYTHING:
            return gettext("All training events")
        if self.pattern.endswith(".*"):
            return gettext("All events of this group")
        noun = next((event_type.noun.name for event_type in self.event_types), "")
        return pgettext("event", title_of(self.pattern, noun=noun))

    @property
    def summary(self) -> str:
        """One sentence about the event."""
        if self.pattern.endswith("*"):
            return gettext("Includes events that are added later.")
        return gettext(self.event_types[0].summary) if self.event_types else gettext("This event no longer exists.")


@dataclass(slots=True)
class EventGroup:
    """The events of one noun. That for all of them, such as ``class.*``, comes first."""

    title: str
    rows: list[EventRow] = field(default_factory=list)

    @property
    def selected(self) -> int:
        """The number of selected rows; the page shows a group with one unfolded."""
        return sum(row.is_selected for row in self.rows)


def groups_of(stored: Iterable[Subscription], selected: Iterable[str]) -> list[EventGroup]:
    """Return the rows of the form in catalogue order: all events first, and events that no longer exist last."""
    chosen = set(selected)
    rows = {pattern: EventRow(pattern, pattern in chosen) for pattern in patterns()}
    for one in stored:
        rows.setdefault(one.event_type, EventRow(one.event_type, one.event_type in chosen)).stored.append(one)
    groups = {EVERYTHING: EventGroup("")}
    groups |= {noun: EventGroup(gettext(types[0].noun.title)) for noun, types in registry.grouped().items()}
    groups[""] = EventGroup(gettext("Other"))
    for row in rows.values():
        noun = row.event_types[0].noun.name if row.event_types else ""
        groups[EVERYTHING if row.pattern == EVERYTHING else noun].rows.append(row)
    return [group for group in groups.values() if group.rows]


def patterns() -> Iterator[str]:
    """Yield all patterns of the catalogue, by noun."""
    yield EVERYTHING
    for noun, event_types in registry.grouped().items():
        names = [event_type.name for event_type in event_types if event_type.offered]
        # The event names of a host's own noun need not begin with the noun.
        if any(name.startswith(f"{noun}.") for name in names):
            yield f"{noun}.*"
        yield from names
