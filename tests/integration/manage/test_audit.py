"""The audit log: what an entry says, and what it never holds."""

import copy

from tests.factories import WebhookFactory
from tms_webhooks.actors import Actor
from tms_webhooks.choices import ActorKind, AuditAction
from tms_webhooks.manage.audit import differences
from tms_webhooks.models import AuditEntry, Webhook

ALICE = Actor(ActorKind.USER, "7", "Alice")


def test_an_entry_says_who_did_what_to_which_webhook_and_when(clock):
    webhook = WebhookFactory()

    AuditEntry.objects.record(AuditAction.WEBHOOK_ENABLED, webhook, actor=ALICE, now=clock())

    entry = AuditEntry.objects.get()
    assert (entry.action, entry.at, entry.target) == ("webhook.enabled", clock(), f"webhook:{webhook.public_id}")
    assert (entry.actor_kind, entry.actor_id, entry.actor_label) == ("user", "7", "Alice")
    assert (entry.organization, entry.webhook, entry.changes) == (webhook.organization, webhook, {})


def test_a_changed_header_and_credentials_in_a_url_are_not_told():
    webhook = Webhook.objects.get(pk=WebhookFactory(headers="Authorization=Basic hunter2").pk)
    before = copy.copy(webhook)
    webhook.headers, webhook.url = "Authorization=Basic hunter3", "https://other.example.com/in/t0ken?key=s3cret"

    assert differences(before, webhook) == {
        "headers": {"from": "••••", "to": "••••"},
        "url": {"from": "https://receiver.example.com/…", "to": "https://other.example.com/…"},
    }


def test_of_a_new_row_all_that_it_holds_is_told():
    webhook = WebhookFactory(name="CRM", headers="X-Key=s3cret")

    changes = differences(None, webhook, fields=["name", "headers", "contacts", "url"])

    assert changes == {
        "name": {"from": None, "to": "CRM"},
        "headers": {"from": None, "to": "••••"},
        "url": {"from": None, "to": "https://receiver.example.com/…"},
    }


def test_a_long_text_is_cut():
    webhook = WebhookFactory(content="")
    before = copy.copy(webhook)
    webhook.content = "x" * 10_000

    assert differences(before, webhook)["content"]["to"] == "x" * 499 + "…"


def test_an_entry_outlives_its_webhook(clock):
    webhook = WebhookFactory()
    public_id = webhook.public_id
    AuditEntry.objects.record(AuditAction.WEBHOOK_DELETED, webhook, actor=ALICE, now=clock())

    webhook.delete()

    entry = AuditEntry.objects.get()
    assert (entry.webhook, entry.target) == (None, f"webhook:{public_id}")
