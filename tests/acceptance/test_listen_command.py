"""``manage.py webhooks_test --listen``: a real process receives real requests, and ends when it is asked to."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import stat
import subprocess
import time
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from tests import forks
from tests.patience import PATIENCE
from tms_webhooks.delivery.signing import signature_headers

ROOT = Path(__file__).parents[2]
SECRET = "whsec_" + "A" * 43 + "="


class Running:
    """The command, and its port once it listens."""

    def __init__(self, *arguments: str) -> None:
        self.process = forks.Python(
            "manage.py",
            "webhooks_test",
            "--listen",
            "--port",
            "0",
            *arguments,
            cwd=ROOT,
            env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings", "WEBHOOK_SECRET": SECRET},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stderr is not None
        found = re.search(r":(\d+)/", self.process.stderr.readline())
        assert found
        self.port = int(found[1])

    def post(self, body: bytes, *, message_id: str = "evt_1", **headers: str) -> int:
        signed = signature_headers(secrets=[SECRET], message_id=message_id, timestamp=int(time.time()), body=body)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        connection.request("POST", "/", body, {**signed, **headers})
        status = connection.getresponse().status
        connection.close()
        return status

    def end(self) -> tuple[int, list[str]]:
        out, _err = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, out.splitlines()


@pytest.fixture
def running():
    """Start the command; what still runs in the end is killed."""
    started: list[Running] = []

    def running(*arguments: str) -> Running:
        started.append(Running(*arguments))
        return started[-1]

    yield running
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
        one.process.communicate()


def test_it_verifies_fails_on_purpose_saves_and_ends(running, tmp_path):
    command = running("--fail-first", "1", "--requests", "2", "--save", str(tmp_path / "saved"), "--json")
    body = b'{"type":"class.cancelled","data":{"name":"Alice"}}'

    assert [command.post(body, authorization="Basic x") for _ in range(2)] == [503, 204]
    status, lines = command.end()

    assert status == 0
    first, second = map(json.loads, lines)
    assert (first["type"], first["id"], first["verified"], first["answered"]) == ("class.cancelled", "evt_1", True, 503)
    assert (second["seen"], second["answered"]) == (2, 204)
    assert "Alice" not in str(lines)
    saved = sorted((tmp_path / "saved").iterdir())
    assert [file.name for file in saved] == ["00001-evt_1.http", "00002-evt_1.http"]
    assert stat.S_IMODE(saved[0].stat().st_mode) == 0o600
    assert b"Basic" not in saved[0].read_bytes()
    assert saved[0].read_bytes().endswith(b"\r\n\r\n" + body)


def test_what_does_not_verify_is_refused_told_and_makes_the_exit_status_1(running):
    command = running()

    assert command.post(b"\x1b[2J", **{"webhook-signature": "v1,AAAA"}) == 401
    command.process.send_signal(signal.SIGTERM)
    status, lines = command.end()

    assert status == 1
    assert "NOT VERIFIED  -> 401" in lines[0]
    assert lines[1].strip().startswith("No signature matches")
    assert "\x1b" not in str(lines)


def test_a_taken_port_is_named_with_the_remedy(monkeypatch):
    monkeypatch.setenv("WEBHOOK_SECRET", SECRET)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CommandError, match=rf"127.0.0.1:{port} is not available: address already in use.*--port"):
            call_command("webhooks_test", "--listen", "--port", str(port))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--port", "70000"], "'70000' is not a port from 0 to 65535"),
        (["--fail-share", "2"], "'2' is not a share from 0 to 1"),
        (["--fail-with", "99"], "'99' is not an HTTP status"),
        (["--secret-env", "NOT_SET"], "NOT_SET is not set"),
        (["--save", "/dev/null/x", "--secret-env", "WEBHOOK_SECRET"], "/dev/null/x can't be created"),
    ],
)
def test_bad_input_is_named(monkeypatch, arguments, expected):
    monkeypatch.setenv("WEBHOOK_SECRET", SECRET)
    with pytest.raises(CommandError, match=expected):
        call_command("webhooks_test", "--listen", *arguments)
