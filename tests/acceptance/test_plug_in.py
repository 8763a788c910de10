"""A stranger plugs the app into a training system of another shape by the page alone, and sees verified requests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.pages import Follower

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "plug-in.md"


@pytest.fixture
def follower(tmp_path) -> Iterator[Follower]:
    follower = Follower(tmp_path)
    yield follower
    follower.close()


def test_every_step_works_and_each_customer_gets_what_is_theirs_verified(follower):
    (promised,) = follower.follow(PAGE)

    heard = follower.heard().splitlines()

    assert sorted(heard) == sorted(promised.splitlines())
    assert len(heard) == 3
