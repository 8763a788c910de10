"""A secret that is rotated: which secrets sign, and until when."""

from __future__ import annotations

from datetime import timedelta

import pytest
from standardwebhooks import WebhookVerificationError

from tests.integration.delivery.rows import subscribed, write_event
from tests.integration.delivery.wire import verify
from tms_webhooks.models import Webhook
from tms_webhooks.models.encryption import reveal

pytestmark = pytest.mark.django_db


@pytest.fixture
def webhook() -> Webhook:
    return subscribed()


@pytest.fixture
def verifies(webhook, run, wire, clock, monkeypatch):
    """Send an event now, and tell which of these secrets verify the request."""
    # The public library compares the request's time with the machine's.
    monkeypatch.setattr("standardwebhooks.webhooks.Webhook._Webhook__verify_timestamp", lambda self, stamp: clock.now)

    def verifies(*secrets: str) -> list[bool]:
        write_event(webhook.organization)
        run()
        request = wire.requests[-1]
        assert len(request.headers["webhook-signature"].split(" ")) == len(
            [secret for secret in webhook.secrets.all() if secret.expires_at is None or secret.expires_at > clock.now]
        )
        return [_fits(request, secret) for secret in secrets]

    return verifies


def _fits(request, secret: str) -> bool:
    try:
        verify(request, secret)
    except WebhookVerificationError:
        return False
    return True


def first_secret(webhook: Webhook) -> str:
    return reveal(webhook.secrets.get().value)


def test_during_the_overlap_both_secrets_verify_and_after_it_only_the_new(webhook, verifies, clock):
    old = first_secret(webhook)
    new = webhook.rotate_secret(now=clock.now, overlap=timedelta(hours=1))

    assert verifies(old, new) == [True, True]

    clock.advance(minutes=59, seconds=59)
    assert verifies(old, new) == [True, True]

    clock.advance(seconds=1)
    assert verifies(old, new) == [False, True]


def test_the_overlap_is_a_day_where_none_is_named(webhook, verifies, clock):
    old = first_secret(webhook)
    new = webhook.rotate_secret(now=clock.now)

    clock.advance(hours=23, minutes=59, seconds=59)
    assert verifies(old, new) == [True, True]

    clock.advance(seconds=1)
    assert verifies(old, new) == [False, True]


def test_an_overlap_of_nothing_revokes_at_once(webhook, verifies, clock):
    old = first_secret(webhook)
    new = webhook.rotate_secret(now=clock.now, overlap=timedelta())

    assert verifies(old, new) == [False, True]


def test_revoking_leaves_secrets_of_earlier_rotations_to_their_own_end(webhook, verifies, clock):
    first = first_secret(webhook)
    second = webhook.rotate_secret(now=clock.now, overlap=timedelta(hours=1))
    third = webhook.rotate_secret(now=clock.now, overlap=timedelta())

    assert verifies(first, second, third) == [True, False, True]


def test_at_most_three_old_secrets_sign_beside_the_new_one(webhook, verifies, clock):
    secrets = [first_secret(webhook)]
    for _ in range(5):
        secrets.append(webhook.rotate_secret(now=clock.now, overlap=timedelta(days=1)))
        clock.advance(seconds=1)

    assert verifies(*secrets) == [False, False, True, True, True, True]


def test_the_newest_secret_signs_first(webhook, verifies, wire, clock):
    webhook.rotate_secret(now=clock.now, overlap=timedelta(hours=1))
    verifies()
    both = wire.requests[-1].headers["webhook-signature"].split(" ")

    clock.advance(hours=1)
    assert webhook.secrets.filter(expires_at__gt=clock.now).count() == 0
    clock.advance(hours=-1)
    verifies()

    assert wire.requests[-1].headers["webhook-signature"].split(" ") != both
    assert len(both) == 2


@pytest.mark.parametrize("overlap", [timedelta(seconds=-1), timedelta(days=7, seconds=1)])
def test_an_overlap_out_of_range_changes_nothing(webhook, verifies, overlap):
    old = first_secret(webhook)

    with pytest.raises(ValueError, match="choose from 0 to 7 days"):
        webhook.rotate_secret(overlap=overlap)

    assert verifies(old) == [True]


def test_an_attempt_after_the_rotation_is_signed_with_todays_secrets(webhook, verifies, run, wire, clock):
    old = first_secret(webhook)
    write_event(webhook.organization)
    new = webhook.rotate_secret(now=clock.now, overlap=timedelta())

    run()

    assert [_fits(wire.requests[-1], secret) for secret in (old, new)] == [False, True]
