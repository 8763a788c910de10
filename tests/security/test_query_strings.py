"""Every list of the API and of the admin takes its own parameters, refuses all others, and shows no foreign row."""

import random
import string
import time

import pytest
from django.contrib import admin
from django.urls import reverse
from django.utils import timezone

from example_project.training.factories import OrganizationFactory
from tests.factories import WebhookFactory
from tests.integration.admin.conftest import alice as administrator
from tests.integration.admin.pages import named, url
from tests.integration.api.conftest import client
from tests.integration.delivery.rows import write_delivery
from tms_webhooks.actors import SYSTEM
from tms_webhooks.api.urls import app_name, urlpatterns
from tms_webhooks.choices import AuditAction, JobKind
from tms_webhooks.models import AuditEntry, Delivery, DeliveryAttempt, Event, Job, Subscription, Webhook

__all__ = ["administrator", "client"]

FOREIGN = "Foreign-0b7d"
"""A name that only the other organization's rows have."""

LISTS = sorted(pattern.name for pattern in urlpatterns if pattern.name.endswith(("-list", "-attempts")))
MODELS = (Webhook, Delivery, Event, Job, AuditEntry)
EACH = 30
"""Query strings tried on each list."""

ODD_VALUES = (
    "", "0", "-1", "1", "1.5", "1e400", "9" * 40, "true", "null", "[]", "{}", "\x00", "\U0001f600", "'", '"', "%", "%00", "\\",
    "' OR 1=1 --", "1) OR (1=1", "../..", "<script>", "{{7*7}}", "(a+)+$", "a" * 5_000, "2026-11-26", "2026-11-26T00:00:00Z",
    "2026-13-99T99:99:99Z", "9999-12-31T23:59:59+23:59", "0001-01-01T00:00:00-23:59",
    "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59", "evt_" + "0" * 32, "\u0661", "id", "-id", "pk", "?",
)  # fmt: skip
LOOKUPS = ("contains", "startswith", "regex", "iregex", "gt", "in", "isnull", "range", "date", "exact", "year")
COMMON = ("cursor", "page_size", "ordering", "after", "before", "limit", "format", "q", "o", "p", "e", "all", "_popup", "_to_field", "fields")  # fmt: skip


@pytest.fixture
def worlds(acme):
    """One row of each model in the caller's organization, and one in another's; return the latter."""
    made = []
    for organization, name in ((acme, "Own"), (OrganizationFactory(name=FOREIGN), FOREIGN)):
        now = timezone.now()
        webhook = WebhookFactory(organization=organization, name=name, events=["class.*"])
        delivery = write_delivery(webhook, now=now)
        Event.objects.filter(pk=delivery.event_id).update(subject_id=name, external_id=name)
        DeliveryAttempt.objects.create(delivery=delivery, number=1, started_at=now, duration_ms=5, response_body=name)
        Job.objects.create(kind=JobKind.RECOVER, webhook=webhook, created_at=now, requested_by=name)
        entry = AuditEntry.objects.record(
            AuditAction.WEBHOOK_ENABLED, webhook, actor=SYSTEM, now=now, changes={"a": name}
        )
        AuditEntry.objects.filter(pk=entry.pk).update(target=name)
        made.append(delivery)
    return made


def address_of(route, delivery):
    keys = {
        "delivery-attempts": {"pk": delivery.public_id},
        "subscription-list": {"webhook_id": delivery.webhook.public_id},
        "secret-list": {"webhook_id": delivery.webhook.public_id},
        "webhook-event-list": {"webhook_id": delivery.webhook.public_id},
    }
    return reverse(f"{app_name}:{route}", kwargs=keys.get(route, {}))


def lookups():
    """Return a lookup on every column of every table, and the ways from one table to the others."""
    models = (*MODELS, DeliveryAttempt, Subscription)
    columns = {field.name for model in models for field in model._meta.fields}
    ways = ("webhook__", "event__", "delivery__", "webhook__secrets__", "organization__", "webhook__organization__")
    return [f"{way}{column}__{lookup}" for way in ("", *ways) for column in sorted(columns) for lookup in LOOKUPS]


def queries(seed, declared, foreign):
    """Yield the same query strings for the same ``seed``: names of all kinds with values of all kinds."""
    chance = random.Random(seed)
    names = [*declared, *declared, *COMMON, *chance.sample(lookups(), 20)]
    letters = string.printable + "äß€\u202e"
    for _ in range(EACH):
        made_up = "".join(chance.choices(letters, k=chance.randint(1, 12)))
        values = [*ODD_VALUES, *foreign, made_up]
        chosen = chance.sample([*names, made_up], chance.randint(1, 3))
        yield {name: chance.choice(values) for name in chosen}


def check(caller, address, query, refusals):
    """Return the status of the answer, which is 200 or one of ``refusals``, within a second, and has no foreign row."""
    began = time.process_time()
    response = caller.get(address, query, follow=True)

    assert time.process_time() - began < 1, query
    assert response.status_code in {200, *refusals}, query
    assert FOREIGN not in response.content.decode(), query
    return int(response.status_code)


@pytest.mark.parametrize("route", LISTS)
def test_a_list_of_the_api_survives_any_query_string(client, worlds, route):
    own, foreign = worlds
    pattern = next(one for one in urlpatterns if one.name == route)
    declared = sorted(pattern.callback.cls.list_filters) or ["group"]
    keys = [foreign.public_id, foreign.webhook.public_id, str(foreign.webhook.organization_id), foreign.event.public_id]

    codes = {check(client, address_of(route, own), query, {400, 404}) for query in queries(route, declared, keys)}

    assert 400 in codes


@pytest.mark.parametrize("route", LISTS)
def test_a_list_of_the_api_refuses_every_lookup(client, worlds, route, problem):
    address = address_of(route, worlds[0])

    assert client.get(address).status_code == 200
    for chosen in (
        "body__contains",
        "webhook__secrets__value__startswith",
        *random.Random(route).sample(lookups(), 40),
    ):
        (error,) = problem(client.get(address, {chosen: "1"}), "invalid-request")["errors"]
        assert (error["parameter"], error["code"]) == (chosen[:80], "unknown")


@pytest.mark.parametrize("text", ["\x00", "a\x00b", "class:\x00"])
def test_a_search_of_the_admin_survives_a_null_character(site, operator, worlds, text):
    webhook = worlds[0].webhook
    query = {"noun": "class", "organization": str(webhook.organization_id), "q": text}

    assert operator.get(named("tms_webhooks_webhook_explain", webhook.public_id), {"event": text}).status_code == 200
    assert operator.get(named("tms_webhooks_webhook_objects"), query).status_code == 200


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_a_list_of_the_admin_survives_any_query_string(site, administrator, worlds, model):
    foreign = worlds[1]
    offered = admin.site.get_model_admin(model)
    declared = [name for one in offered.list_filter for name in offered._lookups_of(one)]
    keys = [foreign.public_id, foreign.webhook.public_id, str(foreign.webhook.organization_id), foreign.event.public_id]

    address = url(model, "changelist")
    for query in queries(model.__name__, declared, keys):
        # A list refuses to be the popup of another form.
        is_popup = not {"_popup", "_to_field"}.isdisjoint(query)
        assert check(administrator, address, query, {403}) == (403 if is_popup else 200), query
