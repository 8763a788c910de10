"""Tests that say the same whichever database the others run on."""

import os

import pytest

ONCE = pytest.mark.skipif(
    not os.environ.get("TMS_DATABASE", "sqlite").startswith("sqlite"),
    reason="it says the same on every database, and runs where the other tests use SQLite",
)
