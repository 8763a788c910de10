"""Each address of the customers' site: anonymous users get the host's login, other organizations nothing, staff is no help."""

import re
from operator import attrgetter
from pathlib import Path

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import URLResolver, get_resolver
from django.utils import timezone

import tms_webhooks.admin
from example_project.training.factories import OrganizationFactory
from tests.each import each
from tests.factories import WebhookFactory
from tests.integration.admin import pages
from tests.integration.admin.pages import administrator_of, named
from tests.integration.delivery.rows import write_delivery
from tms_webhooks.actors import SYSTEM
from tms_webhooks.admin.actions import WEBHOOK_ACTIONS
from tms_webhooks.admin.site import PAGES
from tms_webhooks.choices import AuditAction, JobKind
from tms_webhooks.models import AuditEntry, Delivery, Job, Webhook

NAME = "Theirs-0b7d"
"""A text that only rows of the other organization have."""
CLOSED = {"logout", "password_change", "password_change_done"}
"""The names of Django's pages that this site does not have, for templates that link to them."""


@pytest.fixture(autouse=True)
def _customers(monkeypatch):
    monkeypatch.setattr(pages, "site", pages.CUSTOMERS)


def patterns(resolver):
    """Return the patterns below a resolver."""
    found = []
    for one in resolver.url_patterns:
        found += patterns(one) if isinstance(one, URLResolver) else [one]
    return found


SITE = next(one for one in get_resolver().url_patterns if getattr(one, "namespace", "") == pages.CUSTOMERS)
PATTERNS = [one for one in patterns(SITE) if one.name and one.name != "enter"]
SHARED = {"index", "login", "autocomplete", "jsi18n", "app_list", *CLOSED}
"""The pages that are no model's."""


@pytest.fixture
def theirs():
    """A delivery of an organization, with a row of everything else."""
    now = timezone.now()
    webhook = WebhookFactory(organization=OrganizationFactory(name=NAME), name=NAME, events=["*"])
    Job.objects.create(kind=JobKind.RECOVER, webhook=webhook, created_at=now, requested_by=NAME)
    AuditEntry.objects.record(AuditAction.WEBHOOK_ENABLED, webhook, actor=SYSTEM, now=now)
    AuditEntry.objects.update(target=NAME)
    return write_delivery(webhook, now=now)


@pytest.fixture
def browser():
    """The administrator of another organization, who is no staff."""
    client = Client()
    client.force_login(administrator_of(OrganizationFactory(name="Ours")))
    return client


def is_of_a_row(pattern):
    """Return whether the addresses of a pattern name a row."""
    return bool(pattern.pattern.converters)


def addresses_of(pattern, delivery):
    """Return the addresses of a pattern, for the rows of a delivery."""
    name = pattern.name
    if name == "app_list":
        return [named(name, "tms_webhooks")]
    if not is_of_a_row(pattern):
        return [named(name)]
    rows = {
        "webhook": delivery.webhook,
        "delivery": delivery,
        "event": delivery.event,
        "job": Job.objects.get(),
        "auditentry": AuditEntry.objects.get(),
    }
    key = rows[name.split("_")[2]].public_id
    slugs = [action.slug for action in WEBHOOK_ACTIONS] if name.endswith("_action") else [None]
    if name.endswith("_filters"):
        slugs = [one.public_id for one in delivery.webhook.subscriptions.all()]
    return [named(name, key, *filter(None, [slug])) for slug in slugs]


def test_the_site_has_its_pages_and_few_of_djangos():
    assert {one.name for one in PATTERNS if not one.name.startswith("tms_webhooks_")} == SHARED


def test_the_site_has_the_pages_of_the_staff_and_no_others():
    of_the_staff = {model for model in admin.site._registry if model._meta.app_label == "tms_webhooks"}

    assert set(PAGES) == of_the_staff


def test_one_function_asks_for_djangos_permissions():
    found = {
        path.name for path in Path(tms_webhooks.admin.__file__).parent.rglob("*.py") if "has_perm(" in path.read_text()
    }

    assert found == {"bases.py"}


@pytest.mark.parametrize("method", ["get", "post"])
@each(PATTERNS, attrgetter("name"))
def test_an_anonymous_user_is_sent_to_the_hosts_login(pattern, client, theirs, method):
    for address in addresses_of(pattern, theirs):
        response = getattr(client, method)(address)

        assert (response.status_code, response["Location"]) == (302, f"/login/?next={address}")


@pytest.mark.parametrize("method", ["get", "post"])
@each(PATTERNS, attrgetter("name"))
def test_an_administrator_of_another_organization_gets_nothing_of_it(pattern, browser, theirs, method):
    before = Webhook.objects.values().get(pk=theirs.webhook_id)

    for address in addresses_of(pattern, theirs):
        response = getattr(browser, method)(address)

        refused = {302, 403, 404, 405}
        assert response.status_code in (
            refused if is_of_a_row(pattern) or pattern.name in CLOSED else {200, *refused}
        ), address
        assert NAME.lower() not in response.content.decode().lower(), address
    assert Webhook.objects.values().get(pk=theirs.webhook_id) == before
    assert not Delivery.objects.exclude(pk=theirs.pk).exists()


@each(PATTERNS, attrgetter("name"))
def test_its_own_administrator_gets_each_page_and_is_no_staff(pattern, theirs, receiver):
    Webhook.objects.update(url=receiver.url)
    user = administrator_of(theirs.webhook.organization)
    assert not user.is_staff
    assert not user.get_all_permissions()
    client = Client()
    client.force_login(user)

    of_a_log = pattern.name.startswith(
        tuple(f"tms_webhooks_{one}_" for one in ("delivery", "event", "job", "auditentry"))
    )
    closed = pattern.name in CLOSED or (of_a_log and pattern.name.endswith(("_add", "_delete")))
    only_post = pattern.name.endswith(("_preview", "_preview_of"))
    for address in addresses_of(pattern, theirs):
        response = client.get(address)
        status = response.status_code
        links = re.findall(
            r'(?:href|action|data-tms-\w+)="(/[^"]*)"', response.content.decode() if status == 200 else ""
        )
        assert {link for link in links if not link.startswith(("/customers/", "/static/"))} <= {"/logout/"}, address
        if closed:
            assert status in (403, 404)
        elif only_post:
            assert status == 405
        elif pattern.name in ("autocomplete", "tms_webhooks_webhook_objects"):
            assert status == 403  # They need the parameters of the field that asks.
        elif pattern.name.endswith(("_filters", "_filters_of")):
            assert status == 404  # They need an event.
        else:
            assert status in (200, 302), address
