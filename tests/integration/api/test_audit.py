"""The audit log over the API: who did what, and when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tests.factories import WebhookFactory
from tms_webhooks.actors import SYSTEM, Actor
from tms_webhooks.choices import ActorKind, AuditAction
from tms_webhooks.models import AuditEntry

NOW = datetime(2026, 11, 24, 15, 4, 5, tzinfo=UTC)
LIST = "/api/audit/"


def test_an_entry_is_shown_whole(client, acme):
    webhook = WebhookFactory(organization=acme)
    entry = AuditEntry.objects.record(
        AuditAction.SECRET_ROTATED,
        webhook,
        actor=Actor(ActorKind.API, "7", "Alice's key"),
        now=NOW,
        changes={"overlap_seconds": {"to": 60}},
    )

    (row,) = client.get(LIST).json()["results"]

    assert row == {
        "id": entry.public_id,
        "at": "2026-11-24T15:04:05Z",
        "actor": {"kind": "api", "id": "7", "label": "Alice's key"},
        "action": "secret.rotated",
        "organization": acme.pk,
        "webhook": webhook.public_id,
        "target": f"webhook:{webhook.public_id}",
        "changes": {"overlap_seconds": {"to": 60}},
    }
    assert client.get(f"{LIST}{entry.public_id}/").json() == row


def test_the_log_can_be_filtered(client, acme):
    webhook, other = WebhookFactory(organization=acme), WebhookFactory(organization=acme)
    record = AuditEntry.objects.record
    old = record(AuditAction.WEBHOOK_ENABLED, webhook, actor=SYSTEM, now=NOW - timedelta(days=1))
    new = record(AuditAction.WEBHOOK_DISABLED, other, actor=Actor(ActorKind.USER, "7"), now=NOW)

    def found(query: str) -> list[str]:
        return [row["id"] for row in client.get(f"{LIST}?{query}").json()["results"]]

    assert found("") == [new.public_id, old.public_id]
    assert found("ordering=at") == [old.public_id, new.public_id]
    assert found(f"webhook={webhook.public_id}") == [old.public_id]
    assert found("action=webhook.enabled") == [old.public_id]
    assert found("actor_kind=user&actor_id=7") == [new.public_id]
    assert found("after=2026-11-24T00:00:00Z") == [new.public_id]
    assert found("before=2026-11-24T00:00:00Z") == [old.public_id]
