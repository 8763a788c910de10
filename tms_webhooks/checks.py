"""System checks: one function per concern."""

from __future__ import annotations


def register_all() -> None:
    """Register every check of the app."""
