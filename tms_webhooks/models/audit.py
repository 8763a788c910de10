"""The audit log: each change of a webhook, each revealed secret and each replay, with its actor and time."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.utils.translation import gettext_lazy as _

from tms_webhooks.actors import LONGEST_ACTOR_ID, Actor
from tms_webhooks.choices import ActorKind, AuditAction
from tms_webhooks.models.organization import organization_model
from tms_webhooks.models.public_ids import PublicIDModel
from tms_webhooks.models.webhook import Webhook

LONGEST_LABEL = 150
# The words for rows in `AuditEntry.target`, where they are not the names of their models.
TARGETS = {"webhooksecret": "secret"}


class AuditEntryManager(models.Manager["AuditEntry"]):
    """Writes the audit log."""

    def record(
        self,
        action: AuditAction,
        row: Any,
        *,
        actor: Actor,
        now: datetime,
        changes: Mapping[str, Any] | None = None,
    ) -> AuditEntry:
        """Record an action of ``actor`` on a row: a webhook, or one that belongs to it.

        Call it in the transaction of the action. ``changes`` are those of `tms_webhooks.manage.audit.differences`, or
        facts such as the length of an overlap; never a secret or a header's value.
        """
        webhook = row if isinstance(row, Webhook) else row.webhook
        kind = row._meta.model_name
        return self.create(
            at=now,
            actor_kind=actor.kind,
            actor_id=actor.stored_id,
            actor_label=actor.label[:LONGEST_LABEL],
            action=action,
            organization_id=webhook.organization_id,
            webhook=webhook,
            target=f"{TARGETS.get(kind, kind)}:{row.public_id}",
            changes=dict(changes or {}),
        )


class AuditEntry(PublicIDModel):
    """One action of a user. The entry never changes, outlives the webhook, and is pruned after two years."""

    PUBLIC_PREFIX = "aud_"

    at = models.DateTimeField(_("at"))
    actor_kind = models.CharField(_("actor kind"), max_length=20, choices=ActorKind.choices)
    actor_id = models.CharField(_("actor id"), max_length=LONGEST_ACTOR_ID, blank=True, default="")
    actor_label = models.CharField(_("actor"), max_length=LONGEST_LABEL, blank=True, default="")
    action = models.CharField(_("action"), max_length=30, choices=AuditAction.choices)
    organization = models.ForeignKey(
        organization_model(), on_delete=models.CASCADE, related_name="+", verbose_name=_("organization")
    )
    webhook = models.ForeignKey(
        Webhook, on_delete=models.SET_NULL, null=True, blank=True, related_name="audit_log", verbose_name=_("webhook")
    )
    target = models.CharField(_("target"), max_length=100, help_text=_("The changed object, such as delivery:dlv_…."))
    changes = models.JSONField(_("changes"), default=dict, blank=True, encoder=DjangoJSONEncoder)

    organization_id: Any
    webhook_id: int | None

    objects = AuditEntryManager()

    class Meta:
        verbose_name = _("audit entry")
        verbose_name_plural = _("audit entries")
        ordering = ("-pk",)
        indexes = [
            # The log of an organization, newest first.
            models.Index(fields=["organization", "id"], name="tms_audit_by_organization"),
            # The log of a webhook, newest first.
            models.Index(fields=["webhook", "id"], name="tms_audit_by_webhook"),
            # The oldest, to delete them.
            models.Index(fields=["at", "id"], name="tms_audit_by_time"),
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.target}"
