"""The list of an organization's webhooks, for the host's own page."""

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

from tms_webhooks.admin.bases import allows, may_view_webhooks, permits
from tms_webhooks.admin.webhooks import url_host
from tms_webhooks.choices import Action
from tms_webhooks.models import Webhook

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
        from tms_webhooks.admin.words import health_dot
        from tms_webhooks.monitoring.figures import health_by_webhook

        rows = Webhook.objects.existing().filter(organization=organization).order_by("name", "pk")
        webhooks, now = list(rows.select_related("state")[: MAX_WEBHOOKS + 1]), timezone.now()
        found = health_by_webhook(webhooks[:MAX_WEBHOOKS], now=now)
        may_add = permits(request, "add_webhook") and allows(request, Action.MANAGE, organization.pk)
        return {
            "webhooks": [
                (webhook, health_dot(webhook, found[webhook.pk], now=now), url_host(webhook))
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
