"""Each verb has the same consequences by every surface: the admin, the API, a YAML document and the commands."""

import json
import os
from datetime import timedelta
from urllib.parse import urljoin

import pytest
import yaml
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from example_project.training.factories import OrganizationFactory, UserFactory
from tests import sweeps
from tests.factories import write_values
from tests.integration.admin.pages import filters_of, form_of, url
from tests.integration.api.people import at
from tests.integration.delivery.conftest import run, wire
from tests.integration.delivery.rows import subscribed, write_delivery
from tms_webhooks import signals
from tms_webhooks.actors import Actor, actor_context
from tms_webhooks.choices import ActorKind, DeliveryStatus, Priority
from tms_webhooks.manage.tests import send_test
from tms_webhooks.models import AuditEntry, Delivery, Event, Webhook
from tms_webhooks.models.webhook import new_secret

__all__ = ["run", "wire"]

URL = "https://93.184.216.34/hooks"


class Callers:
    """The clients of one user, and what the engine needs, by which all verbs are called."""

    def __init__(self, user, *, clock, wire, run, directory, environ):
        self.user, self.clock, self.wire, self.run, self.environ = user, clock, wire, run, environ
        self._file = directory / "webhooks.yaml"
        self.pages, self.api = Client(), APIClient()
        self.pages.force_login(user)
        self.api.force_login(user)

    def command(self, *arguments):
        with actor_context(ActorKind.ADMINISTRATOR.value, self.user.pk):
            call_command(*arguments)

    def edit(self, webhook, change, *, keeps_secrets=True):
        """Import what is there after a change of this webhook's entry in the list of all; without it, it is pruned."""
        call_command("webhooks_export", output=self._file)
        document = yaml.safe_load(self._file.read_text())
        (row,) = [one for one in document["webhooks"] if one["name"] == webhook.name]
        change(row, document["webhooks"])
        self._file.write_text(yaml.safe_dump(document))
        self.command("webhooks_import", str(self._file), "--prune", *(["--keep-secrets"] if keeps_secrets else []))

    def finished(self, webhook):
        values = {"status": DeliveryStatus.EXHAUSTED, "due_at": None, "finished_at": self.clock()}
        return write_delivery(webhook, now=self.clock(), **values).public_id

    def waiting(self, webhook):
        return write_delivery(webhook, now=self.clock()).public_id


"""What a user does, or the engine, with a webhook."""


def named(surface, call):
    call.__name__ = surface
    return call


def by_form(*, events=list, **values):
    """Save the webhook's form with these values; ``events`` changes the selected events."""

    def call(callers, webhook):
        selected = events([one.event_type for one in webhook.subscriptions.all()])
        callers.pages.post(url(Webhook, "change", webhook.public_id), form_of(webhook, events=selected, **values))

    return named("form", call)


def filters_are_set(callers, webhook):
    filters = filters_of(webhook.subscriptions.get().public_id, less_than_days="14")
    callers.pages.post(url(Webhook, "change", webhook.public_id), form_of(webhook, **filters))


def by_list(action):
    """Do an action with the selected webhook of the list."""

    def call(callers, webhook):
        data = {"action": action, "_selected_action": [webhook.public_id], "post": "yes"}
        callers.pages.post(url(Webhook, "changelist"), data)

    return named("list", call)


def by_page(page, *slug, of=None, **data):
    """Post to a page of the webhook, or of the delivery that ``of`` writes."""

    def call(callers, webhook):
        key = webhook.public_id if of is None else of(callers, webhook)
        callers.pages.post(reverse(f"admin:tms_webhooks_{page}", args=[key, *slug]), data)

    return named("page", call)


def by_api(method, path="", *, of=None, **body):
    """Send a request to a path below the webhook, with the id of what ``of`` returns."""

    def call(callers, webhook):
        key = "" if of is None else of(callers, webhook)
        getattr(callers.api, method)(urljoin(at(webhook), path.format(key)), body)

    return named("api", call)


def subscription_of(_callers, webhook):
    return webhook.subscriptions.get().public_id


def by_yaml(change):
    """Import what is there after a change of the webhook's entry."""
    return named("yaml", lambda callers, webhook: callers.edit(webhook, change))


def by_command(*arguments, of=None):
    """Run a command about the webhook, or about the delivery that ``of`` writes."""

    def call(callers, webhook):
        key = webhook.public_id if of is None else of(callers, webhook)
        callers.command(*(one.format(key) for one in arguments))

    return named("command", call)


def admin_rotates(callers, webhook):
    page = reverse("admin:tms_webhooks_webhook_rotate", args=[webhook.public_id])
    callers.pages.post(page, {"before": callers.pages.get(page).context["before"]})


def yaml_rotates(callers, webhook):
    def rotate(row, rows):
        for one in rows:
            stored = Webhook.objects.get(name=one["name"]).signing_secrets(callers.clock())[0]
            callers.environ[one["secret"]["env"]] = new_secret() if one is row else stored

    callers.edit(webhook, rotate, keeps_secrets=False)


def by_test_send(callers, webhook):
    actor = Actor(ActorKind.ADMINISTRATOR.value, str(callers.user.pk))
    send_test(webhook, actor=actor, client=callers.wire, clock=callers.clock)  # type: ignore[arg-type]


def admin_creates(callers, webhook):
    form = form_of(name="New", url=URL)
    callers.pages.post(url(Webhook, "add"), {**form, "organization": str(webhook.organization_id)})


def api_creates(callers, webhook):
    subscriptions = [{"event_type": "class.*"}]
    body = {"organization": webhook.organization_id, "name": "New", "url": URL, "subscriptions": subscriptions}
    callers.api.post("/api/webhooks/", body)


NEW = {"organization": "ACME", "name": "New", "url": URL, "subscriptions": [{"event_type": "class.*"}]}


@pytest.fixture
def callers(clock, wire, run, tmp_path, monkeypatch):
    environ = dict(os.environ)
    monkeypatch.setattr(os, "environ", environ)
    user = UserFactory(username="root", organization=None, is_staff=True, is_superuser=True)
    return Callers(user, clock=clock, wire=wire, run=run, directory=tmp_path, environ=environ)


@pytest.fixture
def sent():
    """The signals that were sent, each with the name of its webhook."""
    sent = []

    def keep(name):
        return lambda webhook, **_facts: sent.append(f"{name} {webhook.name}")

    receivers = {signal: keep(name) for name, signal in vars(signals).items() if name.startswith("webhook_")}
    for signal, receiver in receivers.items():
        signal.connect(receiver)
    yield sent
    for signal, receiver in receivers.items():
        signal.disconnect(receiver)


@pytest.fixture
def webhook():
    """A webhook, and another one of its organization that receives the events about it."""
    organization = OrganizationFactory(external_id="ACME")
    webhook = subscribed(name="CRM", organization=organization, events=["course_assignment.expiring"])
    subscribed("/watcher", name="Watcher", organization=webhook.organization, events=["webhook.*"])
    return webhook


@pytest.fixture
def open_deliveries(webhook, clock):
    """Make one open delivery of each kind, not due yet; return their statuses once a worker has settled them."""
    later = clock.now + timedelta(hours=1)
    kinds = {
        "pending": {"status": DeliveryStatus.PENDING},
        "waiting": {"status": DeliveryStatus.WAITING, "attempts": 1},
        "by hand": {"status": DeliveryStatus.PENDING, "priority": Priority.MANUAL},
    }
    made = {name: write_delivery(webhook, now=clock.now, due_at=later, **one).pk for name, one in kinds.items()}

    def settled():
        sweeps.settle(clock.now)
        return {name: Delivery.objects.get(pk=pk).status for name, pk in made.items()}

    return settled


def audited():
    """Return the audit entries: who, their id, what, and the facts."""
    rows = AuditEntry.objects.order_by("pk")
    return list(rows.values_list("actor_kind", "actor_id", "action", "changes"))


def emitted(name):
    bodies = map(json.loads, Event.objects.filter(type=name).order_by("pk").values_list("body", flat=True))
    return [{**body["data"], **body.get("details", {})} for body in bodies]


def by_user(callers, action, changes):
    return [("administrator", str(callers.user.pk), action, changes)]


PEOPLE_DISABLE = [
    by_form(enabled=""),
    by_list("disable_selected"),
    by_page("webhook_action", "disable"),
    by_api("post", "disable/"),
    by_yaml(lambda row, _rows: row.update(enabled=False)),
]
ALL_ENABLE = [
    by_form(enabled="on"),
    by_list("enable_selected"),
    by_page("webhook_action", "enable"),
    by_api("post", "enable/"),
    by_yaml(lambda row, _rows: row.update(enabled=True)),
    by_test_send,
]
ALL_DELETE = [
    by_page("webhook_delete", post="yes"),
    by_list("delete_selected"),
    by_api("delete"),
    by_yaml(lambda row, rows: rows.remove(row)),
]

SKIPPED = {"pending": "skipped", "waiting": "skipped", "by hand": "pending"}
CANCELLED = {"pending": "cancelled", "waiting": "cancelled", "by hand": "cancelled"}


@pytest.mark.parametrize("call", PEOPLE_DISABLE)
def test_disabled_by_a_user(callers, webhook, open_deliveries, sent, call):
    call(callers, webhook)

    webhook.refresh_from_db()
    assert (webhook.enabled, webhook.disabled_reason) == (False, "admin")
    assert open_deliveries() == SKIPPED
    assert audited() == by_user(callers, "webhook.disabled", {"disabled_reason": {"to": "admin"}})
    assert sent == ["webhook_disabled CRM"]
    assert emitted("webhook.disabled") == [{"id": webhook.public_id, "name": "CRM", "reason": "admin"}]


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
    assert [entry[2] for entry in audited()[1:]] == (["webhook.tested"] if call == by_test_send else [])
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


VERBS = {
    ("webhook.updated", "webhook"): (
        {"timeout_seconds": {"from": 20, "to": 7}},
        [],
        [
            by_form(timeout_seconds="7"),
            by_api("patch", timeout_seconds=7),
            by_yaml(lambda row, _rows: row.update(timeout_seconds=7)),
        ],
    ),
    ("secret.rotated", "webhook"): (
        {"overlap_seconds": {"to": 86_400}},
        ["webhook_secret_rotated CRM"],
        [admin_rotates, by_api("post", "rotate-secret/"), yaml_rotates],
    ),
    ("secret.revealed", "webhook"): ({}, [], [by_page("webhook_secret"), by_api("get", "secret/")]),
    ("subscription.created", "subscription"): (
        {
            "event_type": {"from": None, "to": "class.*"},
            "filters": {"from": None, "to": {}},
            "quiet_seconds": {"from": None, "to": 0},
        },
        [],
        [
            by_form(events=lambda rows: [*rows, "class.*"]),
            by_api("post", "subscriptions/", event_type="class.*"),
            by_yaml(lambda row, _rows: row["subscriptions"].append({"event_type": "class.*"})),
        ],
    ),
    ("subscription.updated", "subscription"): (
        {"less_than_days": {"from": None, "to": 14.0}},
        [],
        [
            filters_are_set,
            by_api("patch", "subscriptions/{}/", of=subscription_of, less_than_days=14),
            by_yaml(lambda row, _rows: row["subscriptions"][0].update(less_than_days=14)),
        ],
    ),
    ("subscription.deleted", "subscription"): (
        {"event_type": "course_assignment.expiring"},
        [],
        [
            by_form(events=lambda _rows: []),
            by_api("delete", "subscriptions/{}/", of=subscription_of),
            by_yaml(lambda row, _rows: row["subscriptions"].clear()),
        ],
    ),
    ("job.started", "job"): (
        {"kind": "cancel_pending", "since": None, "until": None, "total": 0},
        [],
        [by_page("webhook_action", "recover", kinds=["cancel_pending"], since=""), by_api("post", "cancel-pending/")],
    ),
    ("job.started", "job", "snapshot"): (
        {"kind": "snapshot", "nouns": ["course_assignment"], "total": 0},
        [],
        [
            by_page("webhook_action", "snapshot", nouns=["course_assignment"]),
            by_api("post", "snapshot/", nouns=["course_assignment"]),
            by_command("webhooks_snapshot", "--webhook={}", "--noun=course_assignment"),
        ],
    ),
    ("delivery.resent", "delivery"): (
        {},
        [],
        [
            by_page("delivery_resend", of=Callers.finished),
            by_api("post", "/api/deliveries/{}/resend/", of=Callers.finished),
        ],
    ),
    ("delivery.sent_now", "delivery"): (
        {},
        [],
        [
            by_page("delivery_resend", of=Callers.waiting),
            by_api("post", "/api/deliveries/{}/send-now/", of=Callers.waiting),
        ],
    ),
    ("webhook.tested", "delivery"): (
        {"event_type": "webhook.test", "status_code": 200},
        [],
        [
            by_page("webhook_action", "test", event_type="webhook.test"),
            by_api("post", "test/", event_type="webhook.test"),
            by_command("webhooks_test", "{}", "--event=webhook.test"),
        ],
    ),
}


@pytest.mark.parametrize(
    "action, target, changes, signals, call",
    [
        pytest.param(*names[:2], changes, signals, call, id=f"{names[0]} by {call.__name__}")
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


@pytest.mark.parametrize("call", [admin_creates, api_creates, by_yaml(lambda _row, rows: rows.append(NEW))])
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
