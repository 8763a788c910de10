"""``manage.py webhooks_drain``: a real process on a database file delivers, and ends when it is asked to."""

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pytest
from django.core.management import CommandError, call_command

from tests import forks
from tests.conftest import ROOT
from tests.patience import PATIENCE
from tests.receiver import Answer
from tests.signals import children_ignore
from tms_webhooks.management.base import SIGNALS, stop_on_signal

# Without it, a run of these tests alone makes no tables to copy.
pytestmark = pytest.mark.django_db

PREPARE = """
import django
django.setup()
from example_project.training.factories import OrganizationFactory
from tests.factories import WebhookFactory
WebhookFactory(organization=OrganizationFactory(), events=["class.scheduled"], max_in_flight=2)
"""
SCHEDULE = """
import sys
import django
django.setup()
from example_project.training.factories import CourseFactory, TrainingClassFactory
from example_project.training.models import Organization
organization = Organization.objects.order_by("pk")[0]
course = CourseFactory(organization=organization)
TrainingClassFactory.create_batch(int(sys.argv[1]), organization=organization, course=course, external_id=None)
"""


class World:
    """A database file with a webhook, and the processes that work on it."""

    def __init__(self, file, *, ports=""):
        self.file = file
        self.environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.settings",
            "TMS_DATABASE": f"sqlite:///{quote(str(file))}",
            "TMS_DEMO_PORTS": ports,
        }
        self.processes = []

    def run(self, *arguments):
        """Run Python to its end, and return what it wrote."""
        process = forks.run(*arguments, cwd=ROOT, env=self.environment)
        assert process.returncode == 0, process.stderr
        return process.stdout

    def drain(self, *arguments, ignoring=()):
        """Start the command, as a shell that has it ignore these signals."""
        with children_ignore(*ignoring):
            process = forks.Python(
                "manage.py",
                "webhooks_drain",
                *arguments,
                cwd=ROOT,
                env=self.environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        self.processes.append(process)
        return process

    def schedule_classes(self, number):
        """Make so many events."""
        self.run("-c", SCHEDULE, str(number))

    def deliveries(self):
        """Return (status, attempts) of each delivery, as the file has them."""
        with closing(sqlite3.connect(self.file)) as database:
            return database.execute("SELECT status, attempts FROM tms_webhooks_delivery ORDER BY id").fetchall()

    def send_to(self, url):
        """Give the webhook this URL."""
        with closing(sqlite3.connect(self.file)) as database, database:
            database.execute("UPDATE tms_webhooks_webhook SET url = ?", [url])

    def slots(self):
        with closing(sqlite3.connect(self.file)) as database:
            return database.execute("SELECT owner FROM tms_webhooks_drainslot").fetchall()


@pytest.fixture(scope="module")
def prepared(empty_file, tmp_path_factory):
    """A database file with a webhook."""
    file = Path(shutil.copy(empty_file, tmp_path_factory.mktemp("prepared")))
    World(file).run("-c", PREPARE)
    return file


@pytest.fixture
def world(prepared, tmp_path, receiver):
    world = World(Path(shutil.copy(prepared, tmp_path)), ports=str(receiver.port))
    world.send_to(receiver.url)
    yield world
    for process in world.processes:
        process.kill()
        process.communicate()


def ended_by(process, number):
    """Send a signal, and return what the process wrote until it ended."""
    process.send_signal(number)
    out, err = process.communicate(timeout=PATIENCE)
    return out, err


def handles(process, number):
    """Return True if a signal calls a function of the process."""
    (handled,) = re.findall(r"SigCgt:\s*(\w+)", Path(f"/proc/{process.pid}/status").read_text())
    return bool(int(handled, 16) >> (number - 1) & 1)


def wait_until_delivered(world, number):
    end = time.monotonic() + PATIENCE
    while [row[0] for row in world.deliveries()].count("delivered") < number:
        assert time.monotonic() < end, world.deliveries()
        time.sleep(0.05)


@pytest.mark.parametrize(
    "number, ignoring",
    [
        (signal.SIGTERM, []),
        (signal.SIGINT, []),
        (signal.SIGHUP, []),
        # In the background of a script, under nohup.
        (signal.SIGINT, [signal.SIGINT, signal.SIGHUP]),
    ],
)
def test_it_delivers_until_a_signal_and_ends_well(world, receiver, number, ignoring):
    process = world.drain("--json", ignoring=ignoring)
    world.schedule_classes(3)
    receiver.wait_for(3)
    wait_until_delivered(world, 3)

    out, err = ended_by(process, number)

    assert process.returncode == 0, err
    assert json.loads(out.splitlines()[-1]) == {"events": 3, "sent": 3, "delivered": 3}
    assert err.splitlines()[0] == "Delivering (stop with Ctrl-C). To see the attempts: webhooks_tail --follow"
    assert "Traceback" not in err
    assert world.deliveries() == [("delivered", 1)] * 3
    # Its own, which it gave up.
    assert world.slots() == [("",)]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc says which signals a process handles")
def test_a_second_signal_ends_it_at_once(world, receiver):
    receiver.respond = lambda request: Answer(delay=2 * PATIENCE)
    world.schedule_classes(1)
    process = world.drain()
    receiver.wait_for(1)
    process.send_signal(signal.SIGTERM)
    # Before it has handled the first, two signals are one.
    end = time.monotonic() + PATIENCE
    while handles(process, signal.SIGTERM):
        assert time.monotonic() < end
        time.sleep(0.05)
    time.sleep(0.5)
    assert process.poll() is None

    ended_by(process, signal.SIGTERM)

    # Without waiting for the answer.
    assert process.returncode == -signal.SIGTERM
    # It is sent again when the lease of its webhook has run out.
    assert world.deliveries() == [("pending", 0)]


# The options


@pytest.mark.django_db
def test_it_ends_where_nothing_is_due(capsys):
    call_command("webhooks_drain", "--until-idle", "--json")

    nothing = {"events": 0, "sent": 0, "delivered": 0, "waiting": 0}
    assert json.loads(capsys.readouterr().out) == nothing


@pytest.mark.django_db
def test_it_ends_after_its_time(capsys):
    start = time.monotonic()

    call_command("webhooks_drain", "--seconds", "0.3", "--no-timer")

    assert 0.3 <= time.monotonic() - start < PATIENCE
    assert capsys.readouterr().out == "Events fanned out: 0. Requests sent: 0, delivered: 0.\n"


@pytest.mark.django_db
def test_it_leaves_the_process_its_own_signal_handlers(capsys):
    before = [signal.getsignal(number) for number in SIGNALS]

    call_command("webhooks_drain", "--until-idle")

    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_a_hang_up_that_nohup_ignores_does_not_stop_it():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop_on_signal() as stop:
            signal.raise_signal(signal.SIGHUP)
            assert not stop.is_set()
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "soon", ""])
def test_a_time_that_is_none_is_refused(text):
    with pytest.raises(CommandError, match="is not a number of seconds above 0"):
        call_command("webhooks_drain", f"--seconds={text}")
