"""Outbound webhooks for a Training Management System, as a reusable Django app."""

from __future__ import annotations

__version__ = "0.1.0"
