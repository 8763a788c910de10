"""A subscription's filters and its condition: parse them, check them, and match events against them. No database access."""

from __future__ import annotations
