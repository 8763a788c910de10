"""The audit log: who changed, revealed or sent again what, and when."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.utils.translation import gettext_lazy as _

from tms_webhooks.actors import Actor
from tms_webhooks.choices import ActorKind, AuditAction
from tms_webhooks.models.encryption import MASK, EncryptedTextField
from tms_webhooks.models.organization import organization_model
from tms_webhooks.models.webhook import Webhook

LONGEST_ID = 64
LONGEST_LABEL = 150
LONGEST_VALUE = 500
# Integrators put credentials into it: of a URL only the host is told.
URL_FIELDS = frozenset({"url"})


class AuditEntryManager(models.Manager["AuditEntry"]):
    """The one way to write the log."""

    def record(
        self,
        action: AuditAction,
        *,
        actor: Actor,
        webhook: Webhook,
        now: datetime,
        target: str = "",
        changes: Mapping[str, Any] | None = None,
    ) -> AuditEntry:
        """Write down what ``actor`` did to a webhook, in the transaction in which it is done.

        ``target`` names what it was done to where that is not the webhook itself, such as "delivery:17". ``changes`` are
        those of `differences`, or facts such as the length of an overlap; never a secret and never a header's value.
        """
        return self.create(
            at=now,
            actor_kind=actor.kind,
            actor_id=(actor.id or "")[:LONGEST_ID],
            actor_label=actor.label[:LONGEST_LABEL],
            action=action,
            organization_id=webhook.organization_id,
            webhook=webhook,
            target=target or f"webhook:{webhook.pk}",
            changes=dict(changes or {}),
        )


class AuditEntry(models.Model):
    """One thing that somebody did. It is written once, and outlives the webhook."""

    at = models.DateTimeField(_("at"))
    actor_kind = models.CharField(_("actor kind"), max_length=20, choices=ActorKind.choices)
    actor_id = models.CharField(_("actor id"), max_length=LONGEST_ID, blank=True, default="")
    actor_label = models.CharField(_("actor"), max_length=LONGEST_LABEL, blank=True, default="")
    action = models.CharField(_("action"), max_length=30, choices=AuditAction.choices)
    organization = models.ForeignKey(
        organization_model(), on_delete=models.CASCADE, related_name="+", verbose_name=_("organization")
    )
    webhook = models.ForeignKey(
        Webhook, on_delete=models.SET_NULL, null=True, blank=True, related_name="audit_log", verbose_name=_("webhook")
    )
    target = models.CharField(_("target"), max_length=100, help_text=_("What it was done to, such as delivery:17."))
    changes = models.JSONField(_("changes"), default=dict, blank=True, encoder=DjangoJSONEncoder)

    if TYPE_CHECKING:
        organization_id: Any
        webhook_id: int | None

    objects = AuditEntryManager()

    class Meta:
        verbose_name = _("audit entry")
        verbose_name_plural = _("audit entries")
        ordering = ("-pk",)
        indexes = [
            models.Index(fields=["organization", "id"], name="tms_audit_by_organization"),
            models.Index(fields=["webhook", "id"], name="tms_audit_by_webhook"),
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.target}"


def differences(
    before: models.Model | None, after: models.Model, *, fields: Iterable[str] | None = None
) -> dict[str, Any]:
    """Return what changed between two states of a row, as the log keeps it: ``{"name": {"from": "A", "to": "B"}}``.

    Without ``before`` the row is new, and all that it holds is told. ``fields`` are those to compare; without it all that
    people may edit. Secrets are masked, and of a URL only the host is told.
    """
    changes: dict[str, Any] = {}
    wanted = None if fields is None else set(fields)
    for field in after._meta.concrete_fields:
        if not field.editable or field.primary_key or (wanted is not None and field.name not in wanted):
            continue
        old = None if before is None else getattr(before, field.attname)
        new = getattr(after, field.attname)
        if old != new and not (before is None and new in (None, "")):
            changes[field.name] = {"from": _told(field, old), "to": _told(field, new)}
    return changes


def _told(field: models.Field[Any, Any], value: Any) -> Any:
    if value in (None, ""):
        return value
    if isinstance(field, EncryptedTextField):
        return MASK
    if field.name in URL_FIELDS:
        # Never raises on what was valid once, and a malformed one has no part worth telling.
        parts = urlsplit(str(value).partition("?")[0])
        return f"{parts.scheme}://{parts.netloc}/…"
    if isinstance(value, str) and len(value) > LONGEST_VALUE:
        return value[: LONGEST_VALUE - 1] + "…"
    return value
