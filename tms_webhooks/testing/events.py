"""Which events a change tells, whether or not anybody subscribes to them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, overload

from django.db import router

from tms_webhooks.models import Event
from tms_webhooks.payloads.envelope import from_text
from tms_webhooks.sources.interest import subscribed_to_everything

MISSING = object()


@dataclass(frozen=True, slots=True)
class CapturedEvent:
    """One event as a receiver would read it. ``data`` and ``previous`` are nested; ``event`` is its row."""

    type: str
    data: Mapping[str, Any]
    changed: Sequence[str]
    previous: Mapping[str, Any]
    actor: Mapping[str, Any]
    sequence: int
    event: Event

    @classmethod
    def of(cls, event: Event) -> CapturedEvent:
        """Read a row of the outbox."""
        whole: dict[str, Any] = from_text(event.body) if event.body else {}
        return cls(
            type=event.type,
            data=whole.get("data", {}),
            changed=whole.get("changed", []),
            previous=whole.get("previous", {}),
            actor=whole.get("actor", {}),
            sequence=event.sequence,
            event=event,
        )


class CapturedEvents(Sequence[CapturedEvent]):
    """The events told since it was made, oldest first, looked up anew each time: what was rolled back is not there."""

    def __init__(self) -> None:
        self._using = router.db_for_write(Event)
        self._last = Event.objects.using(self._using).order_by("-pk").values_list("pk", flat=True).first() or 0

    @property
    def types(self) -> list[str]:
        """Their types alone."""
        return [event.type for event in self._found()]

    def _found(self) -> list[CapturedEvent]:
        rows = Event.objects.using(self._using).filter(pk__gt=self._last).order_by("pk")
        return [CapturedEvent.of(event) for event in rows]

    @overload
    def __getitem__(self, index: int) -> CapturedEvent: ...
    @overload
    def __getitem__(self, index: slice) -> list[CapturedEvent]: ...
    def __getitem__(self, index: int | slice) -> CapturedEvent | list[CapturedEvent]:
        return self._found()[index]

    def __iter__(self) -> Iterator[CapturedEvent]:
        return iter(self._found())

    def __len__(self) -> int:
        return len(self._found())

    def __repr__(self) -> str:
        return f"<CapturedEvents {self.types}>"


@contextmanager
def capture_events() -> Iterator[CapturedEvents]:
    """Collect every event that is told inside the ``with`` block, also those that nobody subscribes to.

    Events that time makes, such as ``course_assignment.expiring``, are told to their subscriptions alone: make a webhook.
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
    """Fail unless exactly ``times`` of the events are of this type and hold these values; return the first of them.

    ``data`` and ``previous`` name what is looked at, nested or by dotted names: ``{"status.name": "Cancelled"}``. The
    rest of the payload may be anything. ``changed`` are all the names that have to have changed, in any order.
    """
    told = list(events)
    same = [event for event in told if event.type == event_type]
    wrong = [list(_differences(event, data or {}, previous or {}, changed)) for event in same]
    right = [event for event, differences in zip(same, wrong, strict=True) if not differences]
    if len(right) == times and times:
        return right[0]
    raise AssertionError("\n".join(_report(event_type, told, wrong, found=len(right), times=times)))


def assert_no_event(events: Iterable[CapturedEvent], event_type: str | None = None) -> None:
    """Fail if any event was told, or any of this type."""
    types = [event.type for event in events]
    found = [name for name in types if event_type in (None, name)]
    if found:
        raise AssertionError(f"Expected no {event_type or 'events'}, got {', '.join(found)}.")


def _differences(
    event: CapturedEvent, data: Mapping[str, Any], previous: Mapping[str, Any], changed: Iterable[str] | None
) -> Iterator[str]:
    for part, expected, actual in (("data", data, event.data), ("previous", previous, event.previous)):
        for name, value in _flat(expected):
            found = _at(actual, name)
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


def _at(values: Any, name: str) -> Any:
    for segment in name.split("."):
        if not isinstance(values, Mapping) or segment not in values:
            return MISSING
        values = values[segment]
    return values


def _report(
    event_type: str, told: Sequence[CapturedEvent], wrong: Sequence[Sequence[str]], *, found: int, times: int
) -> Iterator[str]:
    yield f"{event_type}: expected {times} {'event' if times == 1 else 'events'} like this, got {found}."
    yield f"Captured events: {', '.join(event.type for event in told) or 'none'}."
    for number, differences in enumerate(wrong, start=1):
        for difference in differences:
            yield f"  {event_type} {number}: {difference}"
