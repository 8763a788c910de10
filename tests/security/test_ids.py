"""Ids are opaque: no customer counts the rows of others, and what is another's does not exist."""

from __future__ import annotations

import base64
import json
import re
import uuid
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from django.contrib.admin.utils import quote
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from example_project.training.factories import OrganizationFactory
from tests.factories import WebhookFactory
from tests.integration.admin.conftest import operator, site
from tests.integration.admin.pages import named, url
from tests.integration.api.conftest import acme, alice, client, names, policy, problem, stranger
from tests.integration.api.test_scope import FILTERS, ROUTES, World, call, world
from tests.integration.delivery.rows import write_delivery
from tms_webhooks.actors import SYSTEM
from tms_webhooks.api.urls import app_name
from tms_webhooks.choices import DisabledReason
from tms_webhooks.delivery import lifecycle
from tms_webhooks.manage import webhooks
from tms_webhooks.manage.tests import send_test
from tms_webhooks.models import AuditEntry, Delivery, Event, Job, NotificationAddresses, Subscription, Webhook
from tms_webhooks.outbox.fanout import fan_out

__all__ = ["acme", "alice", "client", "names", "operator", "policy", "problem", "site", "stranger", "world"]

NOW = datetime(2026, 11, 24, 15, 0, tzinfo=UTC)
PREFIXES = {Webhook: "whk_", Subscription: "sub_", Job: "job_", AuditEntry: "aud_", Event: "evt_", Delivery: "dlv_"}


def unknown(world: World) -> World:
    """Return the same rows with ids that do not exist."""
    fresh = {
        name: type(row)(uid=uuid.uuid4())
        for name, row in vars(world).items()
        if isinstance(row, Webhook | Subscription | Job | AuditEntry)
    }
    fresh["delivery"] = Delivery(event=Event(uid=uuid.uuid4()), webhook=Webhook(uid=uuid.uuid4()))
    return replace(world, **fresh)


def answer_of(client, world: World, route: str, method: str) -> tuple[int, bytes, int]:
    with CaptureQueriesContext(connection) as queries:
        response = call(client, world, route, method)
    content = response.content
    # The response names the id of the request, which the caller knows.
    for name, row in [*vars(world).items(), ("event", world.delivery.event)]:
        content = content.replace(row.public_id.encode(), name.encode())
    return response.status_code, content, len(queries)


@pytest.mark.parametrize(
    ("route", "method"), [key for key, one in ROUTES.items() if one.lists is None and key[0] != "webhook-list"]
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


@pytest.mark.parametrize(("route", "name"), FILTERS)
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


def test_ids_stay_the_same_when_a_row_changes(world):
    before = [world.webhook.public_id, world.delivery.public_id, world.job.public_id]
    lifecycle.disable(world.webhook, reason=DisabledReason.ADMIN, now=NOW)
    webhooks.enable(world.webhook, now=NOW)
    world.job.finish(now=NOW)

    rows = (Webhook.objects.get(), Delivery.objects.get(), Job.objects.get())
    assert [row.public_id for row in rows] == before


IDS = {"id", "webhook", "delivery", "merged_into", "target"}


def ids_in(data: object) -> list[object]:
    """Return the values of all fields that hold an id of ours, at any depth."""
    if isinstance(data, dict):
        own = [value for name, value in data.items() if name in IDS and not isinstance(value, dict | list)]
        return own + [found for value in data.values() for found in ids_in(value)]
    return [found for value in data for found in ids_in(value)] if isinstance(data, list) else []


@pytest.mark.parametrize(("route", "method"), [key for key, one in ROUTES.items() if one.lists is not None])
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


def test_a_request_has_the_public_id_of_its_delivery(receiver, acme):
    webhook = WebhookFactory(organization=acme, url=receiver.url)
    sent = send_test(webhook, actor=SYSTEM)

    (request,) = receiver.received
    assert request.headers["tms-delivery-id"] == sent.delivery.public_id
    assert request.event["data"]["id"] == webhook.public_id


def test_an_operational_event_names_its_webhook_by_its_public_id_and_does_not_go_to_it(acme):
    listening, disabled = (WebhookFactory(organization=acme, events=["webhook.*"]) for _ in range(2))
    lifecycle.disable(disabled, reason=DisabledReason.ADMIN, now=timezone.now())
    fan_out(timezone.now())

    event = Event.objects.get(type="webhook.disabled")
    assert (event.subject_id, json.loads(event.body)["data"]["id"]) == (disabled.public_id, disabled.public_id)
    assert list(Delivery.objects.values_list("webhook", flat=True)) == [listening.pk]


MODELS = (Webhook, Delivery, Event, Job, AuditEntry, NotificationAddresses)
KEYS = (
    r'(?:href|value|action)="[^"]*/tms_webhooks/\w+/\d+/',
    r'name="_selected_action" value="\d+"',
    r"object for an action - delivery \d",
    "data-popup-opener",
)


@pytest.fixture
def rows(world):
    """One row of each model."""
    NotificationAddresses.objects.create(organization=world.webhook.organization, contacts="ann@example.com")
    return [model.objects.get() for model in MODELS]


def test_the_pages_name_rows_by_their_public_ids(site, operator, rows):
    pages = [url(type(row), "changelist") for row in rows]
    pages += [url(type(row), page, row.public_id) for row in rows for page in ("change", "history")]
    pages += [url(type(row), "delete", row.public_id) for row in (rows[0], rows[-1])]
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
    ("model", "field"), [("subscription", "webhook"), ("delivery", "event"), ("deliveryattempt", "delivery")]
)
def test_the_autocompletion_of_django_finds_no_row(site, operator, rows, model, field):
    query = {"app_label": "tms_webhooks", "model_name": model, "field_name": field, "term": ""}

    assert operator.get(named("autocomplete"), query).status_code == 404


@pytest.mark.parametrize("model", [Webhook, NotificationAddresses])
def test_selected_rows_are_deleted_by_their_public_ids(site, operator, rows, model):
    row = model.objects.get()
    chosen = {"action": "delete_selected", "_selected_action": [row.public_id]}

    page = operator.post(url(model, "changelist"), chosen).content.decode()
    assert f'name="_selected_action" value="{row.public_id}"' in page
    operator.post(url(model, "changelist"), {**chosen, "post": "yes"})

    assert not model.objects.filter(**({"deleted_at": None} if model is Webhook else {})).exists()


def test_an_action_of_a_list_takes_the_public_ids(site, operator, acme):
    webhooks = [WebhookFactory(organization=acme) for _ in range(3)]
    chosen = [webhook.public_id for webhook in webhooks[:2]]

    operator.post(url(Webhook, "changelist"), {"action": "disable_selected", "_selected_action": chosen})

    assert list(Webhook.objects.order_by("pk").values_list("enabled", flat=True)) == [False, False, True]


def test_an_administrator_finds_the_row_of_another_organization_by_no_id(alice, world, client):
    client.force_login(alice)
    other = write_delivery(WebhookFactory(organization=OrganizationFactory()), now=NOW)

    for key in (other.pk, other.public_id, "dlv_" + "0" * 64):
        response = client.get(url(Delivery, "change", key))
        assert response.status_code in (302, 403)


def test_the_commands_take_both_ids(world, capsys):
    for key in (world.webhook.public_id, str(world.webhook.pk)):
        with pytest.raises(SystemExit):
            call_command("webhooks_health", "--webhook", key)
        assert world.webhook.name in capsys.readouterr().out


@pytest.mark.parametrize("begin", ["22", "23", "24", "25", "26", "40", "5f"])
def test_an_id_that_django_takes_for_an_escaped_character_is_found(site, operator, begin):
    webhook = WebhookFactory(uid=uuid.UUID(begin + uuid.uuid4().hex[2:]))

    for key in (webhook.public_id, quote(webhook.public_id)):
        for page in ("overview", "change", "history", "delete"):
            response = operator.get(url(Webhook, page, key))
            assert response.status_code == 200, (page, key)
            assert webhook.name in response.content.decode()
