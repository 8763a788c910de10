"""However long the tables are: no COUNT over the whole of one, and as many queries for many rows as for few."""

import re
from datetime import timedelta
from functools import partial

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from example_project.training.factories import OrganizationFactory
from example_project.training.models import Organization
from tests.integration.admin.pages import named, text_of, url
from tests.integration.delivery.rows import name_event, subscribed, write_delivery
from tms_webhooks.actors import SYSTEM
from tms_webhooks.admin import logs
from tms_webhooks.choices import AttemptResult, AuditAction
from tms_webhooks.models import AuditEntry, Delivery, DeliveryAttempt, DeliveryTotal, Event, Job, Webhook
from tms_webhooks.models.total import CountedAttempt

LOGS = [Delivery, Event, Job]
LISTS = [*LOGS, AuditEntry, Webhook]
SEARCHES = ["Anna", "503", "class.*", "unheard-of"]


def fill(number):
    """Write rows of everything, each of a webhook and an organization of its own."""
    for _ in range(number):
        webhook = subscribed(headers="X-Key=1", failures=1, failing_since=timezone.now())
        lengthen(webhook, 1)
        Event.objects.filter(organization=webhook.organization_id).update(subject_id="503")


def lengthen(webhook, number):
    """Write rows of everything for one webhook, one of them for each day of its history."""
    now = timezone.now()
    for day in range(number):
        delivery = write_delivery(webhook, now=now, attempts=1)
        name_event(delivery.event, "Anna", occurred_at=now)
        DeliveryAttempt.objects.create(delivery=delivery, number=1, started_at=now, duration_ms=1, status_code=503)
        Job.objects.create(kind="recover", webhook=webhook, created_at=now)
        AuditEntry.objects.record(AuditAction.WEBHOOK_UPDATED, webhook, actor=SYSTEM, now=now)
        counted = CountedAttempt(webhook.pk, now - timedelta(days=day), AttemptResult.DELIVERED, 5)
        DeliveryTotal.objects.addition([counted])()
        webhook.subscriptions.create(event_type="class.*")


def spread(event, number):
    """Write deliveries of one event."""
    for _ in range(number):
        Delivery.objects.create(event=event, webhook=subscribed(), due_at=event.occurred_at, created_at=timezone.now())


def repeat(delivery, number):
    """Write late attempts of one delivery."""
    request = "POST\nhttps://receiver.example.com/{data.id}\n0.1.0\n1\nX-Key\ncustom\nfull"
    rows = {"delivery": delivery, "started_at": timezone.now(), "duration_ms": 1, "request": request}
    DeliveryAttempt.objects.bulk_create([DeliveryAttempt(**rows) for _ in range(number)])


def queries_of(client, address, **query):
    with CaptureQueriesContext(connection) as captured:
        assert client.get(address, query).status_code == 200
    return [query["sql"] for query in captured]


def listed_pages():
    """Return the pages of the rows of everything, with the most queries that each takes."""
    lists = {url(model, "changelist"): 13 for model in LISTS}
    searches = {f"{url(model, 'changelist')}?q={term}": 24 for model in (Delivery, Event) for term in SEARCHES}
    return {**lists, **searches, named("tms_webhooks_dashboard"): 16}


ROWS = {
    "overview": (lambda webhook, _: (url(Webhook, "overview", webhook.public_id), partial(lengthen, webhook)), 20),
    "form": (lambda webhook, _: (url(Webhook, "change", webhook.public_id), partial(lengthen, webhook)), 14),
    "new form": (lambda _webhook, _: (url(Webhook, "add"), OrganizationFactory.create_batch), 10),
    "explanation": (
        lambda webhook, delivery: (
            f"{url(Webhook, 'explain', webhook.public_id)}?event={delivery.event.public_id}",
            partial(lengthen, webhook),
        ),
        15,
    ),
    "delivery": (lambda _, row: (url(Delivery, "change", row.public_id), partial(repeat, row)), 14),
    "event": (lambda _, row: (url(Event, "change", row.event.public_id), partial(spread, row.event)), 12),
    "organization": (
        lambda webhook, _: (
            url(Organization, "change", webhook.organization_id),
            lambda number: [subscribed(organization=webhook.organization) for _ in range(number)],
        ),
        100,
    ),
}
"""How each page is reached, from a webhook and its delivery, how its rows become more, and the most queries it takes."""


@pytest.mark.slow
def test_each_list_takes_as_many_queries_for_many_rows_as_for_few(operator):
    most = listed_pages()
    fill(3)
    for address in most:
        operator.get(address)
    few = {address: len(queries_of(operator, address)) for address in most}

    fill(20)

    assert {address: len(queries_of(operator, address)) for address in most} == few
    assert {address: number for address, number in few.items() if number > most[address]} == {}


@pytest.mark.parametrize("name", ROWS)
def test_a_page_takes_as_many_queries_for_many_rows_as_for_few(operator, name):
    (page, most), webhook = ROWS[name], subscribed(headers="X-Key=1")
    lengthen(webhook, 1)
    address, more = page(webhook, Delivery.objects.get())
    more(2)
    operator.get(address)
    few = len(queries_of(operator, address))

    more(20)

    assert len(queries_of(operator, address)) == few <= most


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
        assert re.search(r"LIMIT (1001|1)$", sql) or " IN (" in sql, sql


def unquoted(sql):
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
    assert "Newest 6 that match. Filter or search for older ones." in first.content.decode()
    beyond = operator.get(url(Delivery, "changelist"), {"p": 3})
    assert list(beyond.context["cl"].result_list) == rows[:4:-1]
    assert "Ignored an unknown filter or value: p=3." in beyond.content.decode()


def test_a_log_of_just_as_many_rows_as_its_limit_does_not_speak_of_older_ones(operator, monkeypatch):
    monkeypatch.setattr(logs, "MAX_ROWS", 6)
    fill(6)

    page = text_of(operator.get(url(Delivery, "changelist")))

    assert "6 deliveries" in page
    assert "Newest" not in page


@pytest.mark.parametrize("query, total", [({}, 60), ({"webhook": True}, 30), ({"error_class__exact": "timeout"}, None)])
def test_a_log_that_ends_at_its_limit_says_about_how_many_rows_there_are(operator, monkeypatch, query, total):
    monkeypatch.setattr(logs, "MAX_ROWS", 6)
    monkeypatch.setattr(logs, "SAMPLE", 60 if query else 30)
    webhooks = subscribed(), subscribed()
    for number in range(60):
        write_delivery(webhooks[number % 2], now=timezone.now(), error_class="" if number % 5 else "timeout")
    query = {"webhook": webhooks[0].public_id} if "webhook" in query else query

    page = text_of(operator.get(url(Delivery, "changelist"), query))

    assert f"Newest 6 {f'of about {total}' if total else 'that match'}. Filter or search" in page


@pytest.mark.parametrize("model", [*LOGS, AuditEntry], ids=lambda model: model.__name__)
def test_a_log_shows_its_newest_rows_and_lets_nobody_change_or_delete_one(operator, model):
    fill(2)
    rows = list(model.objects.order_by("-pk"))
    before, address = list(model.objects.values()), url(model, "changelist")

    response = operator.get(address)

    assert list(response.context["cl"].result_list) == rows
    assert response.context["cl"].queryset.query.order_by[0] == "-pk"
    page = response.content.decode() + operator.get(url(model, "change", rows[0].public_id)).content.decode()
    assert [text for text in ('class="sortable', 'name="_save"', "deletelink", "delete_selected") if text in page] == []
    assert operator.get(url(model, "add")).status_code == 403
    assert operator.post(url(model, "change", rows[0].public_id), {"status": "pending"}).status_code == 403
    for method in (operator.get, operator.post):
        assert method(url(model, "delete", rows[0].public_id), {"post": "yes"}).status_code == 403
    operator.post(address, {"action": "delete_selected", "_selected_action": [rows[0].public_id], "post": "yes"})
    assert list(model.objects.values()) == before


def test_a_search_that_stops_early_reports_how_many_rows_it_searched(operator, monkeypatch):
    monkeypatch.setattr(logs, "FIRST_KEY_RANGE", 2)
    monkeypatch.setattr(logs, "MAX_SEARCH_SECONDS", -1.0)
    webhook = subscribed()
    for _ in range(3):
        write_delivery(webhook, now=timezone.now())

    response = operator.get(url(Delivery, "changelist"), {"error_class__exact": "timeout"})

    assert "Only the newest 2 rows were searched." in response.content.decode()
