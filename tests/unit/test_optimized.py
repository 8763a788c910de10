"""A run of tests without assertions is refused: all of them would pass."""

import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tests.patience import PATIENCE


def test_a_run_without_assertions_is_refused():
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    command = [sys.executable, "-O", "-m", "pytest", "-p", "no:cacheprovider", "tests/unit/test_batches.py"]

    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=PATIENCE)

    reason = "These tests need assertions, which -O or PYTHONOPTIMIZE has switched off: run python -m pytest."
    assert (run.returncode, run.stdout, run.stderr.strip()) == (pytest.ExitCode.USAGE_ERROR, "", f"ERROR: {reason}")
