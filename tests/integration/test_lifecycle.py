"""Enabling, disabling and deleting a webhook has the same consequences for every caller."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
import yaml
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from example_project.training.factories import OrganizationFactory, UserFactory
from example_project.training.models import User
from tests import sweeps
from tests.conftest import Clock
from tests.integration.admin.pages import form_of, url
from tests.integration.delivery.conftest import run, wire
from tests.integration.delivery.rows import subscribed, write_delivery
from tests.integration.delivery.wire import Wire, answer
from tms_webhooks import signals
from tms_webhooks.actors import Actor, actor_context
from tms_webhooks.choices import ActorKind, DeliveryStatus, DisabledReason, Priority
from tms_webhooks.delivery import lifecycle
from tms_webhooks.models import AuditEntry, Delivery, Event, Webhook
from tms_webhooks.worker.test_send import send_test

__all__ = ["run", "wire"]

pytestmark = pytest.mark.django_db

Call = Callable[[Webhook], Any]


class Callers:
    """All who enable, disable or delete a webhook; all people are the same user."""

    def __init__(self, user: User, *, clock: Clock, wire: Wire, run: Callable[[], object], directory: Any) -> None:
        self.user, self._clock, self._wire, self._run = user, clock, wire, run
        self._file = directory / "webhooks.yaml"
        self._pages, self._api = Client(), APIClient()
        self._pages.force_login(user)
        self._api.force_login(user)

    def admin_form_disables(self, webhook: Webhook) -> None:
        self._pages.post(url(Webhook, "change", webhook.public_id), form_of(webhook, enabled=""))

    def admin_form_enables(self, webhook: Webhook) -> None:
        self._pages.post(url(Webhook, "change", webhook.public_id), form_of(webhook, enabled="on"))

    def admin_list_disables(self, webhook: Webhook) -> None:
        self._act("disable_selected", webhook)

    def admin_list_enables(self, webhook: Webhook) -> None:
        self._act("enable_selected", webhook)

    def admin_list_deletes(self, webhook: Webhook) -> None:
        self._act("delete_selected", webhook)

    def admin_overview_disables(self, webhook: Webhook) -> None:
        self._pages.post(reverse("admin:tms_webhooks_webhook_action", args=[webhook.public_id, "disable"]))

    def admin_overview_enables(self, webhook: Webhook) -> None:
        self._pages.post(reverse("admin:tms_webhooks_webhook_action", args=[webhook.public_id, "enable"]))

    def admin_page_deletes(self, webhook: Webhook) -> None:
        self._pages.post(url(Webhook, "delete", webhook.public_id), {"post": "yes"})

    def api_disables(self, webhook: Webhook) -> None:
        self._api.post(f"/api/webhooks/{webhook.public_id}/disable/", {}, format="json")

    def api_enables(self, webhook: Webhook) -> None:
        self._api.post(f"/api/webhooks/{webhook.public_id}/enable/", {}, format="json")

    def api_deletes(self, webhook: Webhook) -> None:
        self._api.delete(f"/api/webhooks/{webhook.public_id}/")

    def yaml_disables(self, webhook: Webhook) -> None:
        self._import(webhook, enabled=False)

    def yaml_enables(self, webhook: Webhook) -> None:
        self._import(webhook, enabled=True)

    def yaml_deletes(self, webhook: Webhook) -> None:
        self._import(webhook, enabled=None)

    def test_send_enables(self, webhook: Webhook) -> None:
        actor = Actor(ActorKind.ADMINISTRATOR.value, str(self.user.pk))
        send_test(webhook, actor=actor, client=self._wire, clock=self._clock)  # type: ignore[arg-type]

    def receiver_disables(self, webhook: Webhook) -> None:
        """Answer 410."""
        self._send(webhook, status=410)

    def error_action_disables(self, webhook: Webhook) -> None:
        Webhook.objects.filter(pk=webhook.pk).update(error_action="disable", schedule="none")
        self._send(webhook, status=500)

    def _act(self, action: str, webhook: Webhook) -> None:
        data = {"action": action, "_selected_action": [webhook.public_id], "post": "yes"}
        self._pages.post(url(Webhook, "changelist"), data)

    def _import(self, webhook: Webhook, *, enabled: bool | None) -> None:
        """Import what is there, with another ``enabled`` for this webhook; None leaves it out, which prunes it."""
        call_command("webhooks_export", output=self._file)
        document = yaml.safe_load(self._file.read_text())
        (changed,) = [one for one in document["webhooks"] if one["name"] == webhook.name]
        if enabled is None:
            document["webhooks"].remove(changed)
        changed["enabled"] = enabled
        self._file.write_text(yaml.safe_dump(document))
        with actor_context(ActorKind.ADMINISTRATOR.value, self.user.pk):
            call_command("webhooks_import", self._file, "--keep-secrets", "--prune")

    def _send(self, webhook: Webhook, *, status: int) -> None:
        write_delivery(webhook, now=self._clock())
        self._wire.answers = [answer(status)]
        self._run()


@pytest.fixture
def callers(clock, wire, run, tmp_path) -> Callers:
    user = UserFactory(username="root", organization=None, is_staff=True, is_superuser=True)
    return Callers(user, clock=clock, wire=wire, run=run, directory=tmp_path)


@pytest.fixture
def sent() -> Iterator[list[str]]:
    """The signals that were sent, each with the name of its webhook."""
    sent: list[str] = []

    def keep(name: str) -> Callable[..., None]:
        return lambda webhook, **_facts: sent.append(f"{name} {webhook.name}")

    receivers = {signal: keep(name) for name, signal in vars(signals).items() if name.startswith("webhook_")}
    for signal, receiver in receivers.items():
        signal.connect(receiver)
    yield sent
    for signal, receiver in receivers.items():
        signal.disconnect(receiver)


@pytest.fixture
def webhook() -> Webhook:
    """A webhook, and another one of its organization that receives the events about it."""
    webhook = subscribed(name="CRM", organization=OrganizationFactory(external_id="ACME"))
    subscribed("/watcher", name="Watcher", organization=webhook.organization, events=["webhook.*"])
    return webhook


@pytest.fixture
def open_deliveries(webhook, clock) -> Callable[[], dict[str, str]]:
    """Make one open delivery of each kind, not due yet; return their statuses once a worker has settled them."""
    later = clock.now + timedelta(hours=1)
    kinds: dict[str, dict[str, Any]] = {
        "pending": {"status": DeliveryStatus.PENDING},
        "waiting": {"status": DeliveryStatus.WAITING, "attempts": 1},
        "by hand": {"status": DeliveryStatus.PENDING, "priority": Priority.MANUAL},
        "in flight": {"status": DeliveryStatus.IN_FLIGHT, "lease": "alice"},
    }
    made = {name: write_delivery(webhook, now=clock.now, due_at=later, **one).pk for name, one in kinds.items()}

    def settled() -> dict[str, str]:
        sweeps.settle(clock.now)
        return {name: Delivery.objects.get(pk=pk).status for name, pk in made.items()}

    return settled


def audited() -> list[tuple[str, str, str, dict[str, Any]]]:
    """Return the audit entries: who, their id, what, and the facts."""
    rows = AuditEntry.objects.order_by("pk")
    return list(rows.values_list("actor_kind", "actor_id", "action", "changes"))


def emitted(name: str) -> list[dict[str, Any]]:
    return [json.loads(body)["data"] for body in Event.objects.filter(type=name).values_list("body", flat=True)]


def by_user(callers: Callers, action: str, changes: dict[str, Any]) -> list[tuple[str, str, str, dict[str, Any]]]:
    return [("administrator", str(callers.user.pk), action, changes)]


PEOPLE_DISABLE = [
    Callers.admin_form_disables,
    Callers.admin_list_disables,
    Callers.admin_overview_disables,
    Callers.api_disables,
    Callers.yaml_disables,
]
ENGINE_DISABLES = [
    (Callers.receiver_disables, DisabledReason.GONE),
    (Callers.error_action_disables, DisabledReason.FAILING),
]
ALL_ENABLE = [
    Callers.admin_form_enables,
    Callers.admin_list_enables,
    Callers.admin_overview_enables,
    Callers.api_enables,
    Callers.yaml_enables,
    Callers.test_send_enables,
]
ALL_DELETE = [Callers.admin_page_deletes, Callers.admin_list_deletes, Callers.api_deletes, Callers.yaml_deletes]

SKIPPED = {"pending": "skipped", "waiting": "skipped", "by hand": "pending", "in flight": "in_flight"}
CANCELLED = {"pending": "cancelled", "waiting": "cancelled", "by hand": "cancelled", "in flight": "in_flight"}


@pytest.mark.parametrize("call", PEOPLE_DISABLE)
def test_disabled_by_a_user(callers, webhook, open_deliveries, sent, call):
    call(callers, webhook)

    webhook.refresh_from_db()
    assert (webhook.enabled, webhook.disabled_reason) == (False, "admin")
    assert open_deliveries() == SKIPPED
    assert audited() == by_user(callers, "webhook.disabled", {"disabled_reason": {"to": "admin"}})
    assert sent == ["webhook_disabled CRM"]
    assert emitted("webhook.disabled") == [{"id": webhook.public_id, "name": "CRM", "reason": "admin"}]


@pytest.mark.parametrize(("call", "reason"), ENGINE_DISABLES)
def test_disabled_by_the_engine(callers, webhook, open_deliveries, sent, call, reason):
    call(callers, webhook)

    webhook.refresh_from_db()
    assert (webhook.enabled, webhook.disabled_reason) == (False, reason)
    assert open_deliveries() == SKIPPED
    assert audited() == [("system", "", "webhook.disabled", {"disabled_reason": {"to": reason.value}})]
    assert [one for one in sent if one != "webhook_exhausted CRM"] == ["webhook_disabled CRM"]
    assert emitted("webhook.disabled") == [{"id": webhook.public_id, "name": "CRM", "reason": reason.value}]


@pytest.mark.parametrize("call", ALL_ENABLE)
def test_enabled(callers, webhook, clock, sent, call):
    skipped = write_delivery(webhook, now=clock.now, status=DeliveryStatus.SKIPPED, due_at=None, finished_at=clock.now)
    disabled = {"enabled": False, "disabled_reason": "failing", "disabled_at": clock.now, "failures": 15, "pauses": 3}
    Webhook.objects.filter(pk=webhook.pk).update(**disabled, failing_since=clock.now, warned_percent=90)
    webhook.refresh_from_db()

    call(callers, webhook)

    webhook.refresh_from_db()
    assert (webhook.enabled, webhook.disabled_reason, webhook.disabled_at) == (True, "", None)
    assert (webhook.failures, webhook.failing_since, webhook.pauses, webhook.warned_percent) == (0, None, 0, 0)
    skipped.refresh_from_db()
    assert skipped.status == DeliveryStatus.SKIPPED
    assert audited() == by_user(callers, "webhook.enabled", {})
    assert sent == ["webhook_recovered CRM"]
    assert emitted("webhook.recovered") == [{"id": webhook.public_id, "name": "CRM"}]


@pytest.mark.parametrize("call", ALL_DELETE)
def test_deleted(callers, webhook, open_deliveries, sent, call):
    call(callers, webhook)

    webhook.refresh_from_db()
    assert webhook.deleted_at is not None
    assert webhook.enabled
    assert open_deliveries() == CANCELLED
    assert audited() == by_user(callers, "webhook.deleted", {})
    assert sent == []
    assert not Event.objects.filter(type__startswith="webhook.").exists()


def test_a_webhook_that_is_disabled_already_keeps_its_reason_and_gets_no_second_entry(webhook, clock, sent):
    lifecycle.disable(webhook, reason=DisabledReason.GONE, now=clock.now)

    lifecycle.disable(Webhook.objects.get(pk=webhook.pk), reason=DisabledReason.ADMIN, now=clock.advance(hours=1))

    webhook.refresh_from_db()
    assert (webhook.disabled_reason, webhook.disabled_at) == ("gone", clock.now - timedelta(hours=1))
    assert audited() == [("system", "", "webhook.disabled", {"disabled_reason": {"to": "gone"}})]
    assert sent == ["webhook_disabled CRM"]


def test_an_enabled_webhook_that_is_enabled_again_has_an_entry_and_no_event(webhook, clock, sent):
    lifecycle.enable(webhook, now=clock.now)

    assert audited() == [("system", "", "webhook.enabled", {})]
    assert sent == []
    assert emitted("webhook.recovered") == []
