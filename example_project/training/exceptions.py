"""What the training system refuses."""

from __future__ import annotations


class RefusedError(Exception):
    """The rules of the training system don't allow this now; the message is written for the person who tried."""
