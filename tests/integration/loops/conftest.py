"""The drain and the wire of the delivery tests."""

from __future__ import annotations

from tests.integration.delivery.conftest import run, wire

__all__ = ["run", "wire"]
