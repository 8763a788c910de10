"""Which events match a subscription, and why. New events, replays, dry runs and explanations use the same rules."""

from __future__ import annotations
