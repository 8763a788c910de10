"""Numbers with their nouns, for the lines that commands print. These lines are English, so they need no catalog."""

from __future__ import annotations


def counted(number: int, one: str, several: str = "") -> str:
    """Return a number and its noun; without ``several``, the plural is ``one`` with an s.

    >>> counted(1, "event"), counted(0, "event"), counted(2, "delivery", "deliveries")
    ('1 event', '0 events', '2 deliveries')
    """
    return f"{number} {one if number == 1 else several or f'{one}s'}"
