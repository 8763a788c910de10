"""The secrets of a webhook over the API: listed without their values, and ended one by one."""

from datetime import timedelta

import pytest

from tests.factories import WebhookFactory
from tests.integration.api.people import at
from tms_webhooks.models.encryption import reveal
from tms_webhooks.models.webhook import new_secret


@pytest.fixture
def webhook(acme):
    return WebhookFactory(organization=acme)


@pytest.fixture
def address(webhook):
    return at(webhook)


@pytest.fixture
def current(webhook):
    return webhook.secrets.get()


@pytest.fixture
def old(webhook, current, clock):
    return webhook.secrets.create(value=new_secret(), expires_at=clock() + timedelta(hours=1))


def expire(client, address, secret, **headers):
    return client.post(f"{address}secrets/{secret.public_id}/expire/", {}, headers=headers)


def test_the_secrets_that_sign_are_listed_without_their_values(client, webhook, address, current, old, clock):
    webhook.secrets.create(value=new_secret(), expires_at=clock() - timedelta(hours=1))

    response = client.get(f"{address}secrets/")

    assert [(row["id"], row["expires_at"]) for row in response.json()["results"]] == [
        (old.public_id, f"{old.expires_at:%Y-%m-%dT%H:%M:%SZ}"),
        (current.public_id, None),
    ]
    assert {name for row in response.json()["results"] for name in row} == {"id", "created_at", "expires_at"}
    assert "whsec_" not in response.content.decode()


def test_to_end_a_secret_makes_another_tag_and_takes_one(client, webhook, address, current, old, problem):
    before = client.get(address)["ETag"]

    problem(expire(client, address, old, **{"If-Match": '"old"'}), "precondition-failed")
    response = expire(client, address, old, **{"If-Match": before})

    assert response.status_code == 200
    assert before != response["ETag"] == client.get(address)["ETag"]
    old.refresh_from_db()
    assert response.json()["expires_at"] == f"{old.expires_at:%Y-%m-%dT%H:%M:%S.%f}Z"
    assert webhook.signing_secrets(old.expires_at) == [reveal(current.value)]
