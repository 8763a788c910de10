"""Objects of another organization do not exist for the caller: on every route, in every list, filter, body and cursor."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth import SESSION_KEY, get_user_model
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import SimpleLazyObject

from example_project.training.factories import OrganizationFactory, UserFactory
from tests.factories import WebhookFactory
from tests.integration.api.people import at, client_of, member_of
from tests.integration.delivery.rows import write_delivery
from tms_webhooks.actors import SYSTEM, actor_of
from tms_webhooks.api.urls import app_name, urlpatterns
from tms_webhooks.choices import AuditAction, DeliveryStatus, JobKind
from tms_webhooks.models import AuditEntry, Delivery, DeliveryAttempt, Job, Subscription, Webhook, WebhookSecret
from tms_webhooks.models.idempotency import digest_of
from tms_webhooks.models.webhook import new_secret


@dataclass
class World:
    """One object of each kind, all of one organization."""

    webhook: Webhook
    subscription: Subscription
    old_secret: WebhookSecret
    delivery: Delivery
    job: Job
    entry: AuditEntry


@dataclass(frozen=True)
class Request:
    """How a route is called for the objects of a world, and what makes it a list: the key of the object in it.

    ``of`` names the object of the URL, and ``below_webhook`` says that the URL names its webhook, too.
    """

    of: str = ""
    body: Callable[[World], dict[str, Any]] = lambda world: {}
    lists: Callable[[World], Any] | None = None
    query: Callable[[World], dict[str, Any]] = lambda world: {}
    below_webhook: bool = False

    def keys(self, world):
        """Return the ids in the URL."""
        if self.of == "event":
            return {"id": world.delivery.event.public_id}
        keys = {"webhook_id": world.webhook.public_id} if self.below_webhook else {}
        return {**keys, "pk": getattr(world, self.of).public_id} if self.of else keys


def new_webhook(world):
    return {"organization": world.webhook.organization_id, "name": "X", "url": "https://receiver.example.com/"}


def new_hook(world):
    url = "https://receiver.example.com/"
    return {"organization": world.webhook.organization_id, "target_url": url, "event": "class.updated"}


def yesterday(world):
    return {"since": (timezone.now() - timedelta(days=1)).isoformat(), "dry_run": True}


def bulk(world):
    return {"webhooks": [world.webhook.public_id], "kind": "replay_missed", "dry_run": True}


ROUTES = {
    ("webhook-list", "get"): Request(lists=lambda world: world.webhook.public_id),
    ("webhook-list", "post"): Request(body=new_webhook),
    ("webhook-detail", "get"): Request("webhook"),
    ("webhook-detail", "patch"): Request("webhook", lambda world: {"name": "Stolen"}),
    ("webhook-detail", "delete"): Request("webhook"),
    ("hook-list", "get"): Request(lists=lambda world: world.webhook.public_id),
    ("hook-list", "post"): Request(body=new_hook),
    ("hook-detail", "get"): Request("webhook"),
    ("hook-detail", "delete"): Request("webhook"),
    ("hook-refresh", "post"): Request("webhook"),
    ("webhook-enable", "post"): Request("webhook"),
    ("webhook-disable", "post"): Request("webhook"),
    ("webhook-rotate-secret", "post"): Request("webhook"),
    ("webhook-secret", "get"): Request("webhook"),
    ("webhook-recover", "post"): Request("webhook", yesterday),
    ("webhook-replay-missed", "post"): Request("webhook", lambda world: {"dry_run": True}),
    ("webhook-cancel-pending", "post"): Request("webhook", lambda world: {"dry_run": True}),
    ("webhook-send-now", "post"): Request("webhook", lambda world: {"dry_run": True}),
    ("webhook-snapshot", "get"): Request("webhook"),
    ("webhook-snapshot", "post"): Request("webhook", lambda world: {"nouns": ["class"], "dry_run": True}),
    ("webhook-stats", "get"): Request("webhook"),
    ("webhook-objects", "get"): Request("webhook", query=lambda world: {"noun": "class"}),
    ("webhook-digests", "get"): Request("webhook", query=lambda world: {"noun": "class"}),
    ("webhook-test", "post"): Request("webhook"),
    ("webhook-preview", "post"): Request("webhook"),
    ("webhook-explain", "get"): Request("webhook", query=lambda world: {"event_type": "class.updated"}),
    ("webhook-dry-run", "post"): Request("webhook"),
    ("webhook-event-list", "get"): Request(below_webhook=True),
    ("secret-list", "get"): Request(below_webhook=True),
    ("secret-expire", "post"): Request("old_secret", below_webhook=True),
    ("subscription-list", "get"): Request(below_webhook=True),
    ("subscription-list", "post"): Request(body=lambda world: {"event_type": "class.*"}, below_webhook=True),
    ("subscription-detail", "get"): Request("subscription", below_webhook=True),
    ("subscription-detail", "patch"): Request(
        "subscription", lambda world: {"event_type": "class.*"}, below_webhook=True
    ),
    ("subscription-detail", "delete"): Request("subscription", below_webhook=True),
    ("delivery-list", "get"): Request(lists=lambda world: world.delivery.public_id),
    ("delivery-detail", "get"): Request("delivery"),
    ("delivery-attempts", "get"): Request("delivery"),
    ("delivery-resend", "post"): Request("delivery"),
    ("delivery-send-now", "post"): Request("delivery"),
    ("delivery-bulk-replay", "post"): Request(body=bulk),
    ("event-list", "get"): Request(lists=lambda world: world.delivery.event.public_id),
    ("event-detail", "get"): Request("event"),
    ("job-list", "get"): Request(lists=lambda world: world.job.public_id),
    ("job-detail", "get"): Request("job"),
}
FILTERS = {
    (route, name): value
    for route, name, value in [
        ("webhook-list", "organization", lambda world: world.webhook.organization_id),
        ("delivery-list", "organization", lambda world: world.webhook.organization_id),
        ("delivery-list", "webhook", lambda world: world.webhook.public_id),
        ("event-list", "undelivered_to", lambda world: world.webhook.public_id),
        ("job-list", "webhook", lambda world: world.webhook.public_id),
    ]
}
NO_RESOURCE = {"unknown-address", "without-slash"}
SAME_FOR_ALL = {
    "event-type-list",
    "event-type-detail",
    "event-type-schema",
    "event-type-example",
    # Of the caller's own organizations.
    "event-type-samples",
    # Of the caller alone.
    "me-list",
    *NO_RESOURCE,
}


@pytest.fixture
def world(acme):
    webhook = WebhookFactory(organization=acme, name="Acme's", events=["class.cancelled"])
    now = timezone.now()
    delivery = write_delivery(webhook, now=now, status=DeliveryStatus.FAILED, due_at=None, finished_at=now, attempts=1)
    DeliveryAttempt.objects.create(delivery=delivery, number=1, started_at=now, duration_ms=5, response_body="theirs")
    return World(
        webhook=webhook,
        subscription=webhook.subscriptions.get(),
        old_secret=webhook.secrets.create(value=new_secret(), expires_at=now + timedelta(hours=1)),
        delivery=delivery,
        job=Job.objects.create(
            kind=JobKind.RECOVER, webhook=webhook, since=now, until=now, status="finished", created_at=now
        ),
        entry=AuditEntry.objects.record(AuditAction.WEBHOOK_ENABLED, webhook, actor=SYSTEM, now=now),
    )


def routes():
    """Yield the name of every route with each method that it has."""
    for pattern in urlpatterns:
        for method in getattr(pattern.callback, "actions", {"get": ""}):
            if method != "head":
                yield pattern.name, method


def mark_of(client):
    """Return the mark of the hooks of a user who is signed in."""
    user = get_user_model().objects.get(pk=client.session[SESSION_KEY])
    caller = actor_of(SimpleNamespace(user=user, session=client.session))
    # The class of the user of a session.
    scope = digest_of(caller.kind, caller.id, f"{SimpleLazyObject.__module__}.{SimpleLazyObject.__qualname__}")
    return f"{scope[:32]}:{caller.kind}:{caller.id}"


def call(client, world, route, method):
    request = ROUTES[route, method]
    if route == "delivery-send-now":
        waits = {"status": "waiting", "due_at": timezone.now(), "finished_at": None}
        Delivery.objects.filter(pk=world.delivery.pk).update(**waits)
    if route.startswith("hook-"):
        Webhook.objects.filter(pk=world.webhook.pk).update(hook_of=mark_of(client))
    address = reverse(f"{app_name}:{route}", kwargs=request.keys(world))
    arguments = {"data": request.query(world)} if method == "get" else {"data": request.body(world), "format": "json"}
    return getattr(client, method)(address, **arguments)


def test_every_route_is_tried_here():
    assert {route for route in routes() if route[0] not in SAME_FOR_ALL} == set(ROUTES)


@pytest.mark.parametrize("route, method", [key for key, request in ROUTES.items() if request.lists is not None])
def test_a_list_has_ones_own_and_nothing_of_strangers(client, stranger, world, route, method):
    key = str(ROUTES[route, method].lists(world))

    assert call(stranger, world, route, method).json()["results"] == []
    assert [row["id"] for row in call(client, world, route, method).json()["results"]] == [key]


def test_an_organization_in_a_body_that_is_a_strangers_is_like_none_at_all(stranger, world, problem):
    body = new_webhook(world)

    details = problem(stranger.post("/api/webhooks/", body), "not-found")
    unknown = problem(stranger.post("/api/webhooks/", {**body, "organization": 987654321}), "not-found")

    assert details == unknown
    assert details["errors"][0]["pointer"] == "#/organization"


def test_one_strange_webhook_in_a_bulk_replay_starts_nothing(stranger, world, problem):
    own = WebhookFactory(organization=OrganizationFactory(name="Own"))
    mallory = client_of(member_of(own.organization))
    body = {"webhooks": [own.public_id, world.webhook.public_id], "kind": "replay_missed"}

    details = problem(mallory.post("/api/deliveries/bulk-replay/", body), "not-found")

    assert [error["pointer"] for error in details["errors"]] == ["#/webhooks/1"]
    assert Job.objects.count() == 1


def test_a_subscription_is_found_below_its_own_webhook_only(client, acme, world, problem):
    other = WebhookFactory(organization=acme)

    problem(client.get(at(other, "subscriptions", world.subscription.public_id)), "not-found")


def test_by_default_superusers_alone_are_let_in(settings, acme, world, problem):
    del settings.TMS_WEBHOOKS["ACCESS_POLICY"]
    staff = client_of(member_of(acme))
    superuser = client_of(UserFactory(is_superuser=True, organization=None))

    for address in ("webhooks/", "event-types/", f"webhooks/{world.webhook.public_id}/"):
        problem(staff.get(f"/api/{address}"), "forbidden")
        assert superuser.get(f"/api/{address}").status_code == 200
