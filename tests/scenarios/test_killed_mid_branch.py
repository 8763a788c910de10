"""A branch of the tree with many objects moves, and workers are killed at many statements: each object comes once to each side."""

import json

import pytest

pytestmark = pytest.mark.slow

OBJECTS = 1_500
"""A job waits while 2,000 deliveries of its webhook are unfinished, and nothing is sent here."""
FEWEST_KILLS = 5


@pytest.mark.xfail(strict=True, raises=AssertionError, reason="each webhook has a job of its own for the branch")
def test_a_branch_is_one_job_and_each_object_comes_once_to_each_side(processes):
    shown = json.loads(processes.run("tests.scenarios.branching", str(OBJECTS)))

    assert shown["killed"] >= FEWEST_KILLS
    assert shown["times"] == {"old voucher.removed": {"1": OBJECTS}, "new voucher.added": {"1": OBJECTS}}
    assert shown["errors"] == []
    assert shown["jobs"] == 1
