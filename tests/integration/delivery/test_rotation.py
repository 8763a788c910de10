"""A secret that is rotated: which secrets sign, and until when."""

from dataclasses import replace
from datetime import timedelta

import pytest
from django.utils import timezone

from tests.integration.delivery.rows import subscribed, write_event
from tests.integration.delivery.wire import is_signed_by, verify
from tms_webhooks.manage.secrets import rotate
from tms_webhooks.models.encryption import reveal


@pytest.fixture
def webhook():
    return subscribed()


@pytest.fixture
def signers(webhook, run, wire):
    """Send an event now, and tell which of these secrets its request is signed with."""

    def signers(*secrets):
        write_event(webhook.organization)
        run()
        signed = [is_signed_by(wire.requests[-1], secret) for secret in secrets]
        assert len(wire.requests[-1].headers["webhook-signature"].split(" ")) == sum(signed)
        return signed

    return signers


def first_secret(webhook):
    return reveal(webhook.secrets.get().value)


@pytest.mark.parametrize("hours, named", [(1, {"overlap": timedelta(hours=1)}), (24, {})])
def test_during_the_overlap_both_secrets_sign_and_after_it_only_the_new(webhook, signers, clock, hours, named):
    old = first_secret(webhook)
    new = rotate(webhook, now=clock.now, **named)

    assert signers(old, new) == [True, True]

    clock.advance(hours=hours, seconds=-1)
    assert signers(old, new) == [True, True]

    clock.advance(seconds=1)
    assert signers(old, new) == [False, True]


def test_at_most_three_old_secrets_sign_beside_the_new_one(webhook, signers, clock):
    secrets = [first_secret(webhook)]
    for _ in range(5):
        secrets.append(rotate(webhook, now=clock.now, overlap=timedelta(days=1)))
        clock.advance(seconds=1)

    assert signers(*secrets) == [False, False, True, True, True, True]


def test_the_newest_secret_signs_first(webhook, run, wire, clock):
    secrets = [first_secret(webhook)]
    secrets.append(rotate(webhook, now=clock.now, overlap=timedelta(hours=1)))
    write_event(webhook.organization)

    run()

    (request,) = wire.requests
    for secret in secrets:
        verify(request, secret)
    newest = request.headers["webhook-signature"].split(" ")[0]
    alone = replace(request, headers={**request.headers, "webhook-signature": newest})
    assert [is_signed_by(alone, secret) for secret in secrets] == [False, True]


@pytest.mark.parametrize("overlap", [timedelta(seconds=-1), timedelta(days=7, seconds=1)])
def test_an_overlap_out_of_range_changes_nothing(webhook, signers, overlap):
    old = first_secret(webhook)

    with pytest.raises(ValueError, match="choose from 0 to 7 days"):
        rotate(webhook, now=timezone.now(), overlap=overlap)

    assert signers(old) == [True]


def test_a_rotation_without_an_overlap_ends_every_older_secret(webhook, signers, clock):
    first = first_secret(webhook)
    second = rotate(webhook, now=clock.now, overlap=timedelta(hours=24))
    assert signers(first, second) == [True, True]

    third = rotate(webhook, now=clock.now, overlap=timedelta())

    assert signers(first, second, third) == [False, False, True]
