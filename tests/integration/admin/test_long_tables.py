"""However long the tables are: no COUNT over the whole of one, and as many queries for many rows as for few."""

from __future__ import annotations

import re

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from example_project.training.factories import OrganizationFactory
from tests.integration.admin.pages import url
from tests.integration.delivery.rows import subscribed, write_delivery
from tms_webhooks.admin import logs
from tms_webhooks.models import Delivery, DeliveryAttempt, Event, Job, Webhook

pytestmark = pytest.mark.django_db

LOGS = [Delivery, Event, Job]
LISTS = [*LOGS, Webhook]


def fill(number: int) -> None:
    """Write rows of everything, each of a webhook and an organization of its own."""
    now = timezone.now()
    for _ in range(number):
        webhook = subscribed(headers="X-Key=1")
        delivery = write_delivery(webhook, now=now, attempts=1)
        Event.objects.filter(pk=delivery.event_id).update(subject_name="Anna", subject_id="503", occurred_at=now)
        DeliveryAttempt.objects.create(delivery=delivery, number=1, started_at=now, duration_ms=1, status_code=503)
        Job.objects.create(kind="recover", webhook=webhook, created_at=now)


def queries_of(client, address: str, **query: object) -> list[str]:
    with CaptureQueriesContext(connection) as captured:
        assert client.get(address, query).status_code == 200
    return [query["sql"] for query in captured]


@pytest.mark.parametrize("model", LISTS, ids=lambda model: model.__name__)
def test_a_list_takes_as_many_queries_for_many_rows_as_for_few(operator, model):
    fill(2)
    operator.get(url(model, "changelist"))
    few = len(queries_of(operator, url(model, "changelist")))

    fill(20)

    assert len(queries_of(operator, url(model, "changelist"))) == few <= 13


@pytest.mark.parametrize("term", ["Anna", "503", "class.*", "unheard-of"])
@pytest.mark.parametrize("model", [Delivery, Event], ids=lambda model: model.__name__)
def test_a_search_takes_as_many_queries_for_many_matches_as_for_few(operator, model, term):
    fill(2)
    operator.get(url(model, "changelist"), {"q": term})
    few = len(queries_of(operator, url(model, "changelist"), q=term))

    fill(20)

    assert len(queries_of(operator, url(model, "changelist"), q=term)) == few <= 24


@pytest.mark.parametrize("model", [Delivery, Webhook], ids=lambda model: model.__name__)
def test_a_page_takes_as_many_queries_for_many_rows_below_it_as_for_few(operator, model):
    fill(1)
    row = model.objects.get()
    address = url(model, "change", row.pk)

    def more(number: int) -> None:
        for each in range(number):
            row.subscriptions.create(event_type="class.*") if model is Webhook else row.attempt_log.create(
                number=each + 2, started_at=timezone.now(), duration_ms=1
            )

    more(1)
    operator.get(address)
    few = len(queries_of(operator, address))
    row.attempt_log.all().delete() if model is Delivery else None

    more(20)

    assert len(queries_of(operator, address)) == few <= 14


@pytest.mark.parametrize("model", LOGS, ids=lambda model: model.__name__)
@pytest.mark.parametrize(
    "query", [{}, {"_facets": "True"}, {"status__exact": "pending"}], ids=["all", "facets", "filtered"]
)
def test_nothing_is_counted_without_a_limit(operator, model, query):
    fill(3)
    query = {} if "status__exact" in query and model is Event else query

    table = model._meta.db_table
    found = [
        sql for sql in queries_of(operator, url(model, "changelist"), **query) if f'FROM "{table}"' in unquoted(sql)
    ]

    assert found
    for sql in found:
        assert "COUNT(" not in sql
        assert re.search(r"LIMIT (1000|1)$", sql) or " IN (" in sql, sql


def unquoted(sql: str) -> str:
    return sql.replace("`", '"')


def test_a_log_ends_at_its_limit_and_says_so(operator, monkeypatch):
    monkeypatch.setattr(logs, "MAX_ROWS", 6)
    monkeypatch.setattr(logs.LogAdmin, "list_per_page", 4)
    webhook = subscribed()
    rows = [write_delivery(webhook, now=timezone.now()) for _ in range(9)]

    first = operator.get(url(Delivery, "changelist"))
    second = operator.get(url(Delivery, "changelist"), {"p": 2})

    assert first.context["cl"].result_count == 6
    assert list(first.context["cl"].result_list) == rows[:4:-1]
    assert list(second.context["cl"].result_list) == rows[4:2:-1]
    assert "The newest 6 that match. Filter or search for older ones." in first.content.decode()
    assert operator.get(url(Delivery, "changelist"), {"p": 3}).status_code == 302


@pytest.mark.parametrize("model", LOGS, ids=lambda model: model.__name__)
def test_a_log_is_read_by_its_key(operator, model):
    fill(1)

    response = operator.get(url(model, "changelist"))

    assert response.context["cl"].queryset.query.order_by[0] == "-pk"
    assert 'class="sortable' not in response.content.decode()


def test_a_log_is_searched_from_the_newest_key_range_back(operator, monkeypatch):
    monkeypatch.setattr(logs, "FIRST_KEY_RANGE", 2)
    monkeypatch.setattr(logs, "MAX_KEY_RANGE", 4)
    webhook = subscribed()
    rows = [write_delivery(webhook, now=timezone.now()) for _ in range(20)]
    Delivery.objects.filter(pk__in=[rows[0].pk, rows[9].pk, rows[19].pk]).update(error_class="timeout")

    response = operator.get(url(Delivery, "changelist"), {"error_class__exact": "timeout"})

    assert list(response.context["cl"].result_list) == [rows[19], rows[9], rows[0]]
    assert not list(response.context["messages"])


def test_a_search_that_stops_early_reports_how_many_rows_it_searched(operator, monkeypatch):
    monkeypatch.setattr(logs, "FIRST_KEY_RANGE", 2)
    monkeypatch.setattr(logs, "MAX_SEARCH_SECONDS", -1.0)
    webhook = subscribed()
    for _ in range(3):
        write_delivery(webhook, now=timezone.now())

    response = operator.get(url(Delivery, "changelist"), {"error_class__exact": "timeout"})

    (message,) = response.context["messages"]
    assert str(message).startswith("Only the newest 2 rows were searched.")


def test_the_form_takes_as_many_queries_for_many_organizations_as_for_few(operator):
    OrganizationFactory()
    operator.get(url(Webhook, "add"))
    few = len(queries_of(operator, url(Webhook, "add")))

    OrganizationFactory.create_batch(30)

    assert len(queries_of(operator, url(Webhook, "add"))) == few <= 10
