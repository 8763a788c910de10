"""Whose rows the pages show and let change: those of the organizations that the access policy allows."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest

from tms_webhooks.access import get_policy
from tms_webhooks.admin.bases import ModelAdmin
from tms_webhooks.choices import Action

_MEMORY = "_tms_webhooks_access"


def organizations(request: HttpRequest, action: Action) -> QuerySet[Any]:
    """Return the organizations in which the signed-in person may do ``action``; the policy is asked once a request."""
    asked: dict[Any, Any] = request.__dict__.setdefault(_MEMORY, {})
    if action not in asked:
        asked[action] = get_policy().organizations(request, action)
    rows: QuerySet[Any] = asked[action].all()
    return rows


def allows(request: HttpRequest, action: Action, organization_id: Any) -> bool:
    """Return whether the signed-in person may do ``action`` in this organization."""
    asked: dict[Any, Any] = request.__dict__.setdefault(_MEMORY, {})
    question = (action, organization_id)
    if question not in asked:
        asked[question] = organizations(request, action).filter(pk=organization_id).exists()
    return bool(asked[question])


class Scoped(ModelAdmin):
    """Pages of rows that belong to an organization: Django's permissions say what may be done, the policy with whose rows.

    ``organization_path`` leads from a row to its organization, ``change_action`` is what changing a row takes.
    """

    organization_path = "organization"
    change_action = Action.MANAGE

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Leave out what belongs to others: it is in no list, and on no page."""
        allowed = organizations(request, Action.VIEW).order_by().values("pk")
        return super().get_queryset(request).filter(**{f"{self.organization_path}__in": allowed})

    def may(self, request: HttpRequest, action: Action, obj: Any) -> bool:
        """Return whether the signed-in person may do ``action`` with this row; without a row: anywhere at all."""
        if obj is None:
            return organizations(request, action).exists()
        *steps, last = self.organization_path.split("__")
        for step in steps:
            obj = getattr(obj, step)
        return allows(request, action, getattr(obj, f"{last}_id"))

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whoever may see the table, the rows of theirs. Without a row this is about the table, which may be empty."""
        return super().has_view_permission(request, obj) and (obj is None or self.may(request, Action.VIEW, obj))

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Whoever may add, and has an organization to add to."""
        return super().has_add_permission(request) and self.may(request, self.change_action, None)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whoever may change, the rows of theirs."""
        return super().has_change_permission(request, obj) and (
            obj is None or self.may(request, self.change_action, obj)
        )

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whoever may delete, the rows of theirs."""
        return super().has_delete_permission(request, obj) and (
            obj is None or self.may(request, self.change_action, obj)
        )
