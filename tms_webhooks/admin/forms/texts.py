"""Texts as a browser sends them back: with line ends of its own, and Django takes blanks off both their ends."""

from __future__ import annotations

from typing import Any

from django import forms


class TextField(forms.CharField):
    """A text that is changed by who types into it, and not by the form that carries it."""

    def to_python(self, value: Any) -> Any:
        """Return it with the line ends that it was stored with."""
        text = super().to_python(value)
        return text.replace("\r\n", "\n") if isinstance(text, str) else text

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Compare what would be stored."""
        return bool(self.to_python(initial) != self.to_python(data))
