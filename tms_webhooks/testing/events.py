"""Capture the events that a change emits, also without a subscription, and assert their payloads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, overload

from django.db import router

from tms_webhooks.catalogue.values import value_at
from tms_webhooks.models import Event
from tms_webhooks.payloads.envelope import from_text
from tms_webhooks.sources.interest import subscribed_to_everything

MISSING = object()
"""The value of a field that a payload does not have."""


@dataclass(frozen=True, slots=True)
class CapturedEvent:
    """One event as a receiver reads it. ``data`` and ``previous`` are nested; ``event`` is its row."""

    type: str
    data: Mapping[str, Any]
    changed: Sequence[str]
    previous: Mapping[str, Any]
    actor: Mapping[str, Any]
    sequence: int
    event: Event

    @classmethod
    def of(cls, event: Event) -> CapturedEvent:
        """Return the captured event of a row of the outbox."""
        payload: dict[str, Any] = from_text(event.body) if event.body else {}
        return cls(
            type=event.type,
            data=payload.get("data", {}),
            changed=payload.get("changed", []),
            previous=payload.get("previous", {}),
            actor=payload.get("actor", {}),
            sequence=event.sequence,
            event=event,
        )


class CapturedEvents(Sequence[CapturedEvent]):
    """The events recorded since its creation, oldest first. Each use reads the database, so rolled-back events are missing."""

    def __init__(self) -> None:
        self._using = router.db_for_write(Event)
        self._last = Event.objects.using(self._using).order_by("-pk").values_list("pk", flat=True).first() or 0

    @property
    def types(self) -> list[str]:
        """The types of the events."""
        return [event.type for event in self._read()]

    def _read(self) -> list[CapturedEvent]:
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
    """Collect every event that is emitted inside the ``with`` block, also without a subscription.

    Expiry events, such as ``course_assignment.expiring``, are emitted for subscriptions only: create a webhook for them.
    """
    with subscribed_to_everything():
        yield CapturedEvents()


def assert_event(
    events: Iterable[CapturedEvent],
    event_type: str,
    *,
    data: Mapping[str, Any] | None = None,
    previous: Mapping[str, Any] | None = None,
    changed: Iterable[str] | None = None,
    times: int = 1,
) -> CapturedEvent:
    """Fail unless exactly ``times`` events have this type and these values; return the first of them.

    ``data`` and ``previous`` hold the expected values, nested or by dotted names: ``{"status.name": "Cancelled"}``. Other
    fields of the payload are ignored. ``changed`` holds all names that must have changed, in any order.
    """
    captured = list(events)
    same = [event for event in captured if event.type == event_type]
    wrong = [list(_differences(event, data or {}, previous or {}, changed)) for event in same]
    right = [event for event, differences in zip(same, wrong, strict=True) if not differences]
    if len(right) == times and times:
        return right[0]
    raise AssertionError("\n".join(_report(event_type, captured, wrong, found=len(right), times=times)))


def assert_no_event(events: Iterable[CapturedEvent], event_type: str | None = None) -> None:
    """Fail if any event was captured; with a type, if any event of this type was captured."""
    types = [event.type for event in events]
    found = [name for name in types if event_type in (None, name)]
    if found:
        raise AssertionError(f"Expected no {event_type or 'events'}, got {', '.join(found)}.")


def _differences(
    event: CapturedEvent, data: Mapping[str, Any], previous: Mapping[str, Any], changed: Iterable[str] | None
) -> Iterator[str]:
    for part, expected, actual in (("data", data, event.data), ("previous", previous, event.previous)):
        for name, value in _flat(expected):
            found = value_at(actual, name, MISSING)
            if found != value:
                yield f"{part}.{name} is {'missing' if found is MISSING else repr(found)}, not {value!r}"
    if changed is not None and sorted(changed) != sorted(event.changed):
        yield f"changed is {sorted(event.changed)}, not {sorted(changed)}"


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _report(
    event_type: str, captured: Sequence[CapturedEvent], wrong: Sequence[Sequence[str]], *, found: int, times: int
) -> Iterator[str]:
    yield f"{event_type}: expected {times} {'event' if times == 1 else 'events'} like this, got {found}."
    yield f"Captured events: {', '.join(event.type for event in captured) or 'none'}."
    for number, differences in enumerate(wrong, start=1):
        for difference in differences:
            yield f"  {event_type} {number}: {difference}"
