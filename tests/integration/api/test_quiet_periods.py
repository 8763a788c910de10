"""Quiet periods of subscriptions in API, form and YAML file, and merged deliveries in the log."""

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from tests.factories import WebhookFactory
from tests.integration.admin.pages import filters_of, form_of, url
from tests.integration.api.people import at
from tests.integration.delivery.updates import ChangingObject
from tms_webhooks.admin.forms.subscription import FiltersForm
from tms_webhooks.models import AuditEntry, Delivery, Subscription, Webhook
from tms_webhooks.outbox.fanout import fan_out


@pytest.fixture
def webhook(acme):
    return WebhookFactory(organization=acme, events=["user.updated"])


@pytest.fixture
def address(webhook):
    return at(webhook, "subscriptions")


# The settings


REFUSED = [
    (
        {"event_type": "class.cancelled", "quiet_seconds": 60},
        "quiet_seconds",
        "The quiet period is 60 seconds, but class.cancelled is sent immediately: only updated and progressed events have a quiet "
        "period. Set 0.",
    ),
    (
        {"event_type": "user.updated", "quiet_seconds": 60, "quiet_longest_seconds": 59},
        "quiet_longest_seconds",
        "The longest wait is 59 seconds, less than the quiet period of 60; give at least 60.",
    ),
]


@pytest.mark.parametrize("values, field, message", REFUSED)
def test_bad_input_is_refused_by_the_model_with_field_value_and_remedy(webhook, values, field, message):
    with pytest.raises(ValidationError) as error:
        Subscription(webhook=webhook, **values).full_clean(validate_constraints=False)

    assert error.value.message_dict == {field: [message]}


@pytest.mark.parametrize(
    "quiet, longest", [(86_401, None), (60, 59), (0, 60), (60, 86_401)], ids=["a day", "crossed", "off", "long"]
)
def test_the_database_refuses_what_no_form_would(webhook, quiet, longest):
    with pytest.raises(IntegrityError), transaction.atomic():
        webhook.subscriptions.update(quiet_seconds=quiet, quiet_longest_seconds=longest)


@pytest.mark.parametrize("quiet, longest, expected", [(60, None, 300), (60, 90, 90), (40_000, None, 86_400)])
def test_the_longest_wait_is_five_periods_or_a_day_by_default(quiet, longest, expected):
    assert Subscription(quiet_seconds=quiet, quiet_longest_seconds=longest).longest_quiet_seconds == expected


def test_the_form_offers_them_at_events_that_can_wait_and_keeps_them(webhook, admin_client):
    waiting, others = (
        ("*", "user.*", "user.updated", "course_assignment.progressed"),
        ("class.cancelled", "learning_path.*"),
    )
    for event_type in (*waiting, *others):
        fields = FiltersForm(instance=Subscription(event_type=event_type)).fields
        assert ("quiet_seconds" in fields) == (event_type in waiting)
    key = webhook.subscriptions.get().public_id

    admin_client.post(
        url(Webhook, "change", webhook.public_id), form_of(webhook, **filters_of(key, quiet_seconds="60"))
    )

    assert webhook.subscriptions.get().quiet_seconds == 60
    entry = AuditEntry.objects.get(target=f"subscription:{key}")
    assert entry.changes == {"quiet_seconds": {"from": 0, "to": 60}}


# The log


@pytest.fixture
def deliveries(acme, webhook, clock):
    """A merged delivery, and the one that carries it."""
    webhook.subscriptions.update(quiet_seconds=60)
    user = ChangingObject(acme)
    user.update(city="Utrecht")
    user.update(phone="2")
    fan_out(clock.now)
    return list(Delivery.objects.order_by("pk"))


def test_the_log_of_the_api_shows_what_was_merged_into_what(client, deliveries):
    merged, carrier = deliveries
    listed = client.get("/api/deliveries/?status=merged").json()["results"]
    one, other = (client.get(f"/api/deliveries/{delivery.public_id}/").json() for delivery in deliveries)

    assert [row["id"] for row in listed] == [merged.public_id]
    assert (one["status"], one["merged_into"], other["merged_into"]) == ("merged", carrier.public_id, None)
    assert '"changed":["phone","city"]' in other["payload"]["body"]


def test_a_merged_delivery_is_not_resent_by_the_api(client, deliveries):
    merged, carrier = deliveries

    response = client.post(f"/api/deliveries/{merged.public_id}/resend/", {})

    assert response.status_code == 409
    assert response.json()["detail"] == (
        f"Delivery {merged.public_id} was merged into delivery {carrier.public_id}; send that one again."
    )
