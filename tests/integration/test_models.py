"""What the database itself refuses, and what a row is given when it is made."""

import time
import uuid
from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction

from example_project.training.factories import OrganizationFactory
from tests.conftest import NOW
from tests.factories import WebhookFactory
from tests.integration.delivery.rows import new_event, subscribed, write_delivery, write_event
from tms_webhooks.delivery import signing
from tms_webhooks.manage.secrets import rotate
from tms_webhooks.models import (
    Delivery,
    DeliveryAttempt,
    DrainSlot,
    Event,
    Subscription,
    Webhook,
    WebhookSecret,
)
from tms_webhooks.models.encryption import Sealed, reveal
from tms_webhooks.models.event import time_ordered_uuid
from tms_webhooks.models.webhook import new_secret

OPEN = ("pending", "waiting")
FINISHED = ("delivered", "exhausted", "failed", "skipped", "cancelled")


@pytest.fixture
def delivery():
    return write_delivery(subscribed(), now=NOW)


def refused(rows, **values):
    """Tell whether the database refuses the change; nothing of it is kept then."""
    try:
        with transaction.atomic():
            rows.update(**values)
    except IntegrityError:
        return True
    return False


def of(delivery):
    return Delivery.objects.filter(pk=delivery.pk)


# Deliveries


@pytest.mark.parametrize(
    "values, is_refused",
    [
        *(({"status": status, "due_at": None}, True) for status in OPEN),
        *(({"status": status, "due_at": NOW}, False) for status in OPEN),
        *(({"status": status, "due_at": NOW}, True) for status in (*FINISHED, "lost")),
        *(({"status": status, "due_at": None}, False) for status in FINISHED),
        ({"attempts": 1, "charged": 2}, True),
        ({"attempts": 2, "charged": 2}, False),
    ],
)
def test_a_delivery_is_due_while_it_is_open_and_charged_no_more_attempts_than_were_made(delivery, values, is_refused):
    assert refused(of(delivery), **values) is is_refused


def test_an_event_has_one_delivery_for_each_webhook(delivery):
    twin = Delivery(event=delivery.event, webhook=delivery.webhook, due_at=NOW, created_at=NOW)

    with pytest.raises(IntegrityError), transaction.atomic():
        twin.save()

    assert Delivery.objects.count() == 1


def test_numbers_of_attempts_are_given_once_and_late_ones_have_none(delivery):
    def log(number):
        with transaction.atomic():
            DeliveryAttempt.objects.create(delivery=delivery, number=number, started_at=NOW, duration_ms=1)

    log(1)
    log(None)
    log(None)
    log(2)
    with pytest.raises(IntegrityError):
        log(2)

    assert DeliveryAttempt.objects.count() == 4


# Events


def test_an_objects_numbers_are_given_once():
    first = write_event(OrganizationFactory())
    second = new_event(first.organization)
    second.subject_type, second.subject_id, second.sequence = first.subject_type, first.subject_id, first.sequence

    with pytest.raises(IntegrityError), transaction.atomic():
        second.save()


def test_an_id_is_a_uuid_of_version_7():
    before = time.time_ns() // 1_000_000
    made = [time_ordered_uuid() for _ in range(100)]
    after = time.time_ns() // 1_000_000

    assert {(one.version, one.variant) for one in made} == {(7, uuid.RFC_4122)}
    assert len(set(made)) == 100
    assert all(before <= one.int >> 80 <= after for one in made)


def test_ids_sort_by_time_in_python_and_in_the_database():
    organization, made = OrganizationFactory(), []
    for _ in range(5):
        made.append(write_event(organization).uid)
        time.sleep(0.002)

    assert sorted(made) == made
    assert list(Event.objects.order_by("uid").values_list("uid", flat=True)) == made


# Webhooks


@pytest.mark.parametrize(
    "field, illegal, legal",
    [
        ("timeout_seconds", [0, 31], [1, 30]),
        ("delay_seconds", [86_401], [0, 86_400]),
        ("max_retries", [11], [None, 0, 10]),
        ("max_in_flight", [0], [None, 1, 100]),
        ("rate_limit_per_second", [0, -1.0], [None, 0.001, 50.0]),
    ],
)
def test_a_webhooks_numbers_are_in_their_ranges(field, illegal, legal):
    rows = Webhook.objects.filter(pk=WebhookFactory().pk)

    assert [value for value in illegal if not refused(rows, **{field: value})] == []
    assert [value for value in legal if refused(rows, **{field: value})] == []


def test_a_new_webhook_gets_a_secret_and_keeps_it():
    webhook = WebhookFactory()
    secret = webhook.secrets.get()
    made = reveal(secret.value)
    webhook.name = "Renamed"
    webhook.save()

    assert secret.expires_at is None
    assert len(signing.secret_key(made)) == 32
    assert reveal(webhook.secrets.get().value) == made


def test_a_secret_is_encrypted_in_the_database():
    webhook = WebhookFactory(headers="Authorization=Basic dXNlcjpwYXNz")
    secret = reveal(webhook.secrets.get().value)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT value FROM {WebhookSecret._meta.db_table}")
        (stored,) = cursor.fetchone()
        cursor.execute(f"SELECT headers FROM {Webhook._meta.db_table}")
        (headers,) = cursor.fetchone()

    assert secret.removeprefix("whsec_") not in stored
    assert "dXNlcjpwYXNz" not in headers
    assert isinstance(Webhook.objects.get(pk=webhook.pk).headers, Sealed)


def test_a_webhook_that_cant_be_saved_leaves_no_secret():
    webhook = WebhookFactory.build(organization=OrganizationFactory(), timeout_seconds=99)

    with pytest.raises(IntegrityError), transaction.atomic():
        webhook.save()

    assert not WebhookSecret.objects.exists()


@pytest.mark.skipif(
    not connection.features.supports_partial_indexes, reason="this database has no unique index over some of the rows"
)
def test_a_webhook_has_one_current_secret():
    webhook = WebhookFactory()

    with pytest.raises(IntegrityError), transaction.atomic():
        webhook.secrets.create(value=new_secret())

    webhook.secrets.create(value=new_secret(), expires_at=NOW)
    webhook.secrets.create(value=new_secret(), expires_at=NOW)
    assert webhook.secrets.count() == 3


def test_a_rotation_leaves_one_current_secret_on_every_database():
    webhook = WebhookFactory()
    for _ in range(4):
        rotate(webhook, now=NOW, overlap=timedelta(hours=1))

    assert webhook.secrets.filter(expires_at=None).count() == 1


# Subscriptions


@pytest.mark.parametrize(
    "more, less, is_refused",
    [
        *((more, less, True) for more, less in [(5, None), (5, 5), (6, 5), (-1, 5), (None, 0), (None, -1), (0, 0)]),
        *((more, less, False) for more, less in [(None, None), (None, 30), (0, 30), (7, 14), (0.5, 0.75)]),
    ],
)
def test_a_window_that_nothing_can_be_in_is_refused(more, less, is_refused):
    webhook = WebhookFactory(events=["course_assignment.expiring"])

    rows = Subscription.objects.filter(webhook=webhook)
    assert refused(rows, more_than_days=more, less_than_days=less) is is_refused


# Slots


def test_a_slot_is_there_once():
    DrainSlot.objects.create(number=1, held_until=NOW)

    with pytest.raises(IntegrityError), transaction.atomic():
        DrainSlot.objects.create(number=1, held_until=NOW)
