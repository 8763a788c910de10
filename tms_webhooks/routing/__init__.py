"""Which webhooks get which events, and why: the same for what is new, for what is replayed, and for those who ask."""

from __future__ import annotations
