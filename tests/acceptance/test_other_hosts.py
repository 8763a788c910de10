"""The tests of a host of another shape, in a process with its settings: see ``tests/hosts``."""

import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tests.patience import PATIENCE

pytestmark = pytest.mark.slow


def test_a_host_of_another_shape_is_told_of_in_every_way():
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.hosts.settings", "PYTEST_ADDOPTS": ""}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "--ds=tests.hosts.settings",
        "-p",
        "no:cacheprovider",
        "tests/hosts",
    ]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=5 * PATIENCE, check=False
    )

    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
