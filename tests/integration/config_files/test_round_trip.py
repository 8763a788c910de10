"""Webhooks as a document: written, read elsewhere, and the same a second time."""

import json

import pytest
import yaml
from django.core.management import CommandError, call_command

from example_project.training.factories import OrganizationFactory, TrainingClassFactory
from tests.conftest import NOW
from tests.factories import WebhookFactory
from tms_webhooks.choices import AuditAction, DisabledReason
from tms_webhooks.delivery import lifecycle
from tms_webhooks.models import AuditEntry, Subscription, Webhook
from tms_webhooks.models.encryption import reveal

SECRET = "whsec_" + "A" * 43 + "="
OTHER = "whsec_" + "B" * 42 + "A="


@pytest.fixture
def organization():
    return OrganizationFactory(external_id="ACME-EU", name="Acme Europe")


@pytest.fixture
def crm(organization, monkeypatch):
    """A webhook with all that is special, and the environment that its document names."""
    webhook = WebhookFactory(
        organization=organization,
        name="CRM",
        url="https://crm.example.com/hooks/secret-path",
        headers="Authorization=Basic hunter2\nX-Key=abc",
        schedule=[5, 60],
        max_retries=2,
        payload="no_personal",
        events=["class.*"],
    )
    Subscription.objects.create(
        webhook=webhook, event_type="course_assignment.expiring", more_than_days=3, less_than_days=9
    )
    webhook.secrets.update(value=SECRET)
    monkeypatch.setenv("WEBHOOK_ACME_EU_CRM_SECRET", SECRET)
    monkeypatch.setenv("WEBHOOK_ACME_EU_CRM_HEADER_AUTHORIZATION", "Basic hunter2")
    monkeypatch.setenv("WEBHOOK_ACME_EU_CRM_HEADER_X_KEY", "abc")
    return webhook


def state():
    return [
        [
            list(Webhook.objects.order_by("pk").values()),
            list(Subscription.objects.order_by("pk").values()),
            [
                (row.webhook_id, reveal(row.value), row.expires_at)
                for one in Webhook.objects.all()
                for row in one.secrets.all()
            ],
        ]
    ]


def test_a_document_holds_what_is_not_the_default_and_no_secret(crm, exported):
    text = exported()

    assert yaml.safe_load(text) == {
        "version": 1,
        "webhooks": [
            {
                "organization": "ACME-EU",
                "name": "CRM",
                "enabled": True,
                "payload": "no_personal",
                "url": "https://crm.example.com/hooks/secret-path",
                "max_retries": 2,
                "schedule": [5, 60],
                "secret": {"env": "WEBHOOK_ACME_EU_CRM_SECRET"},
                "headers": {
                    "Authorization": {"env": "WEBHOOK_ACME_EU_CRM_HEADER_AUTHORIZATION"},
                    "X-Key": {"env": "WEBHOOK_ACME_EU_CRM_HEADER_X_KEY"},
                },
                "subscriptions": [
                    {"event_type": "class.*"},
                    {"event_type": "course_assignment.expiring", "more_than_days": 3.0, "less_than_days": 9.0},
                ],
            }
        ],
    }
    for private in (SECRET, "hunter2", "abc"):
        assert private not in text


def test_the_document_of_what_is_there_changes_nothing(crm, exported, imported):
    before = state()

    assert imported(exported()) == "0 webhooks changed.\n"
    assert state() == before
    assert not AuditEntry.objects.exists()


def test_another_environment_gets_the_same_webhook(crm, exported, imported):
    text = exported()
    rows = list(crm.subscriptions.values("event_type", "more_than_days", "less_than_days"))
    Webhook.objects.all().delete()

    assert imported(text).splitlines()[0] == "+ ACME-EU / CRM"

    webhook = Webhook.objects.get()
    assert (webhook.url, webhook.schedule, webhook.payload) == (crm.url, [5, 60], "no_personal")
    assert reveal(webhook.headers) == "Authorization=Basic hunter2\nX-Key=abc"
    assert webhook.signing_secrets(NOW) == [SECRET]
    assert list(webhook.subscriptions.values("event_type", "more_than_days", "less_than_days")) == rows
    assert exported() == text
    assert imported(text) == "0 webhooks changed.\n"
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.webhook) == (AuditAction.WEBHOOK_CREATED, webhook)
    assert SECRET not in json.dumps(entry.changes)
    assert "hunter2" not in json.dumps(entry.changes)


def document(**values):
    webhook = {"organization": "ACME-EU", "name": "CRM", "url": "https://crm.example.com/hook", **values}
    return {"version": 1, "webhooks": [webhook]}


def test_a_change_is_reported_and_an_equal_subscription_stays_the_same_row(organization, imported):
    imported(document(subscriptions=[{"event_type": "class.*"}, {"event_type": "user.updated"}]))
    kept = Subscription.objects.get(event_type="class.*")

    printed = imported(
        document(
            timeout_seconds=5,
            subscriptions=[{"event_type": "class.*"}, {"event_type": "voucher.redeemed"}],
            enabled=False,
        )
    )

    assert printed.splitlines() == [
        "~ ACME-EU / CRM",
        "    timeout_seconds: 20 -> 5",
        "    enabled: True -> False",
        "    subscriptions: 1 added, 0 changed, 1 removed",
        "1 webhook changed.",
    ]
    webhook = Webhook.objects.get()
    assert (webhook.timeout_seconds, webhook.enabled, webhook.disabled_reason) == (5, False, DisabledReason.ADMIN)
    assert set(webhook.subscriptions.values_list("event_type", flat=True)) == {"class.*", "voucher.redeemed"}
    assert Subscription.objects.get(event_type="class.*").pk == kept.pk


def test_another_window_or_filter_is_a_change_of_the_same_row(organization, imported):
    """The row is the history of its events: a new one would get events of the same dates again."""
    imported(
        document(subscriptions=[{"event_type": "*", "less_than_days": 30}, {"event_type": "*", "less_than_days": 7}])
    )
    first, second = Subscription.objects.order_by("pk")
    AuditEntry.objects.all().delete()

    printed = imported(
        document(
            subscriptions=[
                {"event_type": "*", "less_than_days": 7},
                {"event_type": "*", "filters": {"actor_kind": ["api"]}},
            ]
        )
    )

    assert printed.splitlines() == [
        "~ ACME-EU / CRM",
        "    subscriptions: 0 added, 1 changed, 0 removed",
        "1 webhook changed.",
    ]
    assert [(row.pk, row.less_than_days, row.filters) for row in Subscription.objects.order_by("pk")] == [
        (first.pk, None, {"actor_kind": ["api"]}),
        (second.pk, 7, {}),
    ]
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.target) == ("subscription.updated", f"subscription:{first.public_id}")


def test_another_secret_signs_together_with_the_old_one_for_a_while(crm, exported, imported, monkeypatch):
    text = exported()
    monkeypatch.setenv("WEBHOOK_ACME_EU_CRM_SECRET", OTHER)

    assert imported(text).splitlines() == ["~ ACME-EU / CRM", "    secret: changed", "1 webhook changed."]
    assert crm.signing_secrets(NOW) == [OTHER, SECRET]
    assert imported(text) == "0 webhooks changed.\n"


def test_secrets_can_be_left_as_they_are(crm, exported, imported, monkeypatch):
    text = exported()
    for name in ("SECRET", "HEADER_AUTHORIZATION", "HEADER_X_KEY"):
        monkeypatch.delenv(f"WEBHOOK_ACME_EU_CRM_{name}")

    assert imported(text, "--keep-secrets") == "0 webhooks changed.\n"
    assert reveal(Webhook.objects.get().headers) == "Authorization=Basic hunter2\nX-Key=abc"


def test_ids_in_filters_are_those_of_what_is_here(organization, imported):
    training_class = TrainingClassFactory(organization=organization)
    filters = {"course": [training_class.course_id], "class": [training_class.pk], "organization": [organization.pk]}
    wanted = document(subscriptions=[{"event_type": "class.*", "filters": filters}])

    imported(wanted)

    assert Subscription.objects.get().filters == filters
    assert imported(wanted) == "0 webhooks changed.\n"


def test_a_disabled_webhook_is_left_so_unless_the_document_says_otherwise(crm, imported):
    lifecycle.disable(crm, reason=DisabledReason.FAILING, now=NOW)
    same = document(url=crm.url, payload=crm.payload, schedule=[5, 60], max_retries=2)
    imported(same, "--keep-secrets")
    assert not Webhook.objects.get().enabled

    same["webhooks"][0]["enabled"] = True
    imported(same, "--keep-secrets")
    assert (Webhook.objects.get().enabled, Webhook.objects.get().disabled_reason) == (True, "")


def test_the_difference_is_shown_by_the_exit_status_and_nothing_is_changed(organization, imported, capsys):
    with pytest.raises(SystemExit) as ended:
        imported(document(), "--diff")
    assert ended.value.code == 1
    assert "1 webhook would be changed." in capsys.readouterr().out
    assert not Webhook.objects.exists()

    assert json.loads(imported(document(), "--dry-run", "--json"))["changes"][0]["webhook"] == "ACME-EU / CRM"
    assert not Webhook.objects.exists()
    imported(document())
    assert imported(document(), "--diff") == "0 webhooks would be changed.\n"


def test_what_is_not_named_is_deleted_only_when_asked_and_only_there(organization, imported):
    imported(document())
    mine = WebhookFactory(organization=organization, name="LMS")
    others = WebhookFactory(name="LMS")

    imported(document())
    assert Webhook.objects.existing().count() == 3
    assert imported(document(), "--prune").splitlines()[0] == "- ACME-EU / LMS"

    assert mine not in Webhook.objects.existing()
    assert others in Webhook.objects.existing()


def test_what_can_have_no_name_elsewhere_is_not_exported():
    webhook = WebhookFactory(organization=OrganizationFactory(external_id=None))
    with pytest.raises(CommandError, match="has no external id"):
        call_command("webhooks_export")
    webhook.delete()
    organization = OrganizationFactory(external_id="A")
    WebhookFactory.create_batch(2, organization=organization, name="CRM")
    with pytest.raises(CommandError, match="A has several webhooks named 'CRM'; rename all but one"):
        call_command("webhooks_export")
