"""Each verb has the same consequences by every surface: the admin, the API, a YAML document and the commands."""

from __future__ import annotations

import json
import os
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
from tests.factories import write_values
from tests.integration.admin.pages import form_of, url
from tests.integration.api.people import at
from tests.integration.delivery.conftest import run, wire
from tests.integration.delivery.rows import subscribed, write_delivery
from tests.integration.delivery.wire import Wire, answer
from tms_webhooks import signals
from tms_webhooks.actors import Actor, actor_context
from tms_webhooks.choices import ActorKind, DeliveryStatus, DisabledReason, Priority
from tms_webhooks.delivery import lifecycle
from tms_webhooks.manage import webhooks
from tms_webhooks.manage.tests import send_test
from tms_webhooks.models import AuditEntry, Delivery, Event, Webhook
from tms_webhooks.models.webhook import new_secret

__all__ = ["run", "wire"]

Call = Callable[[Webhook], Any]
URL = "https://93.184.216.34/hooks"


class Callers:
    """All who enable, disable or delete a webhook; all people are the same user."""

    def __init__(
        self, user: User, *, clock: Clock, wire: Wire, run: Callable[[], object], directory: Any, environ: Any
    ) -> None:
        self.user, self._clock, self._wire, self._run = user, clock, wire, run
        self._file, self._environ = directory / "webhooks.yaml", environ
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
        self._api.post(at(webhook, "disable"), {})

    def api_enables(self, webhook: Webhook) -> None:
        self._api.post(at(webhook, "enable"), {})

    def api_deletes(self, webhook: Webhook) -> None:
        self._api.delete(at(webhook))

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

    # The other verbs, each by the surfaces that have it

    def admin_creates(self, webhook: Webhook) -> None:
        form = form_of(name="New", url=URL, subscriptions=[{"event_type": "class.*"}])
        self._pages.post(url(Webhook, "add"), {**form, "organization": str(webhook.organization_id)})

    def api_creates(self, webhook: Webhook) -> None:
        subscriptions = [{"event_type": "class.*"}]
        body = {"organization": webhook.organization_id, "name": "New", "url": URL, "subscriptions": subscriptions}
        self._api.post("/api/webhooks/", body)

    def yaml_creates(self, webhook: Webhook) -> None:
        new = {"organization": "ACME", "name": "New", "url": URL, "subscriptions": [{"event": "class.*"}]}
        self._edit(webhook, lambda _row, rows: rows.append(new))

    def admin_changes(self, webhook: Webhook) -> None:
        self._submit(webhook, timeout_seconds="7")

    def api_changes(self, webhook: Webhook) -> None:
        self._api.patch(at(webhook), {"timeout_seconds": 7})

    def yaml_changes(self, webhook: Webhook) -> None:
        self._edit(webhook, lambda row, _rows: row.update(timeout_seconds=7))

    def admin_rotates(self, webhook: Webhook) -> None:
        page = reverse("admin:tms_webhooks_webhook_rotate", args=[webhook.public_id])
        self._pages.post(page, {"before": self._pages.get(page).context["before"]})

    def api_rotates(self, webhook: Webhook) -> None:
        self._api.post(at(webhook, "rotate-secret"), {})

    def yaml_rotates(self, webhook: Webhook) -> None:
        def rotate(row: dict[str, Any], rows: list[dict[str, Any]]) -> None:
            for one in rows:
                stored = Webhook.objects.get(name=one["name"]).signing_secrets(self._clock())[0]
                self._environ[one["secret"]["env"]] = new_secret() if one is row else stored

        self._edit(webhook, rotate, keeps_secrets=False)

    def admin_reveals(self, webhook: Webhook) -> None:
        self._pages.post(reverse("admin:tms_webhooks_webhook_secret", args=[webhook.public_id]))

    def api_reveals(self, webhook: Webhook) -> None:
        self._api.get(at(webhook, "secret"))

    def admin_subscribes(self, webhook: Webhook) -> None:
        self._submit(webhook, subscriptions=[*self._rows(webhook), {"event_type": "class.*"}])

    def api_subscribes(self, webhook: Webhook) -> None:
        self._api.post(at(webhook, "subscriptions"), {"event_type": "class.*"})

    def yaml_subscribes(self, webhook: Webhook) -> None:
        self._edit(webhook, lambda row, _rows: row["subscriptions"].append({"event": "class.*"}))

    def admin_changes_a_subscription(self, webhook: Webhook) -> None:
        (row,) = self._rows(webhook)
        self._submit(webhook, subscriptions=[{**row, "less_than_days": "14"}])

    def api_changes_a_subscription(self, webhook: Webhook) -> None:
        self._api.patch(self._subscription(webhook), {"less_than_days": 14})

    def yaml_changes_a_subscription(self, webhook: Webhook) -> None:
        self._edit(webhook, lambda row, _rows: row["subscriptions"][0].update(less_than_days=14))

    def admin_unsubscribes(self, webhook: Webhook) -> None:
        self._submit(webhook, subscriptions=[])

    def api_unsubscribes(self, webhook: Webhook) -> None:
        self._api.delete(self._subscription(webhook))

    def yaml_unsubscribes(self, webhook: Webhook) -> None:
        self._edit(webhook, lambda row, _rows: row["subscriptions"].clear())

    def admin_cancels(self, webhook: Webhook) -> None:
        self._pages.post(reverse("admin:tms_webhooks_webhook_action", args=[webhook.public_id, "cancel"]))

    def api_cancels(self, webhook: Webhook) -> None:
        self._api.post(at(webhook, "cancel-pending"), {})

    def admin_sends_a_snapshot(self, webhook: Webhook) -> None:
        page = reverse("admin:tms_webhooks_webhook_action", args=[webhook.public_id, "snapshot"])
        self._pages.post(page, {"nouns": ["course_assignment"]})

    def api_sends_a_snapshot(self, webhook: Webhook) -> None:
        body = {"nouns": ["course_assignment"]}
        self._api.post(at(webhook, "snapshot"), body)

    def command_sends_a_snapshot(self, webhook: Webhook) -> None:
        self._run_command("webhooks_snapshot", f"--webhook={webhook.public_id}", "--noun=course_assignment")

    def admin_resends(self, webhook: Webhook) -> None:
        self._pages.post(reverse("admin:tms_webhooks_delivery_resend", args=[self._finished(webhook)]))

    def api_resends(self, webhook: Webhook) -> None:
        self._api.post(f"/api/deliveries/{self._finished(webhook)}/resend/", {})

    def command_resends(self, webhook: Webhook) -> None:
        self._run_command("webhooks_replay", f"--delivery={self._finished(webhook)}")

    def admin_sends_now(self, webhook: Webhook) -> None:
        delivery = write_delivery(webhook, now=self._clock()).public_id
        self._pages.post(reverse("admin:tms_webhooks_delivery_send_now", args=[delivery]))

    def api_sends_now(self, webhook: Webhook) -> None:
        delivery = write_delivery(webhook, now=self._clock()).public_id
        self._api.post(f"/api/deliveries/{delivery}/send-now/", {})

    def admin_tests(self, webhook: Webhook) -> None:
        page = reverse("admin:tms_webhooks_webhook_action", args=[webhook.public_id, "test"])
        self._pages.post(page, {"event_type": "webhook.test"})

    def api_tests(self, webhook: Webhook) -> None:
        self._api.post(at(webhook, "test"), {"event_type": "webhook.test"})

    def command_tests(self, webhook: Webhook) -> None:
        self._run_command("webhooks_test", webhook.public_id, "--event=webhook.test")

    def _submit(self, webhook: Webhook, **values: Any) -> None:
        self._pages.post(url(Webhook, "change", webhook.public_id), form_of(webhook, **values))

    def _rows(self, webhook: Webhook) -> list[dict[str, Any]]:
        return [{"key": one.public_id, "event_type": one.event_type} for one in webhook.subscriptions.all()]

    def _subscription(self, webhook: Webhook) -> str:
        return f"/api/webhooks/{webhook.public_id}/subscriptions/{webhook.subscriptions.get().public_id}/"

    def _finished(self, webhook: Webhook) -> str:
        values = {"status": DeliveryStatus.EXHAUSTED, "due_at": None, "finished_at": self._clock()}
        return write_delivery(webhook, now=self._clock(), **values).public_id

    def _run_command(self, *arguments: str) -> None:
        with actor_context(ActorKind.ADMINISTRATOR.value, self.user.pk):
            call_command(*arguments)

    def _act(self, action: str, webhook: Webhook) -> None:
        data = {"action": action, "_selected_action": [webhook.public_id], "post": "yes"}
        self._pages.post(url(Webhook, "changelist"), data)

    def _import(self, webhook: Webhook, *, enabled: bool | None) -> None:
        """Import what is there, with another ``enabled`` for this webhook; None leaves it out, which prunes it."""

        def change(row: dict[str, Any], rows: list[dict[str, Any]]) -> None:
            row["enabled"] = enabled
            if enabled is None:
                rows.remove(row)

        self._edit(webhook, change)

    def _edit(self, webhook: Webhook, change: Callable[..., object], *, keeps_secrets: bool = True) -> None:
        """Import what is there after a change of this webhook's entry in the list of all."""
        call_command("webhooks_export", output=self._file)
        document = yaml.safe_load(self._file.read_text())
        (row,) = [one for one in document["webhooks"] if one["name"] == webhook.name]
        change(row, document["webhooks"])
        self._file.write_text(yaml.safe_dump(document))
        self._run_command("webhooks_import", str(self._file), "--prune", *(["--keep-secrets"] if keeps_secrets else []))

    def _send(self, webhook: Webhook, *, status: int) -> None:
        write_delivery(webhook, now=self._clock())
        self._wire.answers = [answer(status)]
        self._run()


@pytest.fixture
def callers(clock, wire, run, tmp_path, monkeypatch) -> Callers:
    environ = dict(os.environ)
    monkeypatch.setattr(os, "environ", environ)
    user = UserFactory(username="root", organization=None, is_staff=True, is_superuser=True)
    return Callers(user, clock=clock, wire=wire, run=run, directory=tmp_path, environ=environ)


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
    organization = OrganizationFactory(external_id="ACME")
    webhook = subscribed(name="CRM", organization=organization, events=["course_assignment.expiring"])
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
    write_values(webhook, **disabled, failing_since=clock.now, warned_percent=90)

    call(callers, webhook)

    webhook.refresh_from_db()
    assert (webhook.enabled, webhook.disabled_reason, webhook.disabled_at) == (True, "", None)
    assert (
        webhook.state.failures,
        webhook.state.failing_since,
        webhook.state.pauses,
        webhook.state.warned_percent,
    ) == (0, None, 0, 0)
    skipped.refresh_from_db()
    assert skipped.status == DeliveryStatus.SKIPPED
    assert audited()[:1] == by_user(callers, "webhook.enabled", {})
    assert [entry[2] for entry in audited()[1:]] == (["webhook.tested"] if call == Callers.test_send_enables else [])
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
    webhooks.enable(webhook, now=clock.now)

    assert audited() == [("system", "", "webhook.enabled", {})]
    assert sent == []
    assert emitted("webhook.recovered") == []


VERBS = {
    ("webhook.updated", "webhook"): (
        {"timeout_seconds": {"from": 20, "to": 7}},
        [],
        [Callers.admin_changes, Callers.api_changes, Callers.yaml_changes],
    ),
    ("secret.rotated", "webhook"): (
        {"overlap_seconds": {"to": 86_400}},
        ["webhook_secret_rotated CRM"],
        [Callers.admin_rotates, Callers.api_rotates, Callers.yaml_rotates],
    ),
    ("secret.revealed", "webhook"): ({}, [], [Callers.admin_reveals, Callers.api_reveals]),
    ("subscription.created", "subscription"): (
        {
            "event_type": {"from": None, "to": "class.*"},
            "filters": {"from": None, "to": {}},
            "quiet_seconds": {"from": None, "to": 0},
        },
        [],
        [Callers.admin_subscribes, Callers.api_subscribes, Callers.yaml_subscribes],
    ),
    ("subscription.updated", "subscription"): (
        {"less_than_days": {"from": None, "to": 14.0}},
        [],
        [
            Callers.admin_changes_a_subscription,
            Callers.api_changes_a_subscription,
            Callers.yaml_changes_a_subscription,
        ],
    ),
    ("subscription.deleted", "subscription"): (
        {"event_type": "course_assignment.expiring"},
        [],
        [Callers.admin_unsubscribes, Callers.api_unsubscribes, Callers.yaml_unsubscribes],
    ),
    ("job.started", "job"): (
        {"kind": "cancel_pending", "since": None, "until": None, "total": 0},
        [],
        [Callers.admin_cancels, Callers.api_cancels],
    ),
    ("job.started", "job", "snapshot"): (
        {"kind": "snapshot", "nouns": ["course_assignment"], "total": 0},
        [],
        [Callers.admin_sends_a_snapshot, Callers.api_sends_a_snapshot, Callers.command_sends_a_snapshot],
    ),
    ("delivery.resent", "delivery"): ({}, [], [Callers.admin_resends, Callers.api_resends, Callers.command_resends]),
    ("delivery.sent_now", "delivery"): ({}, [], [Callers.admin_sends_now, Callers.api_sends_now]),
    ("webhook.tested", "delivery"): (
        {"event_type": "webhook.test", "status_code": 200},
        [],
        [Callers.admin_tests, Callers.api_tests, Callers.command_tests],
    ),
}


@pytest.mark.parametrize(
    ("action", "target", "changes", "signals", "call"),
    [
        pytest.param(*names[:2], changes, signals, call, id=call.__name__)
        for names, (changes, signals, calls) in VERBS.items()
        for call in calls
    ],
)
def test_each_other_verb_leaves_one_entry_and_its_signal(
    callers, webhook, receiver, sent, action, target, changes, signals, call
):
    Webhook.objects.filter(pk=webhook.pk).update(url=receiver.url)

    call(callers, Webhook.objects.get(pk=webhook.pk))

    assert audited() == by_user(callers, action, changes)
    assert AuditEntry.objects.get().target.partition(":")[0] == target
    assert sent == signals


@pytest.mark.parametrize("call", [Callers.admin_creates, Callers.api_creates, Callers.yaml_creates])
def test_created_with_its_subscriptions_in_one_entry(callers, webhook, sent, call):
    call(callers, webhook)

    ((kind, actor, action, changes),) = audited()
    new = Webhook.objects.get(name="New")
    assert (kind, actor, action) == ("administrator", str(callers.user.pk), "webhook.created")
    assert changes["name"] == {"from": None, "to": "New"}
    assert changes["subscriptions"] == {"to": ["class.*"]}
    assert "secret" not in str(changes)
    assert AuditEntry.objects.get().target == f"webhook:{new.public_id}"
    assert [one.event_type for one in new.subscriptions.all()] == ["class.*"]
    assert new.secrets.count() == 1
    assert sent == []
