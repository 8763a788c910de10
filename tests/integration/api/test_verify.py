"""A captured request is verified over the API: its secret, its age and its delivery, and why it is not valid."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from tests.factories import WebhookFactory
from tests.integration.delivery.rows import write_delivery
from tms_webhooks.delivery.signing import signature_headers
from tms_webhooks.models import AuditEntry, Delivery, Webhook, WebhookSecret
from tms_webhooks.models.encryption import reveal
from tms_webhooks.models.webhook import new_secret

pytestmark = pytest.mark.django_db

ADDRESS = "/api/verify/"


@pytest.fixture
def webhook(acme) -> Webhook:
    return WebhookFactory(organization=acme)


@pytest.fixture
def delivery(webhook) -> Delivery:
    return write_delivery(webhook, now=timezone.now())


@pytest.fixture
def captured(delivery):
    """Return the body of a verification, of a request that a secret signed some seconds ago."""

    def captured(secret: str | None = None, *, seconds: int = 10, **values) -> dict:
        secret = secret or reveal(delivery.webhook.secrets.get(expires_at=None).value)
        stamp = int(timezone.now().timestamp()) - seconds
        body = delivery.event.body.encode()
        headers = signature_headers(secrets=[secret], message_id=delivery.event.public_id, timestamp=stamp, body=body)
        return {
            "headers": {"TMS-Delivery-Id": delivery.public_id, "Content-Type": "application/json", **headers},
            "body": body.decode(),
            **values,
        }

    return captured


@pytest.fixture
def verify(client):
    return lambda body: client.post(ADDRESS, body, format="json")


def test_a_valid_request_is_shown_with_its_secret_its_age_and_its_delivery(verify, captured, webhook, delivery):
    request = captured()
    signed_at = datetime.fromtimestamp(int(request["headers"]["webhook-timestamp"]), tz=UTC)

    response = verify(request)

    assert response.status_code == 200
    data = response.json()
    assert data.pop("age_seconds") >= 10
    assert data == {
        "signed_at": f"{signed_at:%Y-%m-%dT%H:%M:%SZ}",
        "valid": True,
        "problems": [],
        "webhook": webhook.public_id,
        "signed_with": webhook.secrets.get().public_id,
        "delivery": delivery.public_id,
        "event": delivery.event.public_id,
    }
    assert "whsec_" not in response.content.decode()
    assert not AuditEntry.objects.exists()


def test_the_bytes_of_the_body_may_be_given_in_base64(verify, captured):
    body = captured()
    encoded = base64.b64encode(body.pop("body").encode()).decode()

    assert verify({**body, "body_base64": encoded}).json()["valid"] is True


def test_an_older_secret_is_named_and_valid_until_it_ends(verify, captured, webhook):
    old = webhook.secrets.create(value=new_secret(), expires_at=timezone.now() + timedelta(hours=1))
    request = captured(reveal(old.value))
    assert (verify(request).json()["valid"], verify(request).json()["signed_with"]) == (True, old.public_id)

    WebhookSecret.objects.filter(pk=old.pk).update(expires_at=timezone.now() - timedelta(seconds=1))

    data = verify(request).json()
    assert (data["valid"], data["signed_with"]) == (False, old.public_id)
    assert data["problems"] == [
        "The request is signed with a secret that is no longer valid: configure the webhook's current secret in the "
        "receiver."
    ]


def test_the_age_is_checked_at_the_time_of_arrival_alone(verify, captured):
    request = captured(seconds=86_400)
    arrived_at = datetime.fromtimestamp(int(request["headers"]["webhook-timestamp"]) + 3_600, tz=UTC)

    assert verify(request).json()["valid"] is True
    data = verify({**request, "received_at": arrived_at.isoformat()}).json()
    assert data["valid"] is False
    assert data["problems"][0].startswith("The request was signed 3600 s before it arrived")
    assert data["age_seconds"] == 3_600


def test_a_changed_body_is_compared_only_for_those_who_may_see_it(verify, captured, restricted):
    changed = captured()
    changed["body"] = changed["body"].replace("Cancelled", "Cancelles")

    assert "the first difference is at byte" in verify(changed).json()["problems"][0]
    data = restricted("view_payload").post(ADDRESS, changed, format="json").json()
    assert (data["valid"], data["signed_with"]) == (False, None)
    assert data["problems"] == [
        "No signature matches: the body was changed in transit, or the secret belongs to another webhook."
    ]


def test_the_webhook_is_found_by_the_event_if_it_is_the_only_receiver(
    verify, captured, webhook, delivery, acme, problem
):
    request = captured()
    del request["headers"]["TMS-Delivery-Id"]
    assert verify(request).json()["webhook"] == webhook.public_id

    other = WebhookFactory(organization=acme)
    Delivery.objects.create(event=delivery.event, webhook=other, due_at=timezone.now(), created_at=timezone.now())

    (error,) = problem(verify(request), "invalid-request")["errors"]
    assert (error["pointer"], error["code"]) == ("#/webhook", "ambiguous")
    assert verify({**request, "webhook": webhook.public_id}).json()["valid"] is True


def test_an_event_id_without_its_prefix_names_no_delivery(verify, captured, problem):
    request = captured()
    del request["headers"]["TMS-Delivery-Id"]
    request["headers"]["webhook-id"] = request["headers"]["webhook-id"].removeprefix("evt_")

    (error,) = problem(verify(request), "invalid-request")["errors"]
    assert (error["pointer"], error["code"]) == ("#/webhook", "required")


def test_a_request_without_signature_is_not_valid_and_says_why(verify, webhook):
    data = verify({"headers": {"X-Other": "1"}, "body": "{}", "webhook": webhook.public_id}).json()

    assert (data["valid"], data["signed_with"], data["signed_at"], data["age_seconds"]) == (False, None, None, None)
    assert data["problems"][0].startswith("The request has no webhook-id and no webhook-timestamp")


def test_a_time_after_all_times_is_none(verify, captured):
    request = captured()
    request["headers"]["webhook-timestamp"] = "999999999999"

    assert verify(request).json()["signed_at"] is None


@pytest.mark.parametrize(
    ("change", "pointer", "kind"),
    [
        ({"webhook": "whk_" + "0" * 32}, "#/webhook", "not-found"),
        ({"headers": {"tms-delivery-id": "dlv_" + "0" * 64}}, "#/headers", "not-found"),
        ({"headers": {}}, "#/webhook", "invalid-request"),
        ({"headers": []}, "#/headers", "invalid-request"),
        ({"headers": {"a": 1}}, "#/headers/a", "invalid-request"),
        ({"body_base64": ""}, "#/body", "invalid-request"),
        ({"body": 1}, "#/body", "invalid-request"),
        ({"received_at": "now"}, "#/received_at", "invalid-request"),
        ({"secret": "whsec_x"}, "#/secret", "invalid-request"),
    ],
)
def test_a_wrong_body_is_refused_with_its_place(verify, captured, problem, change, pointer, kind):
    (error,) = problem(verify({**captured(), **change}), kind)["errors"]

    assert error["pointer"] == pointer


def test_a_body_that_is_not_base64_is_refused(verify, captured, problem):
    request = captured()
    del request["body"]

    (error,) = problem(verify({**request, "body_base64": "%"}), "invalid-request")["errors"]

    assert error["pointer"] == "#/body_base64"


def test_a_request_of_another_organization_is_like_one_of_none(stranger, captured, webhook, problem):
    known = captured()
    unknown = captured()
    unknown["headers"]["TMS-Delivery-Id"] = "dlv_" + "0" * 64

    for change in ({}, {"webhook": webhook.public_id}):
        theirs = problem(stranger.post(ADDRESS, {**known, **change}, format="json"), "not-found")
        nobodys = {**unknown, **({"webhook": "whk_" + "0" * 32} if change else {})}
        assert theirs == problem(stranger.post(ADDRESS, nobodys, format="json"), "not-found")
