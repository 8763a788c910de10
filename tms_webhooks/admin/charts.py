"""Charts as rectangles in percent of the drawing, with their labels.

The templates draw them as SVG, together with a table for screen readers. The drawing stretches to the width of the page; its
labels are HTML in the font of the page.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

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

Pairs = Sequence[tuple[str, str]]


class Rectangle(NamedTuple):
    """One rectangle of a column. ``kind`` is its class in the style sheet."""

    kind: str
    y: float
    height: float


@dataclass(frozen=True, slots=True)
class ChartColumn:
    """One hour or day: its left edge, a text for the tooltip, and the cells of its table row."""

    label: str
    text: str
    x: float
    rectangles: Sequence[Rectangle]
    cells: Sequence[str]


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart. ``lines`` are the grid lines, as (height, label); ``kinds`` is the legend, as (kind, title)."""

    key: str
    title: str
    summary: str
    lines: Sequence[tuple[float, str]]
    kinds: Pairs
    columns: Sequence[ChartColumn]

    @property
    def width(self) -> float:
        """The width of each rectangle."""
        return round(HEIGHT / len(self.columns) * (1 - GAP), 3)

    @property
    def ticks(self) -> list[str]:
        """The labels of the first, the middle and the last column."""
        return [self.columns[index].label for index in (0, len(self.columns) // 2, -1)]


def outcomes(key: str, title: str, bars: Sequence[AttemptStats], labels: Sequence[str]) -> Chart:
    """Return the chart of attempts by outcome, stacked from zero: delivered, retried, given up."""
    kinds = (
        ("delivered", pgettext("attempts", "Delivered")),
        ("retried", pgettext("attempts", "Retried")),
        ("given_up", pgettext("attempts", "Given up")),
    )
    top = round_up(max((bar.attempts for bar in bars), default=0))
    columns = []
    for bar in bars:
        rectangles, bottom = [], HEIGHT
        counts = [(kind, int(getattr(bar, kind))) for kind, _title in kinds]
        for kind, count in counts:
            # A small value is visible, too.
            height = max(MARK, HEIGHT * count / top) if count else 0
            bottom -= height
            rectangles += [_rectangle(kind, bottom, height)] if count else []
        columns.append((rectangles, [format_count(count) for _kind, count in counts]))
    attempts, delivered = sum(bar.attempts for bar in bars), sum(bar.delivered for bar in bars)
    summary = ngettext(
        "%(attempts)s attempt, %(delivered)s delivered.",
        "%(attempts)s attempts, %(delivered)s delivered.",
        attempts,
    ) % {"attempts": format_count(attempts), "delivered": format_count(delivered)}
    lines = [(HEIGHT - HEIGHT * value / top, format_count(value)) for value in (0, top // 2, top)]
    return Chart(key, title, summary, lines, kinds, _columns(labels, kinds, columns))


def latencies(key: str, title: str, bars: Sequence[AttemptStats], labels: Sequence[str]) -> Chart:
    """Return the chart of response times: marks at the median and the 95th percentile, and the range between them.

    The scale is logarithmic. On a linear scale, a few slow responses would hide all the others.
    """
    kinds = (("p50", _("50 % within")), ("p95", _("95 % within")))
    columns = []
    for bar in bars:
        rectangles = []
        if bar.p50_ms is not None and bar.p95_ms is not None:
            low, high = (min(HEIGHT - MARK, HEIGHT - _height(value)) for value in (bar.p50_ms, bar.p95_ms))
            spans = (("range", high, low - high + MARK), ("p95", high, MARK), ("p50", low, MARK))
            rectangles = [_rectangle(*span) for span in spans]
        columns.append((rectangles, [format_milliseconds(bar.p50_ms), format_milliseconds(bar.p95_ms)]))
    slowest = max((bar.p95_ms or 0 for bar in bars), default=0)
    summary = (
        _("In the slowest column, 95 %% of the responses took at most %(time)s.")
        % {"time": format_milliseconds(slowest)}
        if slowest
        else _("No responses yet.")
    )
    lines = [(HEIGHT - _height(value), format_milliseconds(value)) for value in GRID_MS]
    return Chart(key, title, summary, lines, kinds, _columns(labels, kinds, columns))


def _columns(
    labels: Sequence[str], kinds: Pairs, columns: Sequence[tuple[Sequence[Rectangle], Sequence[str]]]
) -> list[ChartColumn]:
    found = []
    for index, (label, (rectangles, cells)) in enumerate(zip(labels, columns, strict=True)):
        values = ", ".join(f"{title} {cell}" for (_kind, title), cell in zip(kinds, cells, strict=True))
        x = round(index * HEIGHT / len(columns), 3)
        found.append(ChartColumn(label, f"{label}: {values}", x, rectangles, cells))
    return found


def round_up(value: int) -> int:
    """Return the next number that is a member of `ROUND_NUMBERS` times a power of ten."""
    scale = 1
    while value > ROUND_NUMBERS[-1] * scale:
        scale *= 10
    return next(number * scale for number in ROUND_NUMBERS if value <= number * scale)


def _height(value: int) -> float:
    """Return the height of a time on the logarithmic scale."""
    return HEIGHT * min(1.0, max(0.0, math.log(max(value, 1) / MIN_MS) / math.log(MAX_MS / MIN_MS)))


def _rectangle(kind: str, top: float, height: float) -> Rectangle:
    return Rectangle(kind, round(top, 3), round(height, 3))
