"""docs/howto/from-polling.md: its program finds where the mirror differs from what polling returns."""

import json
import os
import re
import shutil
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from example_project.training.factories import (
    ClassEnrollmentFactory,
    CourseAssignmentFactory,
    CourseFeedbackFactory,
    OrganizationFactory,
    SubscriptionAssignmentFactory,
    TrainingClassFactory,
)
from example_project.training.models import ApiKey, ClassEnrollment
from tests import forks, uncaptured
from tests.factories import WebhookFactory
from tms_webhooks import catalogue

pytestmark = pytest.mark.django_db(transaction=True)

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "from-polling.md"
BLOCK = re.compile(r"^```(python|json)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def organization():
    return OrganizationFactory()


@pytest.fixture
def webhook(organization):
    """A pull-only webhook with the nouns of the page."""
    ((_language, code),) = [one for one in BLOCK.findall(PAGE.read_text(encoding="utf-8")) if one[0] == "json"]
    events = [one["event_type"] for one in json.loads(code)["subscriptions"]]
    return WebhookFactory(organization=organization, events=events, pull_only=True, url="")


@pytest.fixture
def run(live_server, tmp_path, organization, webhook):
    """Run a program of the page, or the mirror's, with a key of the organization."""
    _key, clear = ApiKey.objects.create_key(name="HR", organization=organization)
    shutil.copy(PAGE.with_name("mirror.py"), tmp_path)
    for language, code in BLOCK.findall(PAGE.read_text(encoding="utf-8")):
        if language == "python":
            (tmp_path / code.partition("\n")[0].removeprefix("# ")).write_text(code)
    environment = {
        "TMS_API": f"{live_server.url}/api",
        "TMS_AUTHORIZATION": f"Api-Key {clear}",
        "TMS_KEY": clear,
        "WEBHOOK_ID": webhook.public_id,
        "PAUSE": "0",
    }

    def run(*command):
        done = forks.run(*command, cwd=tmp_path, env={**os.environ, **environment})
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    return run


def report(*lines, subscriptions=0, feedback=0):
    """Return what the comparison prints. ``lines`` are those of classes, enrollments and course assignments."""
    found = dict(zip(("class", "enrollment", "course_assignment"), lines, strict=True))
    counts = {"subscription": subscriptions, "feedback": feedback}
    return [
        *(f"{noun}: {polled} polled, {len(keys)} different: {keys}" for noun, (polled, keys) in found.items()),
        *(f"{noun}: {count} polled, {count} in the mirror" for noun, count in counts.items()),
    ]


def test_the_mirror_becomes_equal_to_what_polling_returns(run, organization, drain):
    training_class = TrainingClassFactory(organization=organization)
    seats = ClassEnrollmentFactory.create_batch(4, training_class=training_class)
    assignment = CourseAssignmentFactory(course=training_class.course, user=seats[0].user)
    feedback = CourseFeedbackFactory(course_assignment=assignment)
    SubscriptionAssignmentFactory(user=assignment.user, profile__organization=organization)
    keys = [one.pk for one in seats]
    before = report((1, [training_class.pk]), (4, keys), (1, [assignment.pk]))
    assert run("compare.py")[:3] == before[:3]

    seats[0].complete(grade=90)
    seats[1].cancel()
    drain()
    run("mirror.py", "follow")
    assert run("compare.py") == report((1, []), (4, []), (1, []), subscriptions=1, feedback=1)
    assert run("mirror.py", "compare") == ["The mirror is equal."]

    # What polls for changes miss.
    assignment.extend(expires_at=timezone.now() + timedelta(days=300))
    seats[2].delete()
    feedback.delete()
    drain()
    run("mirror.py", "follow")
    assert run("compare.py") == report((1, []), (3, []), (1, []), subscriptions=1)
    assert run("mirror.py", "compare") == ["The mirror is equal."]

    uncaptured.update(ClassEnrollment.objects.filter(pk=seats[3].pk), enrollment_status_id=10)
    assert run("compare.py") == report((1, []), (3, [seats[3].pk]), (1, []), subscriptions=1)


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
