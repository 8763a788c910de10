"""A simulated year of the example, with few events: three outages, 20 rotations of keys, a failover and an upgrade."""

import subprocess
import sys

import pytest
from django.db import connection

from tests.scenarios.postgres import installed, permitted
from tests.scenarios.processes import ROOT


@pytest.mark.skipif(connection.vendor != "postgresql", reason="the servers of the simulation are PostgreSQL")
def test_after_a_year_each_event_has_come_once_and_each_mirror_is_equal():
    installed(), permitted()

    command = [sys.executable, "-m", "tests.year", "--events", "1500"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("| Yes |") == 8
