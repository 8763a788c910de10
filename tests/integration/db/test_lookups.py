"""Rows are picked by their keys through the primary key, on every database."""

import pytest
from django.db import connection

from tms_webhooks.models import Delivery


def test_the_condition_stands_bare_so_that_the_primary_key_serves_it():
    sql = str(Delivery.objects.among([3, 5]).query)

    # MySQL gets what Django takes for a truth value as "(…) = True", and reads the whole table for it.
    column = f"{connection.ops.quote_name('tms_webhooks_delivery')}.{connection.ops.quote_name('id')}"
    assert f"WHERE {column} IN (3, 5)" in sql
    assert "True" not in sql


def test_among_no_keys_is_nothing():
    assert list(Delivery.objects.among([])) == []


def test_what_is_no_whole_number_is_refused():
    with pytest.raises(ValueError, match="invalid literal"):
        Delivery.objects.among(["1) OR (1=1"])  # type: ignore[list-item]
