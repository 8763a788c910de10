"""docs/howto/from-polling.md: its programs keep a mirror, and find where it differs from what polling returns."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from example_project.training.factories import ClassEnrollmentFactory, OrganizationFactory, TrainingClassFactory
from example_project.training.models import ApiKey, ClassEnrollment
from tests.acceptance.receivers import pages
from tests.factories import WebhookFactory
from tests.patience import PATIENCE
from tms_webhooks import catalogue
from tms_webhooks.choices import JobKind
from tms_webhooks.manage.jobs import start as start_job
from tms_webhooks.snapshot import job as snapshot

pytestmark = pytest.mark.django_db(transaction=True)

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "from-polling.md"
BLOCK = re.compile(r"^```(python|json)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

Run = Callable[[str], str]


@pytest.fixture
def organization():
    return OrganizationFactory()


@pytest.fixture
def run(live_server, tmp_path, organization) -> Run:
    """Run a program of the page, or of the page about receivers, with a key of the organization."""
    _key, clear = ApiKey.objects.create_key(name="HR", organization=organization)
    pages.write(tmp_path, "index")
    for language, code in BLOCK.findall(PAGE.read_text(encoding="utf-8")):
        if language == "python":
            (tmp_path / code.partition("\n")[0].removeprefix("# ")).write_text(code)
    environment = {"TMS_API": f"{live_server.url}/api", "TMS_AUTHORIZATION": f"Api-Key {clear}", "TMS_KEY": clear}

    def run(program: str) -> str:
        done = subprocess.run(
            [sys.executable, program],
            cwd=tmp_path,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return run


def test_the_mirror_becomes_equal_to_what_polling_returns(run, organization, drain):
    before = ClassEnrollmentFactory(training_class__organization=organization)
    WebhookFactory(organization=organization, events=["enrollment.*"], enabled=False)
    assert run("compare.py") == f"1 enrollments, 1 different: [{before.pk}]"

    seats = [ClassEnrollmentFactory(training_class=before.training_class) for _ in range(3)]
    seats[0].complete(grade=90)
    before.cancel()
    drain()
    assert run("compare.py") == f"4 enrollments, 4 different: {[before.pk, *(one.pk for one in seats)]}"
    run("catch_up.py")
    run("mirror.py")

    assert run("compare.py") == "4 enrollments, 0 different: []"
    ClassEnrollment.objects.filter(pk=seats[1].pk).update(enrollment_status_id=10)
    assert run("compare.py") == f"4 enrollments, 1 different: [{seats[1].pk}]"


def test_a_snapshot_brings_the_objects_that_exist(run, organization, drain, receiver, tmp_path, clock):
    seats = ClassEnrollmentFactory.create_batch(3, training_class=TrainingClassFactory(organization=organization))
    webhook = WebhookFactory(organization=organization, url=receiver.url, events=["enrollment.*"])
    job = start_job(JobKind.SNAPSHOT, webhook, nouns=["enrollment"], now=clock.now)
    seats[0].cancel()
    while job.finished_at is None:
        while snapshot.work_on(job, now=clock.now):
            pass
        drain()
    seats[1].delete()
    drain()
    (tmp_path / "received.json").write_text(json.dumps(receiver.events))
    (tmp_path / "put.py").write_text(
        "import json, inbox\nfor event in json.load(open('received.json')):\n    inbox.put(event['id'], event)\n"
    )
    run("put.py")
    run("mirror.py")

    assert receiver.events[-2]["type"] == "webhook.snapshot_completed"
    assert run("compare.py") == "2 enrollments, 0 different: []"


def test_a_test_and_an_event_about_a_webhook_change_nothing(run, tmp_path):
    test = catalogue.get("enrollment.cancelled").example() | {"test": True}
    about_a_webhook = catalogue.get("webhook.failing").example()

    assert mirrored_from(run, tmp_path, test, about_a_webhook) == []


def test_an_achievement_that_is_revoked_leaves_the_mirror(run, tmp_path):
    received = catalogue.get("achievement.received").example()
    revoked = catalogue.get("achievement.revoked").example() | {"sequence": received["sequence"] + 1}

    assert mirrored_from(run, tmp_path, received, revoked) == [["achievement", str(received["data"]["id"]), False]]


def test_a_learning_path_without_an_id_is_stored_by_its_path_and_user(run, tmp_path):
    completed = catalogue.get("learning_path.completed").example()
    other = completed | {"data": completed["data"] | {"user": {"id": 9}}}

    assert mirrored_from(run, tmp_path, completed, other) == [
        ["learning_path", "44:5012", True],
        ["learning_path", "44:9", True],
    ]


def test_an_event_that_raises_an_error_does_not_delay_the_next_one(run, tmp_path):
    broken = {"type": "class.updated", "data": {}, "sequence": 1}
    cancelled = catalogue.get("class.cancelled").example()

    rows = mirrored_from(run, tmp_path, broken, cancelled)

    assert rows == [["class", str(cancelled["data"]["id"]), True]]
    assert json.loads(run("undone.py")) == [["evt_0"]]


def mirrored_from(run, folder, *events):
    """Put these events into the inbox, run the mirror, and return its rows: noun, key, and whether it has data."""
    numbered = {f"evt_{number}": event for number, event in enumerate(events)}
    (folder / "events.json").write_text(json.dumps(numbered))
    (folder / "put.py").write_text(
        "import json, inbox\nfor key, event in json.load(open('events.json')).items():\n    inbox.put(key, event)\n"
    )
    for name, module, query in (
        ("rows.py", "mirror", "SELECT noun, id, data IS NOT NULL FROM mirror ORDER BY noun, id"),
        ("undone.py", "inbox", "SELECT id FROM inbox WHERE NOT done"),
    ):
        (folder / name).write_text(
            f"import json, {module}\nwith {module}.connect() as connection:\n"
            f"    print(json.dumps(connection.execute('{query}').fetchall()))\n"
        )
    run("put.py")
    run("mirror.py")
    return [[noun, key, bool(has_data)] for noun, key, has_data in json.loads(run("rows.py"))]


def test_an_older_event_changes_nothing(run, organization, drain, tmp_path):
    seat = ClassEnrollmentFactory(training_class=TrainingClassFactory(organization=organization))
    WebhookFactory(organization=organization, events=["enrollment.*"], enabled=False)
    seat.audit()
    seat.cancel()
    drain()
    run("catch_up.py")
    run("mirror.py")
    (tmp_path / "again.py").write_text(
        "import json, inbox\n"
        "with inbox.connect() as connection, connection:\n"
        "    connection.execute('UPDATE inbox SET done = 0 WHERE rowid = 1')\n"
    )
    run("again.py")

    run("mirror.py")

    assert run("compare.py") == "1 enrollments, 0 different: []"


def test_the_webhook_of_the_page_can_be_created(client, organization, settings):
    ((_language, code), *others) = [one for one in BLOCK.findall(PAGE.read_text(encoding="utf-8")) if one[0] == "json"]
    assert others == []
    _key, clear = ApiKey.objects.create_key(name="HR", organization=organization)
    body = json.loads(code) | {"organization": organization.pk, "url": "http://127.0.0.1/hooks/tms"}
    settings.TMS_WEBHOOKS = {**settings.TMS_WEBHOOKS, "ALLOWED_SCHEMES": ["http"], "ALLOWED_PORTS": [80]}

    answer = client.post(
        "/api/webhooks/", body, content_type="application/json", headers={"authorization": f"Api-Key {clear}"}
    )

    assert answer.status_code == 201, answer.json()


def test_the_page_names_events_that_exist():
    text = PAGE.read_text(encoding="utf-8")
    names = {one.name for one in catalogue.all_types()}
    nouns = {name.split(".")[0] for name in names}
    named = set(re.findall(r"`([a-z_]+\.(?:[a-z_]+|\*))`", text)) - {"webhook.snapshot_completed"}
    rows = {name for name in named if name.split(".")[0] in nouns}

    assert {name for name in rows if not name.endswith(".*")} <= names
    assert len(rows) > 10


def test_the_page_names_fields_that_events_have():
    text = PAGE.read_text(encoding="utf-8")
    rows = [row for row in text.splitlines() if row.startswith(("| `", "| (not"))]
    paths = {path for row in rows for path in re.findall(r"`data\.([a-z_.]+)`", row)}
    known = {
        name.removesuffix(".code") for one in catalogue.all_types() for name in [field.name for field in one.fields]
    }

    assert {path.removesuffix(".code") for path in paths} - known == set()
    assert len(paths) > 12
