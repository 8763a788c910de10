"""Charts as shapes with numbers beside them: the templates draw SVG of them, and a table for who can't see it.

Shapes are in percent of the drawing, which stretches to whatever width there is; words stand beside it, in the page's own
type.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from tms_webhooks.admin.numbers import rounded
from tms_webhooks.monitoring.history import AttemptStats

HEIGHT = 100.0
SHORTEST_MS = 10
LONGEST_MS = 30_000
DECADES = (100, 1_000, 10_000)
GAP = 0.25
"""The share of a bar's place that is left empty beside it."""
NICE = (1, 2, 3, 4, 5, 6, 8, 10)


@dataclass(frozen=True, slots=True)
class Shape:
    """One rectangle: its kind, which is its class in the style sheet, and where it is."""

    kind: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Column:
    """What belongs to one hour or day: its shapes, and the same in words."""

    label: str
    told: str
    shapes: tuple[Shape, ...]
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawing.

    ``lines`` are heights with what they mean, ``ticks`` the labels of the first, a middle and the last column, and
    ``kinds`` is the legend.
    """

    key: str
    title: str
    summary: str
    lines: tuple[tuple[float, str], ...]
    ticks: tuple[str, str, str]
    kinds: tuple[tuple[str, str], ...]
    columns: tuple[Column, ...]


def outcomes(key: str, bars: Sequence[AttemptStats], *, label: Callable[[AttemptStats], str]) -> Chart:
    """Draw what attempts came to: the delivered at the bottom, on them what failed and is tried again, then the given up."""
    kinds = (
        ("delivered", _("Delivered")),
        ("retried", _("Failed, tried again")),
        ("given_up", _("Failed, given up")),
    )
    most = nice(max((bar.attempts for bar in bars), default=0))
    columns = []
    for place, bar in enumerate(bars):
        counts = [(kind, int(getattr(bar, kind))) for kind, _title in kinds]
        told = ", ".join(f"{title} {count}" for (_kind, title), (_same, count) in zip(kinds, counts, strict=True))
        columns.append(
            Column(
                label(bar),
                f"{label(bar)}: {told}",
                _stacked([(kind, HEIGHT * count / most) for kind, count in counts], place=place, places=len(bars)),
                tuple(f"{count}" for _kind, count in counts),
            )
        )
    attempts, delivered = sum(bar.attempts for bar in bars), sum(bar.delivered for bar in bars)
    summary = ngettext(
        "%(attempts)d attempt, %(delivered)d of it delivered.",
        "%(attempts)d attempts, %(delivered)d of them delivered.",
        attempts,
    ) % {"attempts": attempts, "delivered": delivered}
    return Chart(key, _("Attempts by outcome"), summary, ((0.0, f"{most}"),), _ticks(columns), kinds, tuple(columns))


def latencies(key: str, bars: Sequence[AttemptStats], *, label: Callable[[AttemptStats], str]) -> Chart:
    """Draw how long answers took: what half of them stayed below, before what 19 of 20 did.

    Every line is ten times the one below it: a receiver that hangs now and then would else hide all the rest.
    """
    kinds = (("p95", _("95 % within")), ("p50", _("Half within")))
    columns = []
    for place, bar in enumerate(bars):
        taken = {"p95": bar.p95_ms, "p50": bar.p50_ms}
        shapes = [_stacked([(kind, _height(taken[kind]))], place=place, places=len(bars)) for kind, _title in kinds]
        told = ", ".join(f"{title} {milliseconds(taken[kind])}" for kind, title in kinds)
        columns.append(
            Column(
                label(bar),
                f"{label(bar)}: {told}",
                (*shapes[0], *shapes[1]),
                tuple(milliseconds(taken[kind]) for kind, _title in kinds),
            )
        )
    slowest = max((bar.p95_ms or 0 for bar in bars), default=0)
    summary = (
        _("95 %% of the answers within %(time)s at the slowest.") % {"time": milliseconds(slowest)}
        if slowest
        else _("There were no answers.")
    )
    lines = tuple((HEIGHT - _height(value), milliseconds(value)) for value in DECADES)
    return Chart(key, _("Time to answer"), summary, lines, _ticks(columns), kinds, tuple(columns))


def nice(most: int) -> int:
    """Return a round number that is at least as large: 1, 2 or 5 with noughts."""
    scale = 1
    while True:
        for step in NICE:
            if most <= step * scale:
                return step * scale
        scale *= 10


def milliseconds(value: int | None) -> str:
    """Return a duration for people: in ms below a second, in s above."""
    if value is None:
        return "–"
    return _("%(count)d ms") % {"count": value} if value < 1000 else _("%(count)s s") % {"count": rounded(value / 1000)}


def _height(value: int | None) -> float:
    if value is None:
        return 0.0
    whole = math.log(LONGEST_MS / SHORTEST_MS)
    return HEIGHT * min(1.0, max(0.02, math.log(max(value, SHORTEST_MS) / SHORTEST_MS) / whole))


def _stacked(heights: Sequence[tuple[str, float]], *, place: int, places: int) -> tuple[Shape, ...]:
    pitch = HEIGHT / places
    shapes, bottom = [], HEIGHT
    for kind, height in heights:
        if height:
            # What there is little of is seen, too.
            tall = max(1.5, height)
            bottom -= tall
            shapes.append(
                Shape(kind, round(place * pitch, 3), round(bottom, 3), round(pitch * (1 - GAP), 3), round(tall, 3))
            )
    return tuple(shapes)


def _ticks(columns: Sequence[Column]) -> tuple[str, str, str]:
    return columns[0].label, columns[len(columns) // 2].label, columns[-1].label
