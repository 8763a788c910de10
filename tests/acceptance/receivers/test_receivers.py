"""The receivers of docs/howto/receive/ take real requests, once each, and refuse the rest."""

import http.client
import json
import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import pytest

from example_project.training.factories import TrainingClassFactory
from tests.acceptance.once import ONCE
from tests.acceptance.receivers import pages
from tests.acceptance.receivers.conftest import SECRET
from tests.patience import PATIENCE
from tms_webhooks.choices import DeliveryStatus
from tms_webhooks.delivery.signing import signature_headers
from tms_webhooks.manage.deliveries import resend
from tms_webhooks.models import Delivery

pytestmark = ONCE
OTHER = "whsec_" + "B" * 42 + "A="
DJANGO_PROJECT = """
import os, sys
from django.conf import settings
settings.configure(
    SECRET_KEY="x" * 50, DEBUG=True, ROOT_URLCONF="receiving.urls", INSTALLED_APPS=["receiving"], USE_TZ=True,
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "inbox.sqlite3"}},
    WEBHOOK_SECRET=os.environ["WEBHOOK_SECRET"],
)
from django.core.management import execute_from_command_line
execute_from_command_line(["manage.py", "migrate", "--run-syncdb", "-v", "0"])
execute_from_command_line(["manage.py", "runserver", "--noreload", "127.0.0.1:" + os.environ["PORT"]])
"""


@pytest.fixture
def told_once(webhook, drain, clock):
    """Send one event three times and a forged one; the receiver may keep one of them."""

    def told_once(kept):
        TrainingClassFactory(organization=webhook.organization).cancel()
        drain()
        delivery = Delivery.objects.get(event__type="class.cancelled")
        assert delivery.status == DeliveryStatus.DELIVERED, delivery.attempt_log.values()
        for _ in range(2):
            resend(delivery, now=clock.now)
            drain()
            delivery.refresh_from_db()
            assert delivery.status == DeliveryStatus.DELIVERED
        body = b'{"id":"evt_forged"}'
        for forged in (
            signature_headers(secrets=[OTHER], message_id="evt_forged", timestamp=int(time.time()), body=body),
            {},
        ):
            assert post(webhook.url, body, forged) == 401
        expected = Delivery.objects.values_list("event__uid", flat=True)
        assert sorted(kept()) == sorted(f"evt_{uid.hex}" for uid in expected)

    return told_once


def post(url, body, headers):
    host = url.split("/")[2]
    connection = http.client.HTTPConnection(host, timeout=PATIENCE)
    connection.request("POST", "/hooks/tms", body, headers)
    status = connection.getresponse().status
    connection.close()
    return status


def ids_in(file, table):
    with closing(sqlite3.connect(file)) as connection:
        rows = connection.execute(f"SELECT id, event FROM {table}").fetchall()
    assert all(json.loads(event)["id"] == key for key, event in rows)
    return [key for key, _event in rows]


def test_flask(tmp_path, start, port, told_once):
    pytest.importorskip("flask")
    pages.write(tmp_path, "index", "flask")
    start(sys.executable, "-m", "flask", "--app", "receiver", "run", "--port", str(port))

    told_once(lambda: ids_in(tmp_path / "inbox.sqlite3", "inbox"))

    handled = subprocess.run(
        [sys.executable, "-c", "import inbox\nfor _ in 1, 2: inbox.work(lambda event: print(event['type']))"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE,
    )
    assert sorted(handled.stdout.split()) == ["class.cancelled", "class.scheduled"]


def test_fastapi(tmp_path, start, port, told_once):
    pytest.importorskip("fastapi")
    pages.write(tmp_path, "index", "fastapi")
    start(sys.executable, "-m", "uvicorn", "receiver:app", "--port", str(port))

    told_once(lambda: ids_in(tmp_path / "inbox.sqlite3", "inbox"))


def test_django(tmp_path, start, told_once):
    pages.write(tmp_path, "django")
    (tmp_path / "receiving" / "__init__.py").touch()
    (tmp_path / "serve.py").write_text(DJANGO_PROJECT)
    start(sys.executable, "serve.py")

    told_once(lambda: ids_in(tmp_path / "inbox.sqlite3", "receiving_incoming"))


def test_express(tmp_path, start, told_once, node_modules):
    (tmp_path / "node_modules").symlink_to(node_modules)
    pages.write(tmp_path, "express")
    start("node", "receiver.mjs")

    told_once(lambda: [json.loads(line)["id"] for line in (tmp_path / "inbox.jsonl").read_text().splitlines()])


def test_php(tmp_path, start, port, told_once):
    php = shutil.which("php")
    if php is None:
        pytest.skip("php is not installed")
    pages.write(tmp_path, "php")
    start(php, "-S", f"127.0.0.1:{port}", "receiver.php", INBOX=str(tmp_path / "inbox"))

    told_once(lambda: [file.name for file in (tmp_path / "inbox").iterdir()])


def test_php_answers_500_if_the_event_can_not_be_stored(webhook, tmp_path, start, port):
    php = shutil.which("php")
    if php is None:
        pytest.skip("php is not installed")
    pages.write(tmp_path, "php")
    (tmp_path / "file").touch()
    start(php, "-S", f"127.0.0.1:{port}", "receiver.php", INBOX=str(tmp_path / "file" / "inbox"))
    body = b'{"id":"evt_1"}'
    signed = signature_headers(secrets=[SECRET], message_id="evt_1", timestamp=int(time.time()), body=body)

    assert post(webhook.url, body, signed) == 500
