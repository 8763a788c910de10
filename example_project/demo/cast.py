"""The webhooks of the demo: those of two organizations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from example_project.demo.ledger import Endpoint
from example_project.training.seed import Tenant
from tms_webhooks.models import Subscription, Webhook
from tms_webhooks.models.encryption import reveal

EXPIRING_DAYS = {"more_than_days": 2, "less_than_days": 7}


@dataclass(frozen=True, slots=True)
class Part:
    """The definition of one webhook: its organization, its events, and further fields."""

    tenant: int
    name: str
    path: str
    patterns: tuple[str, ...]
    form: tuple[tuple[str, Any], ...] = ()


WAREHOUSE = Part(0, "Warehouse", "/warehouse", ("*", "webhook.*"))
ARCHIVE = Part(0, "Archive", "/archive", ("class.deleted",), (("schedule", "none"),))
CRM = Part(0, "CRM", "/crm", ("class.*", "enrollment.*"), (("schedule", "skillable"),))
HR = Part(
    1,
    "HR",
    "/hr",
    (
        "user.updated",
        "course_assignment.created",
        "course_assignment.started",
        "course_assignment.completed",
        "course_assignment.expiring",
        "course_assignment.expired",
        "learning_path.completed",
        "achievement.received",
    ),
)
SHOP = Part(
    1, "Shop", "/shop", ("class.*", "enrollment.*", "class_feedback.*", "course_feedback.*", "voucher.redeemed")
)
PARTS = (WAREHOUSE, CRM, ARCHIVE, HR, SHOP)


def set_up(tenants: tuple[Tenant, ...], *, port: int) -> tuple[Endpoint, ...]:
    """Create the webhooks with URLs on ``port`` of this machine; return their endpoints."""
    return tuple(_set_up(part, tenants[part.tenant], port) for part in PARTS)


def _set_up(part: Part, tenant: Tenant, port: int) -> Endpoint:
    webhook = Webhook(
        organization=tenant.organization, name=part.name, url=f"http://127.0.0.1:{port}{part.path}", **dict(part.form)
    )
    webhook.full_clean()
    webhook.save()
    for pattern in part.patterns:
        days = EXPIRING_DAYS if pattern in ("*", "course_assignment.expiring") else {}
        subscription = Subscription(webhook=webhook, event_type=pattern, **days)
        subscription.full_clean()
        subscription.save()
    return Endpoint(
        webhook_id=webhook.pk,
        webhook=webhook.public_id,
        organization_id=tenant.organization.pk,
        organization=tenant.organization.name,
        name=part.name,
        path=part.path,
        secret=reveal(webhook.secrets.get().value),
        patterns=part.patterns,
    )
