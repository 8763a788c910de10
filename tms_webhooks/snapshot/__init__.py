"""Snapshots: the current state of every object of some nouns, sent to one webhook by a job."""

from __future__ import annotations
