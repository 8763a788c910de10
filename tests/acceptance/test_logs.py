"""With every logger at DEBUG, over all that the app does, no line of a log holds a secret, a header's value or a path."""

import logging
import re
from datetime import timedelta

import pytest
from cryptography.fernet import Fernet
from django.core.management import call_command
from django.db import connection
from django.urls import reverse
from django.utils import timezone

from example_project.training.factories import (
    ClassEnrollmentFactory,
    OrganizationFactory,
    TrainingClassFactory,
    UserFactory,
)
from tests.factories import WebhookFactory
from tests.receiver import Answer
from tms_webhooks.choices import JobKind
from tms_webhooks.manage.deliveries import resend
from tms_webhooks.manage.jobs import start as start_job
from tms_webhooks.manage.secrets import rotate
from tms_webhooks.models import Delivery, Webhook
from tms_webhooks.models.encryption import reveal
from tms_webhooks.tasks import prune, scan_expiring, sweep, work_on_jobs

pytestmark = pytest.mark.django_db(transaction=True)

PASSWORD = "dXNlcjpodW50ZXIy"
PATH = "xq-path-credential"
PERSON = "xanthippe.quilliam@mail.example"


@pytest.fixture
def everything(caplog, settings):
    """Log all there is: the app, Django with its queries, the libraries."""
    caplog.set_level(logging.DEBUG)
    for name in ("tms_webhooks", "django", "django.db.backends", "django_q", "django-q", "urllib3", "requests"):
        caplog.set_level(logging.DEBUG, logger=name)
    connection.force_debug_cursor = True
    yield caplog
    connection.force_debug_cursor = False


def test_no_secret_is_in_any_log(
    everything, receiver, drain, clock, client, settings_of_app, monkeypatch, tmp_path, capsys
):
    key = Fernet.generate_key().decode()
    settings_of_app(ENCRYPTION_KEYS=[key])
    webhook = WebhookFactory(
        organization=OrganizationFactory(external_id="ACME"),
        name="CRM",
        url=f"{receiver.url}/{PATH}?key={PATH}",
        headers=f"Authorization=Basic {PASSWORD}",
        events=["*"],
    )
    broken = WebhookFactory(
        organization=webhook.organization, url=receiver.url + "/broken", events=["*"], format="skillable"
    )
    rotate(webhook, now=timezone.now(), overlap=timedelta(hours=1))
    receiver.respond = lambda request: Answer(500 if "broken" in request.path else 200, body=b"answer")

    change_something(webhook)
    drain()
    clock.advance(days=1)
    drain()
    operate(webhook, broken, clock, monkeypatch, tmp_path)
    drain()
    look_at_pages(client, webhook)

    assert any(request.headers.get("authorization") == f"Basic {PASSWORD}" for request in receiver.received)
    text = "\n".join(every_way_to_write(record) for record in everything.records)
    assert "tms_webhooks.delivery." in text
    assert "SELECT" in text
    signatures = {
        part for request in receiver.received for part in re.findall(r"v1,(\S+)", request.headers["webhook-signature"])
    }
    secrets = {reveal(row.value).removeprefix("whsec_") for one in Webhook.objects.all() for row in one.secrets.all()}
    assert len(secrets) >= 3
    for private in {PASSWORD, key, *secrets, *signatures}:
        assert private not in text
    # The queries of Django's own log name what they write, and are logged under DEBUG alone.
    others = "\n".join(
        every_way_to_write(record) for record in everything.records if record.name != "django.db.backends"
    )
    assert PATH not in others
    assert PERSON not in others


def change_something(webhook):
    person = UserFactory(organization=webhook.organization, email=PERSON)
    training_class = TrainingClassFactory(organization=webhook.organization)
    ClassEnrollmentFactory(training_class=training_class, user=person)
    training_class.cancel()


def operate(webhook, broken, clock, monkeypatch, tmp_path):
    call_command("webhooks_test", str(webhook.pk))
    # Its exit status is the level of the report.
    with pytest.raises(SystemExit):
        call_command("webhooks_health")
    for command in ("webhooks_tail", "webhooks_catalogue"):
        call_command(command)
    call_command("webhooks_export", "--output", str(tmp_path / "webhooks.yaml"))
    monkeypatch.setenv("WEBHOOK_ACME_CRM_SECRET", webhook.signing_secrets(clock.now)[0])
    call_command("webhooks_import", str(tmp_path / "webhooks.yaml"), "--keep-secrets")
    resend(Delivery.objects.filter(webhook=webhook, due_at=None).first(), now=clock.now)
    start_job(JobKind.CANCEL_PENDING, broken, now=clock.now)
    for task in (sweep, work_on_jobs, scan_expiring, prune):
        task()


def look_at_pages(client, webhook):
    client.force_login(UserFactory(username="boss", is_staff=True, is_superuser=True))
    for name in ("webhook_changelist", "delivery_changelist", "event_changelist"):
        assert client.get(reverse(f"admin:tms_webhooks_{name}")).status_code == 200
    assert client.get(reverse("admin:tms_webhooks_webhook_change", args=[webhook.public_id])).status_code == 200
    assert client.get(f"/api/webhooks/{webhook.public_id}/").status_code == 200


def every_way_to_write(record):
    """Return a record as handlers may write it: its message, its arguments, what is attached, its traceback."""
    formatter = logging.Formatter("%(name)s %(message)s")
    return f"{formatter.format(record)} {record.args!r} {vars(record)!r}"
