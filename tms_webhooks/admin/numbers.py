"""Numbers as the language of the page writes them."""

from __future__ import annotations

from django.utils import formats


def written(value: float) -> str:
    """Return a number for people, with no more digits than it has: "1", "2.5", "1,234.5"."""
    return str(formats.localize(int(value) if float(value).is_integer() else value))


def rounded(value: float) -> str:
    """Return a number for people, to three digits."""
    return written(float(f"{value:.3g}"))
