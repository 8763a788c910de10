"""Measurements, side by side in one run. Never part of the tests: machines are noisy, so ratios and medians count."""

from __future__ import annotations
