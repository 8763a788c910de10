"""``manage.py webhooks_test``: one request, and what came of it."""

import json
import re

import pytest
from django.core.management import CommandError, call_command

from example_project.training.factories import CourseAssignmentFactory, TrainingClassFactory
from tests.factories import WebhookFactory
from tests.receiver import Answer
from tms_webhooks.choices import AuditAction
from tms_webhooks.models import AuditEntry, Delivery

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_receiver_that_takes_it(receiver, capsys):
    webhook = WebhookFactory(url=receiver.url)

    call_command("webhooks_test", str(webhook.pk), "--event", "class.cancelled")

    (request,) = receiver.received
    assert request.event["type"] == "class.cancelled"
    assert capsys.readouterr().out.startswith("Accepted: status 200. Delivery ")
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.target) == (AuditAction.WEBHOOK_TESTED, f"delivery:{Delivery.objects.get().public_id}")
    assert entry.changes == {"event_type": "class.cancelled", "status_code": 200}


def test_one_that_does_not_makes_the_exit_status_1(receiver, capsys):
    webhook = WebhookFactory(url=receiver.url)
    receiver.answers = [Answer(500, body=b"private")]

    with pytest.raises(SystemExit) as ended:
        call_command("webhooks_test", str(webhook.pk), "--json")

    assert ended.value.code == 1
    printed = capsys.readouterr().out
    facts = json.loads(printed)
    assert (facts["success"], facts["status"], facts["error"]) == (False, 500, "http_status")
    assert "private" not in printed


def test_a_url_that_the_settings_refuse_is_named_with_the_settings(receiver, capsys):
    webhook = WebhookFactory(url="https://10.0.0.5/")

    with pytest.raises(SystemExit):
        call_command("webhooks_test", str(webhook.pk))

    first, second = capsys.readouterr().out.splitlines()
    assert re.match(
        r"Not accepted: blocked_address: URL: '10\.0\.0\.5' is not a public address; .* allow it\. "
        r"Delivery \d+ took 0\.\d{3} s, with a body of \d+ bytes\.$",
        first,
    )
    assert second == (
        "  The settings decide which URLs are allowed: TMS_WEBHOOKS with ALLOWED_SCHEMES, ALLOWED_PORTS, UNCHECKED_HOSTS and UNCHECKED_CIDRS."
    )


def test_a_real_object_is_sent(receiver):
    webhook = WebhookFactory(url=receiver.url)
    training_class = TrainingClassFactory(organization=webhook.organization)

    call_command(
        "webhooks_test", str(webhook.pk), "--event", "class.updated", "--subject", f"class:{training_class.pk}"
    )

    assert receiver.received[0].event["data"]["id"] == training_class.pk
    assert AuditEntry.objects.get().changes["subject"] == f"class:{training_class.pk}"


def test_bad_input_is_named(receiver):
    webhook = WebhookFactory(url=receiver.url)
    with pytest.raises(CommandError, match="Webhook 987654 does not exist"):
        call_command("webhooks_test", "987654")
    with pytest.raises(CommandError, match='Unknown event type "clas.done"'):
        call_command("webhooks_test", str(webhook.pk), "--event", "clas.done")
    with pytest.raises(
        CommandError, match=r'^Unknown event type "nope\.x"\. webhooks_catalogue lists the event types\.$'
    ):
        call_command("webhooks_test", str(webhook.pk), "--event", "nope.x")
    with pytest.raises(CommandError, match="have no class with this id"):
        call_command("webhooks_test", str(webhook.pk), "--event", "class.updated", "--subject", "class:987654")
    assert receiver.received == []


def test_an_object_without_a_value_that_the_event_needs_is_refused_with_the_field_and_the_remedy(receiver):
    webhook = WebhookFactory(url=receiver.url)
    assignment = CourseAssignmentFactory(course__organization=webhook.organization, expires_at=None)
    subject = f"course_assignment:{assignment.pk}"

    with pytest.raises(CommandError) as refused:
        call_command("webhooks_test", str(webhook.pk), "--event", "course_assignment.expiring", "--subject", subject)

    assert str(refused.value) == (
        f"course_assignment.expiring needs a value in expires_at, but {subject} has null there. Choose an object that "
        "has this value, or omit the subject to use the sample."
    )
    assert receiver.received == []
