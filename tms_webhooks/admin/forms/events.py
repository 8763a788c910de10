"""The events in the form of a webhook: a check box for each one, by noun, and a line for each selected one."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext, pgettext

from tms_webhooks.catalogue import EventType, registry
from tms_webhooks.event_names import EVERYTHING, title_of


@dataclass(slots=True)
class EventRow:
    """One event or pattern in the form, and whether it is selected; or one of its subscriptions.

    ``prefix`` is that of the fields of a subscription: its public id, or the event of a new one, such as ``class.*`` or
    ``class.*+2``. It has filters in words, or their form if it is opened.
    """

    pattern: str
    is_selected: bool = True
    prefix: str = ""
    subscription: Any = None
    form: Any = None
    filters: Any = ()

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


def groups_of(names: Iterable[str], selected: Collection[str]) -> dict[str, list[EventRow]]:
    """Return the rows of these events by the titles of their nouns; that of all events has none."""
    groups: dict[str, list[EventRow]] = {}
    for row in (EventRow(name, name in selected) for name in names):
        title = gettext(row.event_types[0].noun.title) if row.event_types else gettext("Other")
        groups.setdefault("" if row.pattern == EVERYTHING else title, []).append(row)
    return groups


def patterns() -> Iterator[str]:
    """Yield all patterns of the catalogue, by noun."""
    yield EVERYTHING
    for noun, event_types in registry.grouped().items():
        names = [event_type.name for event_type in event_types if event_type.offered]
        # The event names of a host's own noun need not begin with the noun.
        if any(name.startswith(f"{noun}.") for name in names):
            yield f"{noun}.*"
        yield from names
