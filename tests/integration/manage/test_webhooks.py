"""Changing a webhook: the named fields that differ are saved, and nothing else."""

from tests.integration.delivery.rows import subscribed
from tms_webhooks.manage import webhooks
from tms_webhooks.models import AuditEntry, Webhook, WebhookState


def test_only_named_fields_that_differ_are_saved(clock):
    webhook = subscribed(name="CRM", headers="X-Key=s3cret")
    WebhookState.objects.update(failures=4)
    webhook.name, webhook.timeout_seconds, webhook.headers, webhook.enabled = "HR", 7, "X-Key=0ther", False

    changes = webhooks.update(webhook, ["name", "headers", "verb", "enabled"], now=clock())

    stored = Webhook.objects.get()
    assert (stored.name, stored.timeout_seconds, stored.state.failures, stored.enabled) == ("HR", 20, 4, True)
    assert changes == {"name": {"from": "CRM", "to": "HR"}, "headers": {"from": "••••", "to": "••••"}}
    assert AuditEntry.objects.get().changes == changes
    assert stored.updated_at > stored.created_at


def test_without_a_difference_there_is_no_entry(clock):
    webhook = subscribed()
    before = Webhook.objects.get().updated_at

    assert webhooks.update(webhook, ["name", "url"], now=clock()) == {}

    assert not AuditEntry.objects.exists()
    assert Webhook.objects.get().updated_at == before
