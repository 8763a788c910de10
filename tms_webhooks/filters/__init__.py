"""Which events of a type are wanted: a subscription's filters and its condition. Pure: facts in, an answer out."""

from __future__ import annotations
