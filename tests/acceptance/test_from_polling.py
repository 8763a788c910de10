"""docs/howto/from-polling.md: its programs keep a mirror, and find where it differs from what polling returns."""

import json
import os
import re
from pathlib import Path

import pytest

from example_project.training.factories import ClassEnrollmentFactory, OrganizationFactory, TrainingClassFactory
from example_project.training.models import ApiKey, ClassEnrollment
from tests import forks
from tests.acceptance.receivers import pages
from tests.factories import WebhookFactory
from tms_webhooks import catalogue, snapshot
from tms_webhooks.choices import JobKind
from tms_webhooks.manage.jobs import start as start_job

pytestmark = pytest.mark.django_db(transaction=True)

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "from-polling.md"
BLOCK = re.compile(r"^```(python|json)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def organization():
    return OrganizationFactory()


@pytest.fixture
def run(live_server, tmp_path, organization):
    """Run a program of the page, or of the page about receivers, with a key of the organization."""
    _key, clear = ApiKey.objects.create_key(name="HR", organization=organization)
    pages.write(tmp_path, "index")
    for language, code in BLOCK.findall(PAGE.read_text(encoding="utf-8")):
        if language == "python":
            (tmp_path / code.partition("\n")[0].removeprefix("# ")).write_text(code)
    environment = {"TMS_API": f"{live_server.url}/api", "TMS_AUTHORIZATION": f"Api-Key {clear}", "TMS_KEY": clear}

    def run(program):
        done = forks.run(program, cwd=tmp_path, env={**os.environ, **environment})
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


def test_each_event_leaves_in_the_mirror_what_it_says(run, tmp_path):
    def event(name, **values):
        return catalogue.get(name).example() | values

    achievement, path, cancelled = (
        event("achievement.received"),
        event("learning_path.completed"),
        event("class.cancelled"),
    )
    deleted = event("class.deleted", data=cancelled["data"], sequence=cancelled["sequence"] - 1)
    events = [
        event("enrollment.cancelled", test=True),
        event("webhook.failing"),
        achievement,
        event("achievement.revoked", data=achievement["data"], sequence=achievement["sequence"] + 1),
        path,
        path | {"data": path["data"] | {"user": {"id": 9}}},
        {"type": "class.updated", "data": {}, "sequence": 1},
        cancelled,
        deleted,
    ]
    (tmp_path / "events.json").write_text(json.dumps({f"evt_{number}": one for number, one in enumerate(events)}))
    (tmp_path / "put.py").write_text(
        "import json, inbox\nfor key, event in json.load(open('events.json')).items():\n    inbox.put(key, event)\n"
    )
    (tmp_path / "rows.py").write_text(
        "import json, inbox, mirror\n"
        "with mirror.connect() as copy, inbox.connect() as received:\n"
        "    rows = copy.execute('SELECT noun, id, data IS NOT NULL FROM mirror ORDER BY noun, id').fetchall()\n"
        "    print(json.dumps([rows, received.execute('SELECT id FROM inbox WHERE NOT done').fetchall()]))\n"
    )
    for program in ("put.py", "mirror.py"):
        run(program)

    rows, undone = json.loads(run("rows.py"))

    assert rows == [
        ["achievement", str(achievement["data"]["id"]), False],
        # An event that is older than the last one changes nothing.
        ["class", str(cancelled["data"]["id"]), True],
        # A learning path has no id.
        ["learning_path", "44:5012", True],
        ["learning_path", "44:9", True],
    ]
    # The event that raises an error delays none of those after it.
    assert undone == [["evt_6"]]


def test_the_webhook_of_the_page_can_be_created(client, organization, settings_of_app):
    ((_language, code), *others) = [one for one in BLOCK.findall(PAGE.read_text(encoding="utf-8")) if one[0] == "json"]
    assert others == []
    _key, clear = ApiKey.objects.create_key(name="HR", organization=organization)
    body = json.loads(code) | {"organization": organization.pk, "url": "http://127.0.0.1/hooks/tms"}
    settings_of_app(ALLOWED_SCHEMES=["http"], ALLOWED_PORTS=[80])

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
