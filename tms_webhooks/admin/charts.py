"""Charts as rectangles in percent of the drawing, with their labels.

The templates draw them as SVG, together with a table for screen readers. The drawing stretches to the width of the page; its
labels are HTML in the font of the page.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from tms_webhooks.admin.formatting import format_milliseconds
from tms_webhooks.monitoring.history import AttemptStats

HEIGHT = 100.0
MIN_MS = 10
MAX_MS = 30_000
GRID_MS = (100, 1_000, 10_000)
GAP = 0.25
"""The empty share of a column's width."""
ROUND_NUMBERS = (1, 2, 3, 4, 5, 6, 8, 10)


@dataclass(frozen=True, slots=True)
class Rectangle:
    """One rectangle. ``kind`` is its class in the style sheet."""

    kind: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class ChartColumn:
    """One hour or day: its rectangles, a text for the tooltip, and the cells of its table row."""

    label: str
    text: str
    rectangles: tuple[Rectangle, ...]
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart.

    Attributes:
        lines: The grid lines, as (height, label).
        ticks: The labels of the first, the middle and the last column.
        kinds: The legend, as (kind, title).
    """

    key: str
    title: str
    summary: str
    lines: tuple[tuple[float, str], ...]
    ticks: tuple[str, str, str]
    kinds: tuple[tuple[str, str], ...]
    columns: tuple[ChartColumn, ...]


def outcomes(key: str, bars: Sequence[AttemptStats], *, label: Callable[[AttemptStats], str]) -> Chart:
    """Return the chart of attempts by outcome, stacked from the bottom: delivered, retried, given up."""
    kinds = (
        ("delivered", _("Delivered")),
        ("retried", _("Failed, retried")),
        ("given_up", _("Failed, given up")),
    )
    top = round_up(max((bar.attempts for bar in bars), default=0))
    columns = []
    for index, bar in enumerate(bars):
        counts = [(kind, int(getattr(bar, kind))) for kind, _title in kinds]
        text = ", ".join(f"{title} {count}" for (_kind, title), (_same, count) in zip(kinds, counts, strict=True))
        columns.append(
            ChartColumn(
                label(bar),
                f"{label(bar)}: {text}",
                _stacked([(kind, HEIGHT * count / top) for kind, count in counts], index=index, total=len(bars)),
                tuple(f"{count}" for _kind, count in counts),
            )
        )
    attempts, delivered = sum(bar.attempts for bar in bars), sum(bar.delivered for bar in bars)
    summary = ngettext(
        "%(attempts)d attempt, %(delivered)d delivered.",
        "%(attempts)d attempts, %(delivered)d delivered.",
        attempts,
    ) % {"attempts": attempts, "delivered": delivered}
    return Chart(key, _("Attempts by outcome"), summary, ((0.0, f"{top}"),), _ticks(columns), kinds, tuple(columns))


def latencies(key: str, bars: Sequence[AttemptStats], *, label: Callable[[AttemptStats], str]) -> Chart:
    """Return the chart of response times: the median in front of the 95th percentile.

    The scale is logarithmic. On a linear scale, a few slow responses would hide all the others.
    """
    kinds = (("p95", _("95 % within")), ("p50", _("50 % within")))
    columns = []
    for index, bar in enumerate(bars):
        times = {"p95": bar.p95_ms, "p50": bar.p50_ms}
        behind, front = (
            _stacked([(kind, _height(times[kind]))], index=index, total=len(bars)) for kind, _title in kinds
        )
        text = ", ".join(f"{title} {format_milliseconds(times[kind])}" for kind, title in kinds)
        columns.append(
            ChartColumn(
                label(bar),
                f"{label(bar)}: {text}",
                (*behind, *front),
                tuple(format_milliseconds(times[kind]) for kind, _title in kinds),
            )
        )
    slowest = max((bar.p95_ms or 0 for bar in bars), default=0)
    summary = (
        _("In the slowest column, 95 %% of the responses took at most %(time)s.")
        % {"time": format_milliseconds(slowest)}
        if slowest
        else _("No responses yet.")
    )
    lines = tuple((HEIGHT - _height(value), format_milliseconds(value)) for value in GRID_MS)
    return Chart(key, _("Response time"), summary, lines, _ticks(columns), kinds, tuple(columns))


def round_up(value: int) -> int:
    """Return the next number that is a member of `ROUND_NUMBERS` times a power of ten."""
    scale = 1
    while True:
        for number in ROUND_NUMBERS:
            if value <= number * scale:
                return number * scale
        scale *= 10


def _height(value: int | None) -> float:
    if value is None:
        return 0.0
    full = math.log(MAX_MS / MIN_MS)
    return HEIGHT * min(1.0, max(0.02, math.log(max(value, MIN_MS) / MIN_MS) / full))


def _stacked(heights: Sequence[tuple[str, float]], *, index: int, total: int) -> tuple[Rectangle, ...]:
    pitch = HEIGHT / total
    rectangles, bottom = [], HEIGHT
    for kind, height in heights:
        if height:
            # Keeps small values visible.
            visible = max(1.5, height)
            bottom -= visible
            rectangles.append(
                Rectangle(
                    kind, round(index * pitch, 3), round(bottom, 3), round(pitch * (1 - GAP), 3), round(visible, 3)
                )
            )
    return tuple(rectangles)


def _ticks(columns: Sequence[ChartColumn]) -> tuple[str, str, str]:
    return columns[0].label, columns[len(columns) // 2].label, columns[-1].label
