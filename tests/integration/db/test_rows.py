"""Instances from statements written by hand are those that the ORM would have loaded."""

import pytest

from tests.integration.delivery.rows import subscribed
from tms_webhooks.db.sql import columns_of, instance, read
from tms_webhooks.models import Webhook

SQL = "SELECT {columns}, 1, 'beside' FROM {webhook} w WHERE w.id = {id}"
FIELDS = tuple(Webhook._meta.concrete_fields)


@pytest.fixture
def webhook(clock):
    """One with a value in fields of every kind: a secret text, JSON, a moment, a fraction, a truth value."""
    return subscribed(
        headers="authorization=Bearer abc",
        schedule=[5, 60],
        disabled_at=clock.now,
        rate_limit_per_second=1.5,
        ordered=True,
    )


def rows(webhook):
    return read(SQL, columns=columns_of(FIELDS, "w"), id=str(webhook.pk))


def test_every_field_has_the_value_that_the_orm_gives_it(webhook):
    (row,) = rows(webhook)
    found = instance(FIELDS, row)

    loaded = Webhook.objects.get(pk=webhook.pk)
    for field in FIELDS:
        assert repr(getattr(found, field.attname)) == repr(getattr(loaded, field.attname)), field.attname
    assert found.headers.reveal() == "authorization=Bearer abc"
    assert (found == loaded, found._state.adding, found._state.db) == (True, False, "default")
    assert tuple(row[len(FIELDS) :]) == (1, "beside")
