"""The developer's tutorial leads from an empty folder to a verified request, by its own words alone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.once import ONCE
from tests.acceptance.pages import Follower

pytestmark = ONCE

TUTORIAL = Path(__file__).parents[2] / "docs" / "tutorial" / "developer.md"
LINE = re.compile(r"\d\d:\d\d:\d\d\.\d{3}  class\.cancelled  evt_[0-9a-f]{32}  verified  -> 204\n")


@pytest.fixture
def follower(tmp_path) -> Iterator[Follower]:
    follower = Follower(tmp_path)
    yield follower
    follower.close()


def test_every_step_works_and_the_request_is_verified(follower):
    (promised,) = follower.follow(TUTORIAL)

    printed = follower.heard()

    assert follower.running[0].returncode == 0
    assert LINE.fullmatch(printed), (printed, follower.printed[-1])
    assert LINE.fullmatch(promised), promised


def test_the_shown_file_is_the_one_that_the_command_writes(follower):
    follower.follow(TUTORIAL)
    shown = (follower.folder / "training" / "webhooks.py").read_text()

    follower.run(".venv/bin/python manage.py webhooks_scaffold training.TrainingClass")

    assert follower.printed[-1] == shown
