"""The integrator's tutorial works as it stands: every line of it, from a new webhook to a new secret."""

import os
import re
import shutil
import signal
import socket
import subprocess
from contextlib import ExitStack, suppress

import pytest

from tests.acceptance.once import ONCE
from tests.conftest import ROOT
from tests.patience import PATIENCE

pytestmark = [pytest.mark.slow, ONCE]

TUTORIAL = ROOT / "docs" / "tutorial" / "integrator.md"
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def free_ports(number):
    with ExitStack() as stack:
        servers = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(number)]
        return [str(server.getsockname()[1]) for server in servers]


@pytest.fixture
def checkout(tmp_path, demo_python):
    """A folder that looks like a checkout with the environment of the page, and keeps what the page writes."""
    for name in ("manage.py", "example_project", "tms_webhooks"):
        (tmp_path / name).symlink_to(ROOT / name)
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    # The interpreter by its own name: a symbolic link to it would not find the packages.
    python.write_text(f'#!/bin/sh\nexec "{demo_python}" "$@"\n')
    python.chmod(0o755)
    return tmp_path


def test_every_line_of_the_page_works(checkout):
    if shutil.which("curl") is None:
        pytest.skip("There is no curl.")
    # The stricter one: what it understands, Bash does too.
    shell = "dash" if shutil.which("dash") else "bash"
    # An older dash has no pipefail.
    options = "set -eux\n(set -o pipefail) 2> /dev/null && set -o pipefail\n"
    server, receiver = free_ports(2)
    page = "\n".join(BLOCK.findall(TUTORIAL.read_text(encoding="utf-8")))
    script = checkout / "tutorial.sh"
    # This test reads the logs.
    page = page.replace("rm received.log server.log workers.log\n", "")
    script.write_text(options + page.replace("8000", server).replace("9000", receiver))
    environment = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}

    process = subprocess.Popen(
        [shell, str(script)],
        cwd=checkout,
        env={**environment, "TMS_DATABASE": f"sqlite:///{checkout}/tutorial.sqlite3", "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # Servers and workers have to go with it.
        start_new_session=True,
    )
    try:
        printed, _none = process.communicate(timeout=3 * PATIENCE)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        printed, _none = process.communicate()
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)

    assert process.returncode == 0, printed + log_of(checkout, "server") + log_of(checkout, "workers")
    received = log_of(checkout, "received")
    assert len(re.findall(r"class\.cancelled  evt_[0-9a-f]{32}  verified", received)) == 1, received
    assert len(re.findall(r"class\.scheduled  evt_[0-9a-f]{32}  verified", received)) == 3, received
    assert len(re.findall(r"enrollment\.approved  evt_[0-9a-f]{32}  verified", received)) == 2, received
    assert "Unknown field 'secrets'." in printed
    assert "refused" not in received
    left = {path.name for path in checkout.iterdir() if path.suffix in {".json", ".log"}}
    assert left == {"received.log", "server.log", "workers.log"}


def log_of(checkout, name):
    return (checkout / f"{name}.log").read_text()
