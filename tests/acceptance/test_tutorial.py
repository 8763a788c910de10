"""The developer's tutorial leads from an empty folder to a verified request, by its own words alone."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TUTORIAL = ROOT / "docs" / "tutorial" / "developer.md"
BLOCK = re.compile(r"^```(python|sh|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LISTEN = "webhooks_listen"


@pytest.fixture
def world(tmp_path):
    """A folder whose ``.venv`` is this one's, and a port that is free."""
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    for name in ("python", "django-admin"):
        (tmp_path / ".venv" / "bin" / name).symlink_to(Path(sys.executable).parent / name)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in {"DJANGO_SETTINGS_MODULE", "TMS_DATABASE"} and not name.startswith("COV_")
    }
    running: list[subprocess.Popen[str]] = []

    def write(code: str) -> None:
        """Write a block to the file that its first line names; settings are added at the end of theirs."""
        first, _, rest = code.partition("\n")
        file = tmp_path / first.removeprefix("# ")
        before = file.read_text() + "\n" if file.name == "settings.py" else ""
        file.write_text(before + rest.replace("9000", port))

    def run(line: str) -> None:
        """Run a line of a shell; what listens goes on in the background."""
        if line.startswith(("python3 -m venv", ".venv/bin/pip")):
            return
        if LISTEN in line:
            process = subprocess.Popen(
                [sys.executable, *line.split()[1:], "--port", port],
                cwd=tmp_path,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            running.append(process)
            assert process.stderr is not None
            assert "Listening" in process.stderr.readline()
            return
        # The interpreter by its own name: a symbolic link to it would not find the packages.
        done = subprocess.run(
            line.replace(".venv/bin/python", sys.executable).replace(
                ".venv/bin/django-admin", f"{sys.executable} -m django"
            ),
            shell=True,
            cwd=tmp_path,
            env={**environment, "PYTHONPATH": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        assert "WARNINGS" not in done.stdout + done.stderr, done.stdout + done.stderr

    yield write, run, running
    for process in running:
        process.kill()
        process.communicate()


def test_every_step_works_and_the_request_is_verified(world):
    write, run, running = world
    promised = ""

    for language, code in BLOCK.findall(TUTORIAL.read_text(encoding="utf-8")):
        if language == "python":
            write(code)
        elif language == "sh":
            for line in code.splitlines():
                run(line)
        else:
            promised = code

    (listener,) = running
    listener.terminate()
    printed, _errors = listener.communicate(timeout=20)
    assert listener.returncode == 0
    line = re.compile(r"\d\d:\d\d:\d\d\.\d{3}  class\.cancelled  evt_[0-9a-f]{32}  verified  -> 204\n")
    assert line.fullmatch(printed), printed
    assert line.fullmatch(promised), promised
