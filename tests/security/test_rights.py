"""The table of rights in the documentation is true: each route and page takes its action, and no other beyond viewing."""

import re
from pathlib import Path

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from tests.factories import write_values
from tests.integration.admin.pages import STAFF, administrator_of, named
from tests.integration.api import people
from tests.integration.api.test_scope import NO_RESOURCE, ROUTES, call, routes
from tests.receiver import Answer
from tms_webhooks.api.urls import app_name, router
from tms_webhooks.choices import Action, DeliveryStatus
from tms_webhooks.models import AuditEntry, Delivery, Webhook

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "rights.md"
ROUTE = re.compile(r"^\| `(\w+)` \| ([A-Z, ]+) \| (`[^|]+`) \|$", re.MULTILINE)
ROW = re.compile(r"^\| `(\w+)` \| `(\w+)` \| ([A-Z, ]+) \| (`[^|]+) \|$", re.MULTILINE)
NAMES = {re.sub(r"\(\?P<(\w+)>[^)]*\)", "{}", str(one.pattern)).strip("^$"): one.name for one in router.urls}
"""The names of the routes, by their URL with ``{}`` in place of each id and name."""
ROUTES_PART, PAGES_PART = PAGE.read_text().split("## Admin")
API = [
    (NAMES[re.sub(r"\{\w+\}", "{}", url)], method, action)
    for action, methods, urls in ROUTE.findall(ROUTES_PART)
    for url in re.findall(r"`([^`]+)`", urls)
    for method in methods.split(", ")
]
ADMIN = [
    (name, slug, method, permission, action)
    for action, permission, methods, pages in ROW.findall(PAGES_PART)
    for name, slug in re.findall(r"`(\w+)`(?: (\w+))?", pages)
    for method in methods.split(", ")
]
OF_EVENT_TYPES = {f"event-type-{name}" for name in ("detail", "schema", "example", "samples")}
OTHERS = {str(action) for action in Action} - {"view"}


def test_the_table_has_each_route_of_the_api_and_every_change_takes_more_than_to_view():
    listed = {(route, method.lower()) for route, method, _action in API}

    assert {method for _route, method, action in API if action == "view"} == {"GET"}
    assert listed == {route for route in routes() if route[0] not in NO_RESOURCE}


def test_the_table_has_each_page_of_the_admin():
    listed = {page for page, *_rest in ADMIN}
    of_the_app = {
        pattern.name.removeprefix("tms_webhooks_")
        for model, page in admin.site._registry.items()
        if model._meta.app_label == "tms_webhooks"
        for pattern in page.urls
        if pattern.name
    }

    closed = {f"{model}_{page}" for model in ("delivery", "event", "job", "auditentry") for page in ("add", "delete")}
    assert of_the_app - closed == listed


@pytest.mark.parametrize("route, method, action", API)
def test_a_route_takes_its_action_and_no_other(restricted, world, problem, receiver, route, method, action):
    if (route, method.lower()) not in ROUTES:
        assert action == "view"  # the catalogue, which is no organization's
        names = {"name": "class.cancelled"} if route in OF_EVENT_TYPES else {}
        address = reverse(f"{app_name}:{route}", kwargs=names)
        assert restricted(*OTHERS).get(address).status_code == 200
        return
    Webhook.objects.filter(pk=world.webhook.pk).update(url=receiver.url)
    if action != "view":
        details = problem(call(restricted(action), world, route, method.lower()), "forbidden")
        assert details["detail"].startswith("You may view this object, but you lack the permission ")
        assert AuditEntry.objects.count() == 1

    assert call(restricted(*(OTHERS - {action})), world, route, method.lower()).status_code < 300


# The admin


@pytest.fixture
def browser(site, acme):
    """Return a browser of a user who may not do the actions that are named; staff has one of Django's permissions."""
    user = administrator_of(acme)

    def browser(*may_not, permission):
        if site == STAFF:
            codenames = {permission, *VIEWS.get(permission, ())}
            user.user_permissions.set(
                Permission.objects.filter(content_type__app_label="tms_webhooks", codename__in=codenames)
            )
        people.denied[user.pk] = set(may_not)
        client = Client()
        client.force_login(user)
        return client

    return browser


VIEWS = {
    "change_webhook": ["view_webhook"],
    "delete_webhook": ["view_webhook"],
    "change_delivery": ["view_delivery", "view_webhook"],
    "view_event": ["view_webhook"],
}
"""Django's permissions that a page needs beside its own, to be reached."""
WITHOUT_ROW = {"webhook_add", "webhook_preview", "webhook_filters"}
"""The pages that are about no row yet."""


def address_of(page, slug, world):
    model = page.partition("_")[0]
    rows = {
        "webhook": world.webhook,
        "delivery": world.delivery,
        "event": world.delivery.event,
        "job": world.job,
        "auditentry": world.entry,
    }
    listed = ("webhook_add", "changelist", "_preview", "_objects", "_filters", "dashboard")
    args = [] if page.endswith(listed) else [rows[model].public_id, *([slug] if slug else [])]
    query = f"?noun=course&organization={world.webhook.organization_id}" if page == "webhook_objects" else ""
    query = "?filters=class.cancelled" if page.startswith("webhook_filters") else query
    return named(f"tms_webhooks_{page}", *args) + query


@pytest.mark.parametrize("page, slug, method, permission, action", ADMIN)
def test_a_page_takes_its_action_and_no_other_and_the_permission_of_staff(
    site, browser, world, receiver, page, slug, method, permission, action
):
    receiver.respond = lambda request: Answer(200)
    write_values(world.webhook, url=receiver.url, failures=1)
    Delivery.objects.update(status=DeliveryStatus.FAILED, due_at=None, finished_at=timezone.now())
    address = address_of(page, slug, world)

    def answer_to(client):
        return int(
            getattr(client, method.lower())(
                address, {"event_type": "webhook.test"} if slug == "test" else {}
            ).status_code
        )

    if action != "view":
        assert answer_to(browser(action, permission=permission)) == 403
    elsewhere = browser("view", action, permission=permission)
    if "changelist" not in page and not page.startswith("dashboard") and page not in WITHOUT_ROW:
        assert answer_to(elsewhere) in (302, 403, 404)
        if site == STAFF:
            other = browser(permission="view_job" if permission != "view_job" else "view_webhook")
            assert answer_to(other) in (302, 403, 404)
    assert answer_to(browser(*(OTHERS - {action}), permission=permission)) in (200, 302)
