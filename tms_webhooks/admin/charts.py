"""Charts as rectangles in percent of the drawing, with their labels.

The templates draw them as SVG, together with a table for screen readers. The drawing stretches to the width of the page; its
labels are HTML in the font of the page.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from django.utils.translation import gettext as _
from django.utils.translation import ngettext, pgettext

from tms_webhooks.admin.formatting import format_count, format_milliseconds
from tms_webhooks.monitoring.figures import AttemptStats

HEIGHT = 100.0
MIN_MS = 10
MAX_MS = 30_000
GRID_MS = (10, 100, 1_000, 10_000)
MARK = 2.5
"""The height of a mark, and the smallest height of a rectangle."""
GAP = 0.25
"""The empty share of a column's width."""
ROUND_NUMBERS = (2, 4, 6, 8, 10)
"""Their halves are whole numbers, too, for the line in the middle."""


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


def outcomes(key: str, bars: Sequence[AttemptStats], *, title: str, label: Callable[[AttemptStats], str]) -> Chart:
    """Return the chart of attempts by outcome, stacked from zero: delivered, retried, given up."""
    kinds = (
        ("delivered", pgettext("attempts", "Delivered")),
        ("retried", pgettext("attempts", "Retried")),
        ("given_up", pgettext("attempts", "Given up")),
    )
    top = round_up(max((bar.attempts for bar in bars), default=0))
    columns = []
    for index, bar in enumerate(bars):
        counts = [(kind, int(getattr(bar, kind))) for kind, _title in kinds]
        heights = [(kind, HEIGHT * count / top) for kind, count in counts]
        cells = tuple(format_count(count) for _kind, count in counts)
        columns.append(_column(label(bar), kinds, cells, _stacked(heights, index=index, total=len(bars))))
    attempts, delivered = sum(bar.attempts for bar in bars), sum(bar.delivered for bar in bars)
    summary = ngettext(
        "%(attempts)s attempt, %(delivered)s delivered.",
        "%(attempts)s attempts, %(delivered)s delivered.",
        attempts,
    ) % {"attempts": format_count(attempts), "delivered": format_count(delivered)}
    lines = tuple((HEIGHT - HEIGHT * value / top, format_count(value)) for value in (0, top // 2, top))
    return Chart(key, title, summary, lines, _ticks(columns), kinds, tuple(columns))


def latencies(key: str, bars: Sequence[AttemptStats], *, title: str, label: Callable[[AttemptStats], str]) -> Chart:
    """Return the chart of response times: marks at the median and the 95th percentile, and the range between them.

    The scale is logarithmic. On a linear scale, a few slow responses would hide all the others.
    """
    kinds = (("p50", _("50 % within")), ("p95", _("95 % within")))
    columns = []
    for index, bar in enumerate(bars):
        cells = (format_milliseconds(bar.p50_ms), format_milliseconds(bar.p95_ms))
        columns.append(_column(label(bar), kinds, cells, _range(bar, index=index, total=len(bars))))
    slowest = max((bar.p95_ms or 0 for bar in bars), default=0)
    summary = (
        _("In the slowest column, 95 %% of the responses took at most %(time)s.")
        % {"time": format_milliseconds(slowest)}
        if slowest
        else _("No responses yet.")
    )
    lines = tuple((HEIGHT - _height(value), format_milliseconds(value)) for value in GRID_MS)
    return Chart(key, title, summary, lines, _ticks(columns), kinds, tuple(columns))


def _column(
    label: str, kinds: Sequence[tuple[str, str]], cells: tuple[str, ...], rectangles: tuple[Rectangle, ...]
) -> ChartColumn:
    values = ", ".join(f"{title} {cell}" for (_kind, title), cell in zip(kinds, cells, strict=True))
    return ChartColumn(label, f"{label}: {values}", rectangles, cells)


def round_up(value: int) -> int:
    """Return the next number that is a member of `ROUND_NUMBERS` times a power of ten."""
    scale = 1
    while True:
        for number in ROUND_NUMBERS:
            if value <= number * scale:
                return number * scale
        scale *= 10


def _height(value: int) -> float:
    """Return the height of a time on the logarithmic scale."""
    return HEIGHT * min(1.0, max(0.0, math.log(max(value, 1) / MIN_MS) / math.log(MAX_MS / MIN_MS)))


def _range(bar: AttemptStats, *, index: int, total: int) -> tuple[Rectangle, ...]:
    """Return the range from the median to the 95th percentile, and a mark at each of its ends."""
    if bar.p50_ms is None or bar.p95_ms is None:
        return ()
    low, high = (min(HEIGHT - MARK, HEIGHT - _height(value)) for value in (bar.p50_ms, bar.p95_ms))
    return (
        _rectangle("range", index, total, top=high, height=low - high + MARK),
        _rectangle("p95", index, total, top=high, height=MARK),
        _rectangle("p50", index, total, top=low, height=MARK),
    )


def _stacked(heights: Sequence[tuple[str, float]], *, index: int, total: int) -> tuple[Rectangle, ...]:
    rectangles, bottom = [], HEIGHT
    for kind, height in heights:
        if height:
            # Keeps small values visible.
            visible = max(MARK, height)
            bottom -= visible
            rectangles.append(_rectangle(kind, index, total, top=bottom, height=visible))
    return tuple(rectangles)


def _rectangle(kind: str, index: int, total: int, *, top: float, height: float) -> Rectangle:
    """Return a rectangle of the width of one of ``total`` columns."""
    pitch = HEIGHT / total
    return Rectangle(kind, round(index * pitch, 3), round(top, 3), round(pitch * (1 - GAP), 3), round(height, 3))


def _ticks(columns: Sequence[ChartColumn]) -> tuple[str, str, str]:
    return columns[0].label, columns[len(columns) // 2].label, columns[-1].label
