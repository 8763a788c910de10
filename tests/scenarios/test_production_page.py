"""The units and the container commands of the page on production: they are valid, and what they start delivers."""

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from configparser import ConfigParser
from contextlib import contextmanager
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import pytest

from tests import forks
from tests.patience import PATIENCE
from tests.scenarios.outcome import fill
from tests.scenarios.processes import ROOT

pytestmark = pytest.mark.slow

PAGE = (ROOT / "docs" / "howto" / "production.md").read_text(encoding="utf-8")
UNITS = dict(re.findall(r"^```ini\n# /etc/systemd/system/([\w.-]+)[^\n]*\n(.*?)^```$", PAGE, re.M | re.S))
WEB, UNIT, CLUSTER = "tms-web.service", "tms-webhooks.service", "tms-qcluster.service"


def settings_of(name):
    """Return the section ``Service`` of a unit."""
    unit = ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[method-assign,assignment]
    unit.read_string(UNITS[name])
    return unit["Service"]


COMMANDS = {
    settings_of(UNIT)["ExecStart"].replace("/srv/tms/.venv/bin/python", "python"),
    re.search(r"^    command: (.*)$", PAGE, re.M)[1],
}
"""Of systemd and compose."""


def whole(name):
    """Return the text of a unit. The cluster's lines take the place of those of the drain's."""
    return f"{UNITS[UNIT]}\n[Service]\nExecStart=\n{UNITS[name]}" if name == CLUSTER else UNITS[name]


@pytest.mark.parametrize("name", UNITS)
def test_systemd_accepts_the_unit(name, tmp_path):
    if shutil.which("systemd-analyze") is None:
        if os.environ.get("CI"):
            pytest.fail("systemd-analyze is not installed here. Debian's package systemd has it.")
        pytest.skip("systemd-analyze is not installed here. Debian's package systemd has it.")
    # The files that the unit names, in another folder.
    for program in ("python", "gunicorn"):
        path = tmp_path / ".venv" / "bin" / program
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("#!/bin/sh\n")
        path.chmod(0o755)
    for other in UNITS:
        (tmp_path / other).write_text(whole(other).replace("/srv/tms", str(tmp_path)))

    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(tmp_path / name)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )

    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def status_of(url):
    try:
        return urlopen(url, timeout=PATIENCE).status
    except HTTPError as error:
        return error.code
    except URLError:
        return None


def wait_for_status(url, status):
    end = time.monotonic() + PATIENCE
    while status_of(url) != status:
        assert time.monotonic() < end, status_of(url)
        time.sleep(0.05)


@contextmanager
def web_server(processes):
    """Start the page's command for the web server, in a project that it fits; yield its address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    _program, *arguments = shlex.split(settings_of(WEB)["ExecStart"])
    replaced = {"mysite.wsgi": "example_project.wsgi", "127.0.0.1:8000": address}
    command = [sys.executable, "-m", "gunicorn", *(replaced.pop(one, one) for one in arguments)]
    assert not replaced
    server = subprocess.Popen(command, env=processes.environment, cwd=ROOT, stderr=subprocess.DEVNULL)
    try:
        yield f"http://{address}"
    finally:
        server.terminate()
        server.wait(timeout=PATIENCE)


@pytest.mark.django_db(transaction=True)
def test_gunicorn_is_ready_without_a_drain_and_healthy_with_one(receiver, processes, tables):
    fill(processes, receiver, 1)
    (command,) = map(shlex.split, COMMANDS)

    with web_server(processes) as url:
        wait_for_status(f"{url}/webhooks/health/ready/", 200)
        assert status_of(f"{url}/webhooks/health/") == 503
        with started(command, processes) as drain:
            wait_for_status(f"{url}/webhooks/health/", 200)
            tables.wait_for({"delivered": 2})
            drain.terminate()
            assert drain.wait(timeout=PATIENCE) == 0

    assert len(receiver.received) == 2


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
    assert float(settings_of(UNIT)["TimeoutStopSec"]) >= 60.0


def started(command, processes):
    """Start a command of the page, in a project that it fits."""
    return forks.Python(*command[1:], env=processes.environment, cwd=ROOT, stdout=subprocess.DEVNULL)
