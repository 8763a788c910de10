"""The pages of an organization's notification addresses. The chat addresses are shown as dots after saving.

Who may view or change the webhooks of an organization may do so with these.
"""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from tms_webhooks.access import get_policy
from tms_webhooks.admin.bases import may_view_webhooks, permits
from tms_webhooks.admin.formatting import EMPTY
from tms_webhooks.admin.scope import OrganizationChoice, ScopedAdmin, allows_anywhere
from tms_webhooks.choices import Action
from tms_webhooks.models import NotificationAddresses
from tms_webhooks.models.encryption import MASK


@admin.register(NotificationAddresses)
class AddressesAdmin(OrganizationChoice, ScopedAdmin):
    """The addresses of the user's organizations. Each change is in the audit log, without chat addresses."""

    list_display = ("organization", "contacts", "slack", "teams")
    list_select_related = ("organization",)
    fields = ("organization", "contacts", "slack_url", "teams_url")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """Make the organization read-only after creation."""
        return () if obj is None else ("organization",)

    # Permissions: those of webhooks

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Return whether the user may view webhooks."""
        return self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return whether the user may view the webhooks of the organization."""
        return may_view_webhooks(request) and (obj is None or self.may(request, Action.VIEW, obj))

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Return whether the user may change webhooks of an organization."""
        return self._may_change(request) and allows_anywhere(request, Action.MANAGE)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return whether the user may change the webhooks of the organization."""
        return self._may_change(request) and (obj is None or self.may(request, Action.MANAGE, obj))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return whether the user may change the webhooks of the organization."""
        return self.has_change_permission(request, obj)

    def _may_change(self, request: HttpRequest) -> bool:
        return permits(request, "change_webhook")

    # Changes

    def save_model(self, request: HttpRequest, obj: NotificationAddresses, form: Any, change: bool) -> None:  # noqa: FBT001 (Django's)
        """Save the addresses."""
        from tms_webhooks.manage import addresses

        addresses.save(obj, form.changed_data, actor=get_policy().caller(request), now=timezone.now())

    def delete_model(self, request: HttpRequest, obj: NotificationAddresses) -> None:
        """Delete the addresses: the organization's notifications go to the contacts of its webhooks alone."""
        from tms_webhooks.manage import addresses

        addresses.delete(obj, actor=get_policy().caller(request), now=timezone.now())

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[NotificationAddresses]) -> None:
        """Delete the selected ones, each with its audit entry."""
        for one in queryset:
            self.delete_model(request, one)

    # Columns

    @admin.display(description="Slack")
    def slack(self, obj: NotificationAddresses) -> str:
        """Return dots, if the organization has an address."""
        return MASK if obj.slack_url else EMPTY

    @admin.display(description=_("Teams"))
    def teams(self, obj: NotificationAddresses) -> str:
        """Return dots, if the organization has an address."""
        return MASK if obj.teams_url else EMPTY
