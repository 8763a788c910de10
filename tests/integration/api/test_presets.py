"""A preset makes the bodies for Slack, Teams and others; contents by event, and warnings of tokens that are empty."""

import json

from django.utils import timezone

from example_project.training.factories import TrainingClassFactory
from tests.factories import WebhookFactory
from tms_webhooks.delivery import rendering
from tms_webhooks.models import Event, Webhook
from tms_webhooks.models.encryption import reveal
from tms_webhooks.outbox.fanout import fan_out

SUBSCRIPTIONS = [{"event_type": "class.cancelled"}, {"event_type": "enrollment.*"}]


def test_a_webhook_with_a_preset_sends_what_the_vendor_shows(create, acme):
    data = create(preset="slack", subscriptions=SUBSCRIPTIONS).json()

    assert (data["format"], data["verb"], set(data["contents"])) == (
        "custom",
        "POST",
        {"class.cancelled", "enrollment.*"},
    )
    assert "preset" not in data
    assert data["warnings"] == []
    TrainingClassFactory(organization=acme, name="R&D <all>").cancel()
    fan_out(timezone.now())
    sent = json.loads(rendering.content_for(Webhook.objects.get(), Event.objects.get().body).body)
    assert sent["text"] == "Class cancelled"
    assert any("R&amp;D &lt;all&gt;" in field["text"] for field in sent["blocks"][1]["fields"])


def test_a_preset_of_an_existing_webhook_replaces_its_content_and_keeps_its_headers(change, acme):
    headers = "X-Key=s3cret\nContent-Type=text/plain"
    webhook = WebhookFactory(organization=acme, headers=headers, format="custom", events=["class.cancelled"])

    assert change(webhook, preset="teams").status_code == 200
    webhook.refresh_from_db()
    assert reveal(webhook.headers) == "X-Key=s3cret"
    assert json.loads(webhook.contents["class.cancelled"])["type"] == "message"


def test_a_token_that_is_empty_for_a_subscribed_event_is_reported_and_sent_all_the_same(create):
    content = '{"room": {data.classroom.name}, "id": {data.id}}'

    (warning,) = create(format="custom", content=content, subscriptions=SUBSCRIPTIONS).json()["warnings"]
    assert warning.startswith("{data.classroom.name} is empty in enrollment.requested, ")
    assert warning.endswith('Give it a default, such as {data.classroom.name|default:"-"}.')
