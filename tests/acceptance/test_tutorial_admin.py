"""What the admin's tutorial names in bold is on the pages of the admin, by that very name."""

import html
import re
import shlex

import pytest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import strip_tags

from example_project.training.factories import UserFactory
from tests.acceptance.once import ONCE
from tests.acceptance.pages import PORT, Follower
from tests.conftest import ROOT
from tests.factories import WebhookFactory
from tests.integration.delivery.rows import write_delivery

pytestmark = pytest.mark.slow

PAGE = ROOT / "docs" / "tutorial" / "admin.md"
NOT_A_LABEL = {"once"}


@pytest.mark.django_db
def test_the_labels_are_there(client):
    client.force_login(UserFactory(username="boss", is_staff=True, is_superuser=True))
    webhook = WebhookFactory(events=["class.*"])
    delivery = write_delivery(webhook, now=timezone.now())
    addresses = [
        reverse("admin:index"),
        reverse("admin:tms_webhooks_webhook_add"),
        reverse("admin:tms_webhooks_webhook_changelist"),
        reverse("admin:tms_webhooks_webhook_change", args=[webhook.public_id]),
        reverse("admin:tms_webhooks_delivery_change", args=[delivery.public_id]),
    ]
    shown = "\n".join(html.unescape(strip_tags(client.get(address).content.decode())) for address in addresses)
    labels = set(re.findall(r"\*\*([^*]+)\*\*", PAGE.read_text(encoding="utf-8"))) - NOT_A_LABEL

    assert len(labels) > 10
    assert {label for label in labels if label not in shown} == set()


@ONCE
def test_the_example_of_the_page_sends_a_verified_request(tmp_path):
    """A script creates the webhook and cancels a class, as the reader does in the admin."""
    text = PAGE.read_text(encoding="utf-8")
    lines = "".join(re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)).splitlines()
    (url,) = set(re.findall(r"`(http://127\.0\.0\.1:\d+/[^`]*)`", text))
    exports = [line for line in lines if line.startswith("export")]
    migrate, seed, _server, drain, listen = [line for line in lines if line not in exports]
    follower = Follower(tmp_path)
    (tmp_path / "manage.py").symlink_to(ROOT / "manage.py")
    follower.environment |= {"TMS_DATABASE": f"sqlite:///{tmp_path}/db.sqlite3", "TMS_DEMO_PORTS": follower.port}
    assert exports == [f"export TMS_DEMO_PORTS={PORT}"] * 3
    try:
        for line in (migrate, seed, shell(CREATE.format(url=url.replace(PORT, follower.port)))):
            follower.run(line)
        follower.run(listen)
        follower.run(shell(CANCEL))
        follower.run(f"{drain} --until-idle")

        assert re.fullmatch(r"\S+  class\.cancelled  evt_[0-9a-f]{32}  verified  -> 204\n", follower.heard())
    finally:
        follower.close()


def shell(code):
    return f".venv/bin/python manage.py shell --verbosity 0 --command {shlex.quote(code)}"


CREATE = """
from example_project.training.models import Organization
from tms_webhooks.models import Webhook

webhook = Webhook(organization=Organization.objects.get(pk=1), name="CRM", url="{url}")
webhook.full_clean()
webhook.save()
webhook.subscriptions.create(event_type="class.cancelled")
"""
CANCEL = """
from example_project.training.models import TrainingClass

TrainingClass.objects.filter(organization=1, confirmation_status_id=0).first().cancel()
"""
