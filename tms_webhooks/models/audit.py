"""The audit log: each change of a webhook, each revealed secret and each replay, with its actor and time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.utils.translation import gettext_lazy as _

from tms_webhooks.actors import LONGEST_ACTOR_ID, Actor
from tms_webhooks.choices import ActorKind, AuditAction
from tms_webhooks.models.addresses import NotificationAddresses
from tms_webhooks.models.encryption import MASK, EncryptedTextField
from tms_webhooks.models.organization import organization_model
from tms_webhooks.models.public_ids import PublicIDModel
from tms_webhooks.models.webhook import Webhook

LONGEST_LABEL = 150
LONGEST_VALUE = 500
# Only the host of these is logged, because integrators put credentials into URLs.
URL_FIELDS = frozenset({"url"})


class AuditEntryManager(models.Manager["AuditEntry"]):
    """Writes the audit log."""

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
        """Record an action of ``actor`` on a webhook. Call it in the transaction of the action.

        ``target`` names the object of the action if it is not the webhook itself, such as "job:job_…". ``changes`` are
        those of `differences`, or facts such as the length of an overlap; never a secret or a header's value.
        """
        target = target or f"webhook:{webhook.public_id}"
        about = {"organization_id": webhook.organization_id, "webhook": webhook, "target": target}
        return self._create(action, actor=actor, now=now, changes=changes, **about)

    def record_addresses(
        self, addresses: NotificationAddresses, *, actor: Actor, now: datetime, changes: Mapping[str, Any]
    ) -> AuditEntry:
        """Record a change of an organization's notification addresses. Call it in the transaction of the change."""
        about = {"organization_id": addresses.organization_id, "target": f"addresses:{addresses.public_id}"}
        return self._create(AuditAction.ADDRESSES_CHANGED, actor=actor, now=now, changes=changes, **about)

    def _create(
        self, action: AuditAction, *, actor: Actor, now: datetime, changes: Mapping[str, Any] | None, **about: Any
    ) -> AuditEntry:
        return self.create(
            at=now,
            actor_kind=actor.kind,
            actor_id=actor.stored_id,
            actor_label=actor.label[:LONGEST_LABEL],
            action=action,
            changes=dict(changes or {}),
            **about,
        )


class AuditEntry(PublicIDModel):
    """One action of a user. The entry never changes, and outlives the webhook."""

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

    if TYPE_CHECKING:
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
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.target}"


def differences(
    before: models.Model | None, after: models.Model, *, fields: Iterable[str] | None = None
) -> dict[str, Any]:
    """Return the changes between two states of a row as the log stores them: ``{"name": {"from": "A", "to": "B"}}``.

    ``before`` is None for a new row, whose values are all changes. ``fields`` are the names to compare; None stands for
    all editable fields. Secrets are masked, and URLs are cut to their host.
    """
    changes: dict[str, Any] = {}
    names = None if fields is None else set(fields)
    for field in after._meta.concrete_fields:
        if not field.editable or field.primary_key or (names is not None and field.name not in names):
            continue
        old = None if before is None else getattr(before, field.attname)
        new = getattr(after, field.attname)
        if old != new and not (before is None and new in (None, "")):
            changes[field.name] = {"from": _loggable(field, old), "to": _loggable(field, new)}
    return changes


def _loggable(field: models.Field[Any, Any], value: Any) -> Any:
    if value in (None, ""):
        return value
    if isinstance(field, EncryptedTextField):
        return MASK
    if field.name in URL_FIELDS:
        # `urlsplit` raises on malformed queries only, and they are not logged.
        parts = urlsplit(str(value).partition("?")[0])
        return f"{parts.scheme}://{parts.netloc}/…"
    if isinstance(value, str) and len(value) > LONGEST_VALUE:
        return value[: LONGEST_VALUE - 1] + "…"
    return value
