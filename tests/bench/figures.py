"""A figure of a benchmark: its row on the page, and its target."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

DATABASES = {"sqlite": "SQLite", "postgres": "PostgreSQL"}
"""The databases that are measured, by the name of the option ``--db``."""
STEADY = 0.1
"""The page shows the smallest and the largest value of a figure if they differ by more than this part of the median."""


@dataclass(frozen=True)
class Figure:
    """A row of a table.

    Attributes:
        name: The key of its values in the results.
        label: The words of the row.
        unit: Written after the number.
        at_most: The target: one for all databases, or one per database.
        at_least: The same, for a figure that should be large.
        table: The table of the page, if the benchmark has more than one.
    """

    name: str
    label: str
    unit: str = ""
    at_most: float | Mapping[str, float] | None = None
    at_least: float | Mapping[str, float] | None = None
    table: str = ""

    def cell(self, db, values):
        """Return the median, in bold if it misses the target, and the smallest and largest value if they are apart."""
        numbers = [value for value in values if value is not None]
        if not numbers:
            return "any" if values else "not measured"
        middle = median(numbers)
        text = f"{number(middle)}{self._suffix}"
        text = f"**{text}**" if self._misses(db, middle) else text
        is_steady = max(numbers) - min(numbers) <= STEADY * abs(middle)
        return text if is_steady else f"{text} ({number(min(numbers))} to {number(max(numbers))})"

    def target(self):
        """Return the target in words."""
        for sign, limit in (("≤", self.at_most), ("≥", self.at_least)):
            if isinstance(limit, Mapping):
                return ", ".join(f"{sign} {number(limit[db])}{self._suffix} ({DATABASES[db]})" for db in limit)
            if limit is not None:
                return f"{sign} {number(limit)}{self._suffix}"
        return ""

    @property
    def _suffix(self):
        return f" {self.unit}" if self.unit else ""

    def _misses(self, db, value):
        """Whether this value misses the target. The value counts as it is printed."""
        at_most, at_least = (
            limit[db] if isinstance(limit, Mapping) else limit for limit in (self.at_most, self.at_least)
        )
        printed = float(number(value).replace(",", ""))
        return (at_most is not None and printed > at_most) or (at_least is not None and printed < at_least)


def number(value):
    """Return a number with three significant digits at least, and with thousands separators."""
    size = abs(value)
    digits = 0 if size >= 100 else 1 if size >= 10 else 2
    text = f"{value:,.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
