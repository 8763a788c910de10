"""The unit and the container commands of the page on production: they are valid, and what they start delivers."""

import re
import shlex
import shutil
import signal
import subprocess
from configparser import ConfigParser

import pytest

from tests import forks
from tests.patience import PATIENCE
from tests.scenarios.outcome import fill
from tests.scenarios.processes import ROOT

PAGE = (ROOT / "docs" / "howto" / "production.md").read_text(encoding="utf-8")
UNITS = dict(re.findall(r"^```ini\n# /etc/systemd/system/([\w.-]+)[^\n]*\n(.*?)^```$", PAGE, re.M | re.S))
UNIT = "tms-webhooks.service"
WHOLE = [UNIT, "tms-qcluster-watchdog.service", "tms-qcluster-watchdog.timer"]


def setting(name):
    unit = ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[method-assign,assignment]
    unit.read_string(UNITS[UNIT])
    return unit["Service"][name]


COMMANDS = {
    setting("ExecStart").replace("/srv/tms/.venv/bin/python", "python"),
    re.search(r"^docker run .* registry\.example\.com/tms (.*)$", PAGE, re.M)[1],
    re.search(r"^    command: (.*)$", PAGE, re.M)[1],
}
"""Of systemd, docker and compose."""


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
@pytest.mark.parametrize("name", WHOLE)
def test_systemd_accepts_the_unit(name, tmp_path):
    # The files that the unit names, in another folder.
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\n")
    python.chmod(0o755)
    for other in WHOLE:
        (tmp_path / other).write_text(UNITS[other].replace("/srv/tms", str(tmp_path)))

    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(tmp_path / name)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )

    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.django_db(transaction=True)
def test_the_command_delivers_without_a_queue_also_after_a_kill_and_stops_in_time(receiver, processes, tables):
    fill(processes, receiver, 2)
    (command,) = map(shlex.split, COMMANDS)
    assert command[0] == "python"

    with started(command, processes) as first:
        tables.wait_for({"delivered": 4})
        first.kill()
    tables.add_events(1)
    with started(command, processes) as second:
        tables.wait_for({"delivered": 6})
        assert second.poll() is None
        second.send_signal(signal.SIGTERM)
        assert second.wait(timeout=PATIENCE) == 0

    assert len(receiver.received) == 6
    assert float(setting("TimeoutStopSec")) >= 60.0


def started(command, processes):
    """Start a command of the page, in a project that it fits."""
    return forks.Python(*command[1:], env=processes.environment, cwd=ROOT, stdout=subprocess.DEVNULL)
