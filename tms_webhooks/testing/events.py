"""Capture the events that a change or time emits, also without a subscription, and assert their payloads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias, overload
from uuid import UUID

from django.db import connections, router
from django.utils import timezone

from tms_webhooks.catalogue.values import value_at
from tms_webhooks.expiry import scan_as_of
from tms_webhooks.models import Event
from tms_webhooks.monitoring.words import counted
from tms_webhooks.outbox import numbers
from tms_webhooks.payloads.envelope import from_text
from tms_webhooks.sources.interest import subscribed_to_everything

Values: TypeAlias = Mapping[str, Any] | None
"""The values that a part of an event must have, nested or by dotted names. None: any."""
MISSING = object()
"""The value of a field that a payload does not have."""


@dataclass(frozen=True, slots=True)
class CapturedEvent:
    """One event as a receiver reads it. ``data``, ``details`` and ``previous`` are nested; ``event`` is its row."""

    type: str
    data: Mapping[str, Any]
    details: Mapping[str, Any]
    changed: Sequence[str]
    previous: Mapping[str, Any]
    actor: Mapping[str, Any]
    sequence: int
    event: Event

    @classmethod
    def of(cls, event: Event) -> CapturedEvent:
        """Return the captured event of a row of the outbox."""
        payload: Any = from_text(event.body) if event.body else {}
        parts: Any = {"data": {}, "details": {}, "changed": [], "previous": {}, "actor": {}}
        parts = {name: payload.get(name, empty) for name, empty in parts.items()}
        return cls(**parts, type=event.type, sequence=event.sequence or 0, event=event)


class CapturedEvents(Sequence[CapturedEvent]):
    """The events recorded since its creation, oldest first. Each use reads the database, so rolled-back events are missing."""

    def __init__(self) -> None:
        self._using = require_database()
        self._last = Event.objects.using(self._using).order_by("-pk").values_list("pk", flat=True).first() or 0

    @property
    def types(self) -> list[str]:
        """The types of the events."""
        return [event.type for event in self]

    def _read(self) -> list[CapturedEvent]:
        # Otherwise the fan-out gives numbers, after the commit.
        numbers.number_all(using=self._using)
        rows = Event.objects.using(self._using).filter(pk__gt=self._last).order_by("pk")
        return [CapturedEvent.of(event) for event in rows]

    @overload
    def __getitem__(self, index: int) -> CapturedEvent: ...
    @overload
    def __getitem__(self, index: slice) -> list[CapturedEvent]: ...
    def __getitem__(self, index: int | slice) -> CapturedEvent | list[CapturedEvent]:
        return self._read()[index]

    def __iter__(self) -> Iterator[CapturedEvent]:
        return iter(self._read())

    def __len__(self) -> int:
        return len(self._read())

    def __repr__(self) -> str:
        return f"<CapturedEvents {self.types}>"


@contextmanager
def capture_events() -> Iterator[CapturedEvents]:
    """Collect every event that is emitted inside the ``with`` block, also without a subscription."""
    with subscribed_to_everything():
        yield CapturedEvents()


def expire(*, now: datetime) -> int:
    """Record the events of objects that expire soon, or have expired, at ``now``; return how many.

    No clock is set and nothing waits. An object whose date passes from now to ``now`` has expired. An object expires
    soon if its date is, at ``now``, in the window of a subscription. Inside `capture_events`, it also does without a
    subscription, in the window of the last 30 days. No event is recorded twice for one object and date.
    """
    require_database()
    require_aware(now)
    return scan_as_of(now, since=min(timezone.now(), now))


def require_database() -> str:
    """Return the alias of the database with the events; raise an error with the remedy if this test may not use it."""
    alias = router.db_for_write(Event)
    try:
        with connections[alias].cursor():
            return alias
    except AssertionError:  # Django's, for a database that is not in `databases`
        names = ", ".join(repr(name) for name in sorted({"default", alias}))
        raise AssertionError(
            f"Events are in the database {alias!r}, which this test may not use. "
            f"Write @pytest.mark.django_db(databases=[{names}]), or databases = {{{names}}} in the TestCase."
        ) from None


def require_aware(now: datetime) -> datetime:
    """Return ``now``; raise ``ValueError`` if it has no time zone."""
    if timezone.is_naive(now):
        raise ValueError(
            f"now is {now!r}, without a time zone; pass one with it, such as timezone.now() + timedelta(days=3)."
        )
    return now


def assert_event(
    events: Iterable[CapturedEvent],
    event_type: str,
    *,
    data: Values = None,
    details: Values = None,
    previous: Values = None,
    changed: Iterable[str] | None = None,
    times: int = 1,
) -> CapturedEvent:
    """Fail unless exactly ``times`` events have this type and these values; return the first of them.

    ``data``, ``details`` and ``previous`` hold the expected values, nested or by dotted names: ``{"status.name": "Cancelled"}``. Other
    fields of the payload are ignored. ``changed`` holds all names that must have changed, in any order.
    """
    __tracebackhide__ = True
    values = values_of(data=data, details=details, previous=previous)
    expected = ExpectedEvent(event_type, values, None if changed is None else sorted(changed))
    return expected.first_of(list(events), times=times)


def assert_no_event(events: Iterable[CapturedEvent], event_type: str | None = None) -> None:
    """Fail if any event was captured; with a type, if any event of this type was captured."""
    __tracebackhide__ = True
    require_none((event.type for event in events), event_type)


def require_none(types: Iterable[str], event_type: str | None, *, place: str = "") -> None:
    """Fail if there is any event, or any of this type."""
    __tracebackhide__ = True
    found = [name for name in types if event_type in (None, name)]
    if found:
        raise AssertionError(f"Expected no {event_type or 'events'}{place}, got {len(found)}: {', '.join(found)}.")


@dataclass(frozen=True, slots=True)
class ExpectedEvent:
    """The type and the values that an event must have, by dotted names; ``changed`` None means any."""

    type: str
    values: Mapping[str, Any]
    changed: Sequence[str] | None = None

    def first_of(
        self,
        events: Sequence[CapturedEvent],
        *,
        times: int,
        place: str = "",
        notes: Iterable[str] = (),
    ) -> CapturedEvent:
        """Return the first of exactly ``times`` events that are as expected; otherwise fail with the differences of each.

        ``notes`` are more lines of the message. Raise ``ValueError`` if no event is expected.
        """
        __tracebackhide__ = True
        if times < 1:
            raise ValueError(f"times is {times}; use assert_no_event() or assert_not_received() to expect no event.")
        differences = [self.differences(event) for event in events]
        right = [event for event, found in zip(events, differences, strict=True) if not found]
        if len(right) == times:
            return right[0]
        values = [f"{name} {value!r}" for name, value in self.values.items()]
        values += [] if self.changed is None else [f"changed {self.changed}"]
        lines = [
            f"Expected {counted(times, 'event')} like this{place}, got {len(right)}.",
            f"Expected: {self.type} with {', '.join(values)}" if values else f"Expected: {self.type}",
            f"{'Accepted' if place else 'Captured'}:{'' if events else ' no events'}",
        ]
        for number, (event, found) in enumerate(zip(events, differences, strict=True), start=1):
            lines.append(f"  {number}. {event.type}: {'; '.join(found) or 'as expected'}")
        raise AssertionError("\n".join([*lines, *notes]))

    def differences(self, event: CapturedEvent) -> list[str]:
        """Return what differs in an event; empty if it is as expected. An event of another type is not compared."""
        if event.type != self.type:
            return ["of another type"]
        found = []
        for name, value in self.values.items():
            part, _dot, path = name.partition(".")
            held = value_at(getattr(event, part), path, MISSING)
            if held != value:
                found.append(f"{name} is {'missing' if held is MISSING else repr(held)}, not {value!r}")
        if self.changed is not None and list(self.changed) != sorted(event.changed):
            found.append(f"changed is {sorted(event.changed)}, not {list(self.changed)}")
        return found


def values_of(**parts: Values) -> dict[str, Any]:
    """Return the values that parts of an event must have by dotted names: ``data.status.name``."""
    found: dict[str, Any] = {}
    for part, values in parts.items():
        for name, value in (values or {}).items():
            if isinstance(value, Mapping) and value:
                found |= values_of(**{f"{part}.{name}": value})
            else:
                # As in payloads: an id that is a UUID is text.
                found[f"{part}.{name}"] = str(value) if isinstance(value, UUID) else value
    return found
