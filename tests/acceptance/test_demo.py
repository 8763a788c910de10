"""``manage.py demo``, run to its end and interrupted."""

import json
import os
import re
import signal
import sqlite3
import subprocess
import textwrap
import time
from contextlib import closing
from pathlib import Path

import pytest
from django.conf import settings

from tests.acceptance.browser import Desk
from tests.extras import python_with
from tests.patience import PATIENCE
from tests.signals import children_ignore
from tms_webhooks import catalogue

pytestmark = pytest.mark.slow

CAN_LOOK = Path("/proc/self/environ").exists()
"""Whether the environment of other processes can be read here, by which those of a demo are known."""


def start(python, folder, *options, ignoring=()):
    """Start the demo with no more than a shell would have given it, which may have it ignore signals."""
    ours = ("DJANGO_", "TMS_", "PYTEST_", "COV_")
    environ = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    with children_ignore(*ignoring):
        return subprocess.Popen(
            [python, "manage.py", "demo", "--folder", str(folder), *options],
            cwd=settings.BASE_DIR,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )


def left_behind(folder):
    """Return the command lines of processes that still work for the demo in ``folder``."""
    mark = f"TMS_DEMO={folder}".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (process / "environ").read_bytes().split(b"\0"):
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue  # The process has ended, or belongs to another user.
    return found


def stays_behind(folder):
    """Return the processes that are left behind for good: one that was killed is there for another moment."""
    end = time.monotonic() + PATIENCE
    while (found := left_behind(folder)) and time.monotonic() < end:
        time.sleep(0.05)
    return found


class Run:
    """A whole run of ``demo --json``, made once for all tests of it."""

    def __init__(self, python, folder):
        self.folder = folder
        process = start(python, folder, "--json")
        try:
            self.output, _ = process.communicate(timeout=3 * PATIENCE)
        finally:
            process.kill()
        self.code = process.returncode
        self.left_behind = stays_behind(folder)

    @property
    def figures(self):
        return json.loads(self.output.splitlines()[-1])


def rows(run, statement):
    with closing(sqlite3.connect(run.folder / "demo.sqlite3")) as database:
        return database.execute(statement).fetchall()


@pytest.fixture(scope="module")
def run(demo_python, tmp_path_factory):
    return Run(demo_python, tmp_path_factory.mktemp("demo"))


def test_it_exits_with_0_and_every_expected_delivery_was_made_of_every_type(run):
    assert run.code == 0, run.output
    assert run.figures["delivered"] == run.figures["expected"] > 200
    assert run.figures["events"] > 160
    assert (run.figures["missing"], run.figures["unverified"], run.figures["unexpected"]) == (0, 0, 0)
    assert "PROBLEM" not in run.output
    # An organization can't move, and has no webhook when it is created.
    impossible = {f"organization.{verb}" for verb in ("removed", "added", "created")}
    expected = {one.name for one in catalogue.all_types()} - impossible
    assert run.figures["event_types"] == run.figures["catalogue"] == len(expected)
    delivered = "SELECT DISTINCT e.type FROM tms_webhooks_event e JOIN tms_webhooks_delivery d ON d.event_id = e.id"
    assert {name for (name,) in rows(run, f"{delivered} WHERE d.status = 'delivered'")} == expected
    # By a wake-up, and not by the sweep of each minute. How fast that is, the benchmarks measure.
    assert 0 < run.figures["latency_ms_p50"] < 30_000
    assert run.figures["latency_ms_p50"] <= run.figures["latency_ms_p95"]


def test_a_poller_sees_the_same_changes_and_not_all_of_them(run):
    watch = run.figures["watch"]
    # On a machine so slow that each change lasts for a second, it sees all. Which is faster, the benchmarks measure.
    assert watch["changes"] >= watch["seen"] > 0
    assert watch["polls"] % 2 == 0
    assert watch["webhook_ms_p50"] > 0
    assert watch["polling_ms_p50"] > 0
    _, _, summary = run.output.partition("\nPolling ")
    assert f"{watch['changes']} status changes. Webhook: {watch['changes']} requests, " in summary
    assert f"Poller, each second: {watch['polls']} requests, {watch['seen']} changes seen, " in summary


def test_it_shows_a_request_and_the_action_of_the_receiver(run):
    _, _, rest = run.output.partition("One request, as the receiver got it:\n\n")
    shown, _, after = rest.partition("\n\nThe receiver ")
    headers, _, body = textwrap.dedent(shown).partition("\n\n")
    event = json.loads(body)
    assert headers.startswith("POST /")
    assert f"webhook-id: {event['id']}\n" in headers
    assert event["type"] == "enrollment.enrolled"
    action = (
        f"verified the signature, stored enrollment {event['data']['id']}: Approve became Enroll, and answered 204."
    )
    assert after.splitlines()[0] == action
    assert max(map(len, shown.splitlines())) <= 80


ATTEMPTS = (
    "SELECT a.number, a.status_code, d.id FROM tms_webhooks_deliveryattempt a"
    " JOIN tms_webhooks_delivery d ON d.id = a.delivery_id JOIN tms_webhooks_event e ON e.id = d.event_id"
    " JOIN tms_webhooks_webhook w ON w.id = d.webhook_id WHERE "
)


def test_a_crash_an_outage_and_a_receiver_that_is_gone_lose_nothing(run):
    assert run.figures["repeated"] >= 4
    (line,) = [line for line in run.output.splitlines() if "killed with -9" in line]
    assert "requests unanswered" in line
    answered = "SELECT delivery_id FROM tms_webhooks_deliveryattempt WHERE status_code = 503"
    outage = rows(run, f"{ATTEMPTS} e.type = 'class.guaranteed_to_run' AND d.id IN ({answered}) ORDER BY a.number")
    assert [attempt[:2] for attempt in outage] == [(1, 503), (2, 503), (3, 204)]
    gone = rows(run, f"{ATTEMPTS} e.type = 'class.deleted' AND w.name = 'Archive' ORDER BY a.id")
    assert [status for _number, status, _delivery in gone[:3]] == [503, 503, 410]
    assert sorted(attempt[1:] for attempt in gone[3:]) == [(204, delivery) for *_attempt, delivery in gone[:3]]


def test_the_cluster_stops_by_itself_and_nothing_is_left_behind(run):
    assert "The cluster is stopped by SIGTERM: it took" in run.output
    assert run.left_behind == []


@pytest.fixture
def interrupted(demo_python, tmp_path):
    """A demo in the background of a script, under nohup: it ignored SIGINT and SIGHUP at its start."""
    process = start(demo_python, tmp_path, ignoring=[signal.SIGINT, signal.SIGHUP])
    yield process
    process.kill()
    process.communicate()


def test_it_goes_on_after_sighup_a_second_one_in_its_folder_is_refused_and_sigint_ends_all_its_processes(
    interrupted, demo_python, tmp_path
):
    assert interrupted.stdout is not None
    for line in interrupted.stdout:
        if "A web server and a django-q2 cluster start" in line:
            break
    assert not CAN_LOOK or len(left_behind(tmp_path)) > 3
    interrupted.send_signal(signal.SIGHUP)

    second = start(demo_python, tmp_path)

    output, _ = second.communicate(timeout=PATIENCE)
    assert second.returncode == 1
    assert output.strip() == f"CommandError: Another demo is running in {tmp_path}: stop it first."

    interrupted.send_signal(signal.SIGINT)

    interrupted.communicate(timeout=PATIENCE)
    assert interrupted.returncode == 130
    assert stays_behind(tmp_path) == []


@pytest.fixture
def served(demo_python, tmp_path):
    """A demo that serves its day: its process, and its output."""
    process = start(demo_python, tmp_path, "--serve")
    lines = []
    for line in process.stdout:
        lines.append(line)
        if "Ctrl-C ends it." in line:
            break
    yield process, "".join(lines)
    process.kill()
    process.communicate()


def test_with_serve_an_administrator_and_a_customer_look_at_the_day(served, chromium, tmp_path):
    process, lines = served
    (password,) = re.findall(r"Password of these accounts: (\S+)", lines)
    accounts = re.findall(
        r"^(\S+) +(operator|administrator|webhooks) of (.+): (http://127[^/]+)(/\S+)$", lines, re.MULTILINE
    )
    assert [role for _name, role, *_ in accounts] == [
        "operator",
        "administrator",
        "webhooks",
        "administrator",
        "webhooks",
    ]
    for name, _role, _organization, address, path in accounts[1:3]:
        desk = Desk(chromium, address)
        desk.sign_in(name, at=path, password=password)

        page = desk.open(f"{path}tms_webhooks/delivery/?q=class.cancelled")

        assert page.locator("#result_list tbody tr").count() > 0
        assert "CRM" in page.inner_text("#result_list")
        desk.close()
    process.send_signal(signal.SIGINT)

    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, lines + output
    assert stays_behind(tmp_path) == []


def test_a_missing_package_is_named_with_the_group_that_installs_it(tmp_path):
    python = python_with("yaml", tmp_path)

    process = start(python, tmp_path / "demo")

    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert "No module named 'rest_framework_api_key'" in output
    assert output.splitlines()[-1].endswith("the group 'demo': .venv/bin/pip install -e . --group demo")
