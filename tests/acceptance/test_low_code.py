"""docs/howto/low-code.md: its requests, run by sh, make webhooks whose requests the stand-ins of the vendors accept."""

import json
import os
import re
import shutil
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from example_project.training.factories import (
    ClassEnrollmentFactory,
    CourseAssignmentFactory,
    OrganizationFactory,
    TrainingClassFactory,
    UserAchievementFactory,
    UserFactory,
)
from example_project.training.models import ApiKey
from tests.acceptance.once import ONCE
from tests.patience import PATIENCE
from tests.receiver import Answer
from tms_webhooks.expiry.scan import scan_all
from tms_webhooks.models import Webhook

pytestmark = [ONCE, pytest.mark.django_db(transaction=True)]

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "low-code.md"
REQUESTS = dict(
    re.findall(r"<!-- run: (\w+) -->\n```sh\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
)


def cancel(organization):
    TrainingClassFactory(organization=organization, name="R&D <Basics>").cancel()


def expire(organization):
    now = timezone.now()
    CourseAssignmentFactory(user=UserFactory(organization=organization), expires_at=now + timedelta(days=10))
    scan_all(now=now, out_of_time=lambda: False)


def enroll(organization):
    ClassEnrollmentFactory(training_class__organization=organization)


def award(organization):
    UserAchievementFactory(user=UserFactory(organization=organization))


def slack(body):
    """Slack refuses a message without text or blocks, and special characters are its own."""
    message = json.loads(body)
    fields = [field["text"] for field in message["blocks"][1]["fields"]]
    assert "*Name*\nR&amp;D &lt;Basics&gt;" in fields
    return Answer(200, body=b"ok")


def teams(body):
    (attachment,) = json.loads(body)["attachments"]
    assert attachment["content"]["type"] == "AdaptiveCard"
    assert "Days left" in {fact["title"] for fact in attachment["content"]["body"][1]["facts"]}
    return Answer(202)


def power_automate(body):
    schema = json.loads(re.search(r"```json\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)[1])
    values = json.loads(body)
    assert schema["properties"].keys() <= values.keys()
    assert all(isinstance(value, str) for value in values.values())
    return Answer(202)


def n8n(body):
    assert json.loads(body)["type"] == "achievement.received"
    return Answer(200)


CASES = {
    "slack": (cancel, slack),
    "teams": (expire, teams),
    "power_automate": (enroll, power_automate),
    "n8n": (award, n8n),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_the_request_of_the_page_makes_a_webhook_that_its_vendor_accepts(name, live_server, receiver, drain):
    if shutil.which("curl") is None:
        pytest.skip("There is no curl.")
    happen, accept = CASES[name]
    organization = OrganizationFactory()
    _key, clear = ApiKey.objects.create_key(name="Low code", organization=organization)
    environment = {
        **os.environ,
        "TMS_API": f"{live_server.url}/api",
        "TMS_AUTHORIZATION": f"Api-Key {clear}",
        "ORGANIZATION": str(organization.pk),
        f"{name.upper()}_URL": f"http://127.0.0.1:{receiver.port}/{name}?sig=0123456789abcdef",
    }

    done = subprocess.run(
        ["sh", "-c", REQUESTS[name]], env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    answers = []
    receiver.respond = lambda request: answers.append(accept(request.body)) or answers[-1]
    happen(organization)
    drain()

    assert len(answers) == 1, receiver.received
    assert list(Webhook.objects.get().deliveries.values_list("status", flat=True)) == ["delivered"]


def test_every_request_of_the_page_is_tried():
    assert REQUESTS.keys() == CASES.keys()
