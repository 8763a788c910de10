"""docs/howto/low-code.md: its request, run by sh, makes webhooks whose requests the stand-ins of the vendors accept.

Each stand-in refuses what its vendor's documentation says that the vendor refuses.
"""

import json
import os
import re
import shutil
import subprocess
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

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
from tms_webhooks.expiry import scan_all
from tms_webhooks.models import Webhook

pytestmark = [ONCE, pytest.mark.django_db(transaction=True)]

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "low-code.md"
BLOCKS = re.compile(r"^## ([^\n]+)\n|^```json\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def webhooks_of_page():
    """Yield each webhook of the page, with the heading of its section."""
    heading = ""
    for title, code in BLOCKS.findall(PAGE.read_text("utf-8")):
        heading = title or heading
        if code and "organization" in (values := json.loads(code)):
            yield heading, values


WEBHOOKS = dict(webhooks_of_page())
REQUEST = re.search(r"^```sh\n(curl .*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)[1]


def cancel(organization):
    TrainingClassFactory(organization=organization, name="R&D <Basics>").cancel()


def expire(organization):
    now = timezone.now()
    CourseAssignmentFactory(user=UserFactory(organization=organization), expires_at=now + timedelta(days=10))
    scan_all(now=now)


def enroll(organization):
    ClassEnrollmentFactory(training_class__organization=organization)


def award(organization):
    UserAchievementFactory(user=UserFactory(organization=organization))


def slack(request):
    """Slack answers "ok", or 400 to a message without text or with blocks beyond its limits. Some characters are its own.

    https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks/ and reference/block-kit/blocks/
    """
    assert request.headers["content-type"].startswith("application/json")
    message = request.event
    header, section, _context = message["blocks"]
    assert message["text"]
    assert header["text"]["type"] == "plain_text"
    assert len(header["text"]["text"]) <= 150
    fields = [field["text"] for field in section["fields"]]
    assert len(fields) <= 10
    assert all(len(field) <= 2_000 for field in fields)
    assert "*Name*\nR&amp;D &lt;Basics&gt;" in fields
    return Answer(200, body=b"ok")


def teams(request):
    """The trigger answers 202 to a message of at most 28 KB with adaptive cards, at a URL with its signature.

    https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/connectors-using
    """
    assert request.headers["content-type"].startswith("application/json")
    assert "sig=XXXX" in request.path
    assert len(request.body) <= 28 * 1024
    message = request.event
    (attachment,) = message["attachments"]
    card = attachment["content"]
    assert (message["type"], attachment["contentType"]) == ("message", "application/vnd.microsoft.card.adaptive")
    assert (card["type"], card["version"]) == ("AdaptiveCard", "1.4")
    assert "Days left" in {fact["title"] for fact in card["body"][1]["facts"]}
    return Answer(202)


def event_grid(request):
    """A topic takes an event in the CloudEvents schema with one of its keys, of at most 1 MB.

    https://learn.microsoft.com/azure/event-grid/post-to-custom-topic and cloud-event-schema. The names of further attributes:
    https://learn.microsoft.com/azure/event-grid/namespaces-cloud-events
    """
    assert request.method == "POST"
    assert request.path == "/api/events?api-version=2018-01-01"
    assert request.headers["aeg-sas-key"] == "XXXX"
    assert request.headers["content-type"].startswith("application/cloudevents+json")
    assert len(request.body) <= 1_048_576
    event = request.event
    assert event["specversion"] == "1.0"
    assert all(isinstance(event[name], str) and event[name] for name in ("id", "source", "type"))
    assert all(re.fullmatch("[a-z0-9]{1,20}", name) for name in event)
    assert event["type"] == "achievement.received"
    return Answer(200)


def power_automate(request):
    """The trigger takes any object; each value of ours is a field."""
    values = request.event
    assert {"event_id", "event_type", "event_time", "event_title"} <= values.keys()
    assert all(isinstance(value, str) for value in values.values())
    return Answer(202)


CASES = {
    "Slack": (cancel, slack),
    "Microsoft Teams": (expire, teams),
    "Azure Event Grid": (award, event_grid),
    "Power Automate": (enroll, power_automate),
}


@pytest.mark.parametrize("name", WEBHOOKS)
def test_a_webhook_of_the_page_is_made_by_its_request_and_its_vendor_accepts_the_event(
    name, live_server, receiver, drain, tmp_path
):
    if shutil.which("curl") is None:
        pytest.skip("There is no curl.")
    happen, accept = CASES[name]
    organization = OrganizationFactory()
    _key, clear = ApiKey.objects.create_key(name="Low code", organization=organization)
    url = urlsplit(WEBHOOKS[name]["url"])._replace(scheme="http", netloc=f"127.0.0.1:{receiver.port}").geturl()
    values = {**WEBHOOKS[name], "organization": organization.pk, "url": url}
    (tmp_path / "webhook.json").write_text(json.dumps(values))
    environment = {
        **os.environ,
        "TMS_API": f"{live_server.url}/api",
        "TMS_AUTHORIZATION": f"Api-Key {clear}",
    }

    done = subprocess.run(
        ["sh", "-c", REQUEST],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    answers = []
    receiver.respond = lambda request: answers.append(accept(request)) or answers[-1]
    happen(organization)
    drain()

    assert len(answers) == 1, receiver.received
    assert list(Webhook.objects.get().deliveries.values_list("status", flat=True)) == ["delivered"]


def test_every_webhook_of_the_page_is_tried():
    assert WEBHOOKS.keys() == CASES.keys()
