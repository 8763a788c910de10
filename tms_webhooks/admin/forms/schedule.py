"""A retry schedule in one line of text."""

from __future__ import annotations

import re
from typing import Any

from django import forms

_SEPARATOR = re.compile(r"[\s,;]+")
_BEGINS_LIKE_A_LIST = re.compile(r"[\[\d.+-]")


class ScheduleField(forms.CharField):
    """A retry schedule as people write it: a name, or delays in seconds with commas between them."""

    def to_python(self, value: Any) -> Any:
        """Return the name, or a list; what is no number stays text, for the validator to name."""
        text = super().to_python(value) or ""
        if not _BEGINS_LIKE_A_LIST.match(text):
            return text
        return [_number(part) for part in _SEPARATOR.split(text.strip("[] \t")) if part]

    def prepare_value(self, value: Any) -> Any:
        """Return what stands in the box."""
        return ", ".join(f"{delay}" for delay in value) if isinstance(value, list | tuple) else value

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Compare what is meant, not how it is written."""
        return bool(self.to_python(data) != (initial or ""))


def _number(text: str) -> int | float | str:
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        return text
