"""The lists of the admin take the parameters of their filters, and no other: a lookup would read hidden columns."""

import copy

import pytest
from django.contrib import admin
from django.http import QueryDict
from django.utils import timezone

from tests.factories import WebhookFactory
from tests.integration.admin.pages import url
from tests.integration.delivery.rows import write_delivery
from tms_webhooks.actors import SYSTEM
from tms_webhooks.choices import AuditAction
from tms_webhooks.filters.paths import shortened
from tms_webhooks.models import AuditEntry, Delivery, Event, Job, Webhook

MODELS = (Webhook, Delivery, Event, Job, AuditEntry)
SECRETS = (
    (Event, "body__contains", "alice.larsen@example.com"),
    (Event, "body__regex", "(a+)+$"),
    (Event, "body", "{}"),
    (Event, "error__startswith", "x"),
    (Event, "actor_id__exact", "7"),
    (Delivery, "event__body__contains", "alice.larsen@example.com"),
    (Delivery, "webhook__secrets__value__startswith", "whsec_"),
    (Delivery, "pk__gt", "1"),
    (Webhook, "url__startswith", "https://receiver.example.com/hook"),
    (Webhook, "headers__contains", "Basic"),
    (Webhook, "name__regex", "(a+)+$"),
    (Job, "requested_by__startswith", "r"),
    (Job, "webhook__url__contains", "token"),
    (AuditEntry, "changes__contains", "Basic"),
)


def address(model):
    return url(model, "changelist")


def ignored(answer):
    """Return the parameters that a list names as ignored."""
    texts = [str(message) for message in answer.context["messages"]]
    return [one.removesuffix(".").partition("or value: ")[2] for one in texts if one.startswith("Ignored")]


@pytest.fixture
def webhook():
    webhook = WebhookFactory(events=["*"])
    write_delivery(webhook, now=timezone.now())
    Job.objects.create(kind="recover", webhook=webhook, created_at=timezone.now())
    return webhook


@pytest.mark.parametrize("model, lookup, value", SECRETS, ids=[f"{one[0].__name__}-{one[1]}" for one in SECRETS])
def test_a_lookup_that_no_filter_offers_is_ignored(site, operator, webhook, model, lookup, value):
    answer = operator.get(address(model), {lookup: value})

    assert ignored(answer) == [shortened(f"{lookup}={value}")]
    assert set(answer.context["cl"].result_list) == set(model.objects.all())


ODD = [
    *((Webhook, one) for one in ("enabled__exact=maybe", "disabled_reason__exact=x", "organization__id__exact=x")),
    *((Webhook, f"organization__id__exact={one}") for one in ("9" * 30, "1.5", "[]")),
    *((Delivery, one) for one in ("status__exact=x", "error_class__exact=x", "type=\x00", "job=\x00", "webhook=\x00")),
    *((Delivery, one) for one in ("since=<yesterday>", "until=2026-13-01")),
    *((Job, one) for one in ("kind__exact=x", "status__exact=\x00")),
    *((model, one) for model in MODELS for one in ("e=1", "_facets=1", "all=", "all=1", "_changelist_filters=a")),
]


@pytest.mark.parametrize("model, query", ODD, ids=[f"{model.__name__}-{query!r}" for model, query in ODD])
def test_an_unknown_parameter_or_value_is_named_and_the_list_is_shown(site, operator, webhook, model, query):
    name, _equals, value = query.partition("=")

    answer = operator.get(address(model), {"e": "1", name: value})

    assert answer.status_code == 200
    assert query in ignored(answer) or not value
    assert len(answer.context["cl"].result_list) == model.objects.count()


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
@pytest.mark.parametrize("page", ["0", "9" * 40])
def test_a_page_that_does_not_exist_is_named_and_the_first_one_is_shown(
    site, operator, webhook, model, page, monkeypatch
):
    monkeypatch.setattr(type(admin.site.get_model_admin(model)), "list_per_page", 1)
    write_delivery(WebhookFactory(), now=timezone.now())
    for webhook in Webhook.objects.all():
        Job.objects.create(kind="recover", webhook=webhook, created_at=timezone.now())
        AuditEntry.objects.record(AuditAction.WEBHOOK_ENABLED, webhook, actor=SYSTEM, now=timezone.now())

    answer = operator.get(address(model), {"p": page})

    assert answer.status_code == 200
    assert ignored(answer) == [f"p={page}"]
    assert len(answer.context["cl"].result_list) == 1


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_no_column_can_be_searched_by_a_lookup_of_its_own(site, operator, webhook, model):
    offered = admin.site.get_model_admin(model)
    declared = {name for one in offered.list_filter for name in offered._lookups_of(one)}
    lookups = {
        f"{field.name}__{lookup}" for field in model._meta.fields for lookup in ("contains", "gt", "regex", "in")
    }

    assert lookups.isdisjoint(declared)
    # One request for all of them: each is named as ignored by itself.
    answer = operator.get(address(model), dict.fromkeys(sorted(lookups), "1"))
    assert answer.status_code == 200
    assert "".join(ignored(answer)).count("=1") == len(lookups)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_each_filter_that_a_page_offers_works(site, operator, webhook, model):
    page = operator.get(address(model))
    choices = page.context["cl"]
    queries = [[choice["query_string"] for choice in spec.choices(choices)] for spec in choices.filter_specs]

    for first, *others in queries:
        answer = operator.get(address(model) + others[-1])
        assert answer.status_code == 200, others[-1]
        assert ignored(answer) == []
        # The others without a page around their rows. A choice that Django does not accept raises an error here.
        for query in (first, *others[:-1]):
            request = copy.copy(page.wsgi_request)
            request.GET = QueryDict(query.removeprefix("?"))
            list(choices.model_admin.get_changelist_instance(request).result_list)


def test_a_reader_without_the_right_to_payloads_finds_no_address_in_them(staff, webhook):
    reader = staff("view_event", "view_delivery")

    assert reader.get(address(Event)).status_code == 200
    assert ignored(reader.get(address(Event), {"body__contains": "@"})) == ["body__contains=@"]
