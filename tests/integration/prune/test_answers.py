"""Answers that are kept for idempotency keys go when the keys may be used anew."""

from __future__ import annotations

from datetime import timedelta

from tests.integration.prune.rows import NOTHING, NOW
from tms_webhooks.models import IdempotentRequest
from tms_webhooks.outbox.prune import prunable, prune


def kept(*, hours, answered=True):
    return IdempotentRequest.objects.create(
        digest=f"{hours}-{answered}",
        fingerprint="f",
        created_at=NOW - timedelta(hours=hours),
        status_code=201 if answered else None,
        answer='{"secret": "whsec_"}',
    )


def test_answers_of_a_day_ago_go_and_younger_ones_stay():
    young, _old, _abandoned = kept(hours=23), kept(hours=25), kept(hours=1, answered=False)

    assert prunable(NOW)["answers"] == 2
    assert prune(NOW)["answers"] == 2

    assert list(IdempotentRequest.objects.all()) == [young]
    assert prune(NOW) == NOTHING
