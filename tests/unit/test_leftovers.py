"""A run of tests leaves no process behind, also where a test fails or the run is ended."""

import os
import signal
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tests.leftovers import IS_LINUX, has_ended
from tests.patience import PATIENCE, until

pytestmark = pytest.mark.skipif(not IS_LINUX, reason="Processes are found in /proc.")

# In a session of its own, and an orphan from the beginning.
TESTS = """
import subprocess, time
from pathlib import Path

HERE = Path(__file__).parent


def start(name):
    command = f"setsid sleep 3600 >/dev/null 2>&1 & echo $! > {HERE / name}"
    subprocess.run(["sh", "-c", command], check=True)


def test_fails():
    start("one")
    assert False


def test_hangs():
    start("two")
    if (HERE / "hang").exists():
        time.sleep(3600)
"""


def started(folder, *options):
    """Start a run of these tests."""
    (folder / "test_some.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-p", "tests.leftovers", "-p", "no:cacheprovider", "-p", "no:randomly"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    return subprocess.Popen(
        [*command, *options, "-c", os.devnull, str(folder)], cwd=folder, env=environment, stdout=subprocess.DEVNULL
    )


def pids(folder):
    return [int(text) for name in ("one", "two") if (text := read(folder / name))]


def read(file):
    return file.read_text() if file.exists() else ""


def test_what_a_failing_test_has_started_is_ended(tmp_path):
    run = started(tmp_path)

    assert run.wait(PATIENCE) == pytest.ExitCode.TESTS_FAILED
    assert len(pids(tmp_path)) == 2
    assert all(map(has_ended, pids(tmp_path)))


@pytest.mark.slow
@pytest.mark.parametrize("options", [[], ["-p", "xdist", "-n", "1"]], ids=["alone", "parallel"])
def test_what_a_run_has_started_that_is_ended_by_a_signal_is_ended(tmp_path, options):
    (tmp_path / "hang").touch()
    run = started(tmp_path, *options)
    until(lambda: len(pids(tmp_path)) == 2)

    run.send_signal(signal.SIGTERM)

    assert run.wait(PATIENCE) == pytest.ExitCode.INTERRUPTED
    assert all(map(has_ended, pids(tmp_path)))
