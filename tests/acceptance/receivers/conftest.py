"""A receiver of the documents as a process, and a webhook that leads to it."""

import os
import socket
import subprocess
import time

import pytest

from example_project.training.factories import OrganizationFactory
from tests.factories import WebhookFactory
from tests.patience import PATIENCE

SECRET = "whsec_" + "A" * 43 + "="


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def wait_for(port, process):
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        assert process.poll() is None, f"the receiver ended: {process.communicate()}"
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError(f"nothing listens after {PATIENCE} s")


@pytest.fixture
def port():
    return free_port()


@pytest.fixture
def start(tmp_path, port):
    """Start a receiver in the test's folder, and wait until it listens; it is stopped in the end."""
    started = []

    def start(*command, **environment):
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("DJANGO_", "COV_"))}
        process = subprocess.Popen(
            command,
            cwd=tmp_path,
            env={**clean, "WEBHOOK_SECRET": SECRET, "PORT": str(port), **environment},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        wait_for(port, process)

    yield start
    for process in started:
        process.terminate()
        try:
            process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


@pytest.fixture
def webhook(db, settings, port):
    """A webhook to the receiver, which may be reached."""
    settings.TMS_WEBHOOKS = {
        **settings.TMS_WEBHOOKS,
        "ALLOWED_SCHEMES": ["http"],
        "UNCHECKED_HOSTS": ["127.0.0.1"],
        "ALLOWED_PORTS": [port],
    }
    webhook = WebhookFactory(
        organization=OrganizationFactory(), url=f"http://127.0.0.1:{port}/hooks/tms", events=["class.*"]
    )
    webhook.secrets.update(value=SECRET)
    return webhook
