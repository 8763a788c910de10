"""Ids are opaque: no customer counts the rows of others, and what is another's does not exist."""

import base64
import re
import uuid
from dataclasses import replace

import pytest
from django.contrib.admin.utils import quote
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from tests.factories import WebhookFactory
from tests.integration.admin.pages import named, url
from tests.integration.api.conftest import client
from tests.integration.api.test_scope import FILTERS, ROUTES, call
from tms_webhooks.api.urls import app_name
from tms_webhooks.models import AuditEntry, Delivery, Event, Job, Subscription, Webhook

__all__ = ["client"]

LISTS = {"webhook-list", "hook-list"}

PREFIXES = {Webhook: "whk_", Subscription: "sub_", Job: "job_", AuditEntry: "aud_", Event: "evt_", Delivery: "dlv_"}


def unknown(world):
    """Return the same rows with ids that do not exist."""
    fresh = {
        name: type(row)(uid=uuid.uuid4())
        for name, row in vars(world).items()
        if isinstance(row, Webhook | Subscription | Job | AuditEntry)
    }
    fresh["delivery"] = Delivery(event=Event(uid=uuid.uuid4()), webhook=Webhook(uid=uuid.uuid4()))
    return replace(world, **fresh)


def answer_of(client, world, route, method):
    with CaptureQueriesContext(connection) as queries:
        response = call(client, world, route, method)
    content = response.content
    # The response names the id of the request, which the caller knows.
    for name, row in [*vars(world).items(), ("event", world.delivery.event)]:
        content = content.replace(row.public_id.encode(), name.encode())
    return response.status_code, content, len(queries)


@pytest.mark.parametrize(
    "route, method", [key for key, one in ROUTES.items() if one.lists is None and key[0] not in LISTS]
)
def test_what_is_anothers_is_answered_like_what_does_not_exist_with_as_many_queries(stranger, world, route, method):
    call(stranger, world, route, method)  # The first request also reads the session.

    theirs = answer_of(stranger, world, route, method)
    nobodys = answer_of(stranger, unknown(world), route, method)

    assert theirs == nobodys
    assert theirs[0] == 404
    assert b"Acme" not in theirs[1]
    webhook = Webhook.objects.get()
    assert (webhook.name, webhook.enabled, AuditEntry.objects.count()) == ("Acme's", True, 1)


@pytest.mark.parametrize("route, name", FILTERS)
def test_a_filter_by_what_is_anothers_takes_as_many_queries_as_an_unknown_one(client, stranger, world, route, name):
    address = reverse(f"{app_name}:{route}")
    answers = []
    for rows in (world, world, unknown(world)):
        value = FILTERS[route, name](rows) if "organization" not in name else (rows is not world) * 9 + 987654321
        with CaptureQueriesContext(connection) as queries:
            response = stranger.get(f"{address}?{name}={value}")
        answers.append((response.status_code, response.content, len(queries)))

    assert answers[1] == answers[2]
    assert answers[1][0] == 404
    assert len(client.get(f"{address}?{name}={FILTERS[route, name](world)}").json()["results"]) == 1


def test_every_id_has_its_prefix_and_says_nothing_of_a_count(world):
    rows = (world.webhook, world.subscription, world.job, world.entry, world.delivery.event, world.delivery)

    for row in rows:
        digits = 64 if isinstance(row, Delivery) else 32
        assert re.fullmatch(rf"{PREFIXES[type(row)]}[0-9a-f]{{{digits}}}", row.public_id)
        assert type(row).objects.get(type(row).by_public_id(row.public_id)) == row
        assert not type(row).objects.filter(type(row).by_public_id(str(row.pk))).exists()
        assert not type(row).objects.filter(type(row).by_public_id(row.public_id + "0")).exists()
    uid = world.delivery.event.public_id.removeprefix("evt_")
    assert world.delivery.public_id == f"dlv_{uid}{world.webhook.public_id.removeprefix('whk_')}"


IDS = {"id", "webhook", "delivery", "merged_into", "target"}


def ids_in(data):
    """Return the values of all fields that hold an id of ours, at any depth."""
    if isinstance(data, dict):
        own = [value for name, value in data.items() if name in IDS and not isinstance(value, dict | list)]
        return own + [found for value in data.values() for found in ids_in(value)]
    return [found for value in data for found in ids_in(value)] if isinstance(data, list) else []


@pytest.mark.parametrize("route, method", [key for key, one in ROUTES.items() if one.lists is not None])
def test_no_answer_of_a_list_has_a_key(client, world, route, method):
    rows = call(client, world, route, method).json()["results"]

    assert rows
    for row in rows:
        row.pop("payload", None)
        row.pop("subject", None)
        row.pop("actor", None)
        assert all(value is None or re.search("_[0-9a-f]{32}", str(value)) for value in ids_in(row)), row


def test_the_cursor_of_a_list_hides_the_key_in_it(client, acme):
    for _ in range(3):
        WebhookFactory(organization=acme)
    cursor = re.search("cursor=([^&]+)", client.get("/api/webhooks/?page_size=1").json()["next"]).group(1)

    text = base64.urlsafe_b64decode(cursor.replace("%3D", "=") + "==")
    assert b"[" not in text[:1]
    assert text[:1] == b"\x80"  # A Fernet token.


MODELS = (Webhook, Delivery, Event, Job, AuditEntry)
KEYS = (
    r'(?:href|value|action)="[^"]*/tms_webhooks/\w+/\d+/',
    r'name="_selected_action" value="\d+"',
    r"object for an action - delivery \d",
    "data-popup-opener",
)


@pytest.fixture
def rows(world):
    """One row of each model."""
    return [model.objects.get() for model in MODELS]


def test_the_pages_name_rows_by_their_public_ids(site, operator, rows):
    pages = [url(type(row), "changelist") for row in rows]
    pages += [url(type(row), page, row.public_id) for row in rows for page in ("change",)]
    pages += [url(Webhook, "delete", rows[0].public_id)]
    pages += [url(Webhook, "overview", rows[0].public_id)]

    for page in pages:
        response = operator.get(page)
        assert response.status_code == 200, page
        assert not [one for one in KEYS if re.search(one, response.content.decode())], page


def test_no_page_is_a_popup_which_would_answer_with_keys(site, operator, rows):
    for row in rows:
        assert operator.get(url(type(row), "changelist"), {"_popup": "1"}).status_code == 403
        assert operator.post(url(type(row), "change", row.public_id), {"_popup": "1"}).status_code == 403


@pytest.mark.parametrize(
    "model, field", [("subscription", "webhook"), ("delivery", "event"), ("deliveryattempt", "delivery")]
)
def test_the_autocompletion_of_django_finds_no_row(site, operator, rows, model, field):
    query = {"app_label": "tms_webhooks", "model_name": model, "field_name": field, "term": ""}

    assert operator.get(named("autocomplete"), query).status_code == 404


@pytest.mark.parametrize("begin", ["22", "5f"])
def test_an_id_that_django_takes_for_an_escaped_character_is_found(site, operator, begin):
    webhook = WebhookFactory(uid=uuid.UUID(begin + uuid.uuid4().hex[2:]))

    for key in (webhook.public_id, quote(webhook.public_id)):
        for page in ("overview", "change", "delete"):
            response = operator.get(url(Webhook, page, key))
            assert response.status_code == 200, (page, key)
            assert webhook.name in response.content.decode()
