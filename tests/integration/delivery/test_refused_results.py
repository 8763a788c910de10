"""A result that the database will never take, as it is, must not keep the others from being written down."""

from __future__ import annotations

import pytest
from django.db import DataError, connection

from tests.integration.delivery.rows import subscribed, write_events
from tests.integration.delivery.trouble import Trouble
from tests.integration.delivery.wire import answer
from tms_webhooks.choices import DeliveryStatus
from tms_webhooks.models import Delivery, DeliveryAttempt

pytestmark = pytest.mark.django_db(transaction=True)

ATTEMPTS = DeliveryAttempt._meta.db_table
POISON = "what no database takes"
FOR_EVER = 1_000


@pytest.fixture
def poisoned(wire):
    """Five events, of which the receiver answers the third with a text that is refused."""
    webhook = subscribed(max_in_flight=1)
    write_events(webhook.organization, 5)
    wire.answers = [answer(200), answer(200), answer(200, body=POISON.encode()), answer(200), answer(200)]
    return webhook


def test_its_outcome_is_kept_without_the_texts_and_nothing_is_sent_again(poisoned, run, wire, caplog):
    trouble = Trouble("INSERT", ATTEMPTS, times=FOR_EVER, only=POISON, error=DataError)

    with connection.execute_wrapper(trouble):
        tally = run()

    assert trouble.refused > 0
    assert len(wire.requests) == 5
    assert (tally.sent, tally.delivered) == (5, 5)
    assert set(Delivery.objects.values_list("status", "attempts")) == {(DeliveryStatus.DELIVERED, 1)}
    log = DeliveryAttempt.objects.values_list("message", "response_body")
    assert sorted(log) == [("HTTP 200 OK", "")] * 4 + [("not kept: the database refused it", "")]
    assert "The database refused" in caplog.text
    assert POISON not in caplog.text


def test_what_is_refused_even_so_is_given_up_and_the_others_are_written(poisoned, run, wire):
    trouble = Trouble("INSERT", ATTEMPTS, times=FOR_EVER, only="not kept: the database refused it", error=DataError)
    poison = Trouble("INSERT", ATTEMPTS, times=FOR_EVER, only=POISON, error=DataError)

    with connection.execute_wrapper(trouble), connection.execute_wrapper(poison):
        run()

    assert len(wire.requests) == 5
    assert Delivery.objects.filter(status=DeliveryStatus.DELIVERED).count() == 4
    # It is free again, for another worker or another day.
    assert list(Delivery.objects.exclude(status=DeliveryStatus.DELIVERED).values_list("status", flat=True)) == [
        DeliveryStatus.PENDING
    ]
