"""The developer's tutorial leads from an empty folder to a verified request, by its own words alone."""

import re
from pathlib import Path

import pytest

from tests.acceptance.once import ONCE
from tests.acceptance.pages import Follower

pytestmark = [pytest.mark.slow, ONCE]

TUTORIAL = Path(__file__).parents[2] / "docs" / "tutorial" / "developer.md"
LINE = re.compile(r"\d\d:\d\d:\d\d\.\d{3}  class\.cancelled  evt_[0-9a-f]{32}  verified  -> 204\n")


@pytest.fixture(scope="module")
def followed(tmp_path_factory):
    follower = Follower(tmp_path_factory.mktemp("tutorial"))
    follower.promised = follower.follow(TUTORIAL)
    yield follower
    follower.close()


def test_every_step_works_and_the_request_is_verified(followed):
    (promised,) = followed.promised
    last = followed.printed[-1]

    printed = followed.heard()

    assert followed.running[0].returncode == 0
    assert LINE.fullmatch(printed), (printed, last)
    assert LINE.fullmatch(promised), promised


def test_the_shown_file_is_the_one_that_the_command_writes(followed):
    shown = (followed.folder / "training" / "webhooks.py").read_text()

    followed.run(".venv/bin/python manage.py webhooks_scaffold training.TrainingClass")

    assert followed.printed[-1] == shown
