"""What belongs to an organization: the list of its webhooks, for the host's own page, and its notification addresses."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar
from urllib.parse import urlencode

from django.contrib import admin
from django.contrib.admin.checks import InlineModelAdminChecks
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from tms_webhooks.admin.bases import OrganizationChoice, ScopedAdmin, allows, column, may_view_webhooks, permits
from tms_webhooks.admin.formatting import EMPTY
from tms_webhooks.admin.webhooks import url_host
from tms_webhooks.choices import Action
from tms_webhooks.models import NotificationAddresses, Webhook
from tms_webhooks.models.encryption import MASK

MAX_WEBHOOKS = 50


class InlineChecks(InlineModelAdminChecks):
    """Django's checks of an inline, without an organization model that does not exist."""

    def check(self, inline_obj: Any, **kwargs: Any) -> list[Any]:  # type: ignore[override]
        """Return Django's errors. Django would crash on an unknown model, which the app's own check reports."""
        owner: Any = Webhook._meta.get_field("organization").remote_field
        return [] if isinstance(owner.model, str) else super().check(inline_obj, **kwargs)


class WebhookInline(admin.TabularInline):
    """Lists an organization's webhooks, with links to their pages. Add it to ``inlines`` of the host's organization admin.

    It is read-only, and hidden from users who may not view the organization's webhooks.
    """

    model = Webhook
    fk_name = "organization"
    fields = ("name",)
    extra = 0
    max_num = 0
    can_delete = False
    verbose_name_plural = _("webhooks")
    template = "admin/tms_webhooks/organization_webhooks.html"
    checks_class = InlineChecks

    class Media:
        css: ClassVar = {"all": ("tms_webhooks/pages.css",)}

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        """Return an empty queryset: the inline has no rows to edit."""
        return super().get_queryset(request).none()

    def get_formset(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> Any:
        """Return the formset, with the list for the template as ``webhook_list``."""
        formset: Any = super().get_formset(request, obj, **kwargs)
        if obj is not None:
            formset.webhook_list = staticmethod(partial(self._list, request, obj))
        return formset

    def _list(self, request: HttpRequest, organization: Any) -> dict[str, Any]:
        """Return the first webhooks by name, with links to all and to the form of a new one."""
        from tms_webhooks.admin.words import health_line
        from tms_webhooks.monitoring.figures import health_by_webhook

        rows = Webhook.objects.existing().filter(organization=organization).order_by("name", "pk")
        webhooks, now = list(rows.select_related("state")[: MAX_WEBHOOKS + 1]), timezone.now()
        found = health_by_webhook(webhooks[:MAX_WEBHOOKS], now=now)
        may_add = permits(request, "add_webhook") and allows(request, Action.MANAGE, organization.pk)
        return {
            "webhooks": [
                {
                    "webhook": webhook,
                    "host": url_host(webhook),
                    "word": found[webhook.pk].word.value,
                    "health": health_line(webhook, found[webhook.pk], now=now),
                }
                for webhook in webhooks[:MAX_WEBHOOKS]
            ],
            "has_more": len(webhooks) > MAX_WEBHOOKS,
            "all_url": self._url("webhook_changelist", organization__id__exact=organization.pk),
            "add_url": self._url("webhook_add", organization=organization.pk) if may_add else "",
        }

    def _url(self, name: str, **query: Any) -> str:
        return f"{reverse(f'{self.admin_site.name}:tms_webhooks_{name}')}?{urlencode(query)}"

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return obj is not None and may_view_webhooks(request) and allows(request, Action.VIEW, obj.pk)

    # Webhooks are changed on their own page.
    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    has_change_permission = has_delete_permission = has_add_permission


@admin.register(NotificationAddresses)
class AddressesAdmin(OrganizationChoice, ScopedAdmin):
    """The addresses of the user's organizations. Each change is in the audit log, without chat addresses.

    The chat addresses are shown as dots after saving. Who may view or change the webhooks of an organization may do so
    with these.
    """

    list_display = ("organization", "contacts", "slack", "teams")
    list_select_related = ("organization",)
    fields = ("organization", "contacts", "slack_url", "teams_url")

    slack = column("Slack", lambda row: MASK if row.slack_url else EMPTY)
    teams = column(_("Teams"), lambda row: MASK if row.teams_url else EMPTY)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """Make the organization read-only after creation."""
        return () if obj is None else ("organization",)

    def permits(self, request: HttpRequest, *verbs: str) -> bool:
        return may_view_webhooks(request) if "view" in verbs else permits(request, "change_webhook")

    def save_model(self, request: HttpRequest, obj: NotificationAddresses, form: Any, change: bool) -> None:  # noqa: FBT001 (Django's)
        from tms_webhooks.manage import addresses

        addresses.save(obj, form.changed_data, **self.by(request))

    def delete_model(self, request: HttpRequest, obj: NotificationAddresses) -> None:
        from tms_webhooks.manage import addresses

        addresses.delete(obj, **self.by(request))
