"""The list of an organization's webhooks, for the host's own organization page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import urlencode

from django.contrib.admin.checks import InlineModelAdminChecks
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _

from tms_webhooks.admin.bases import TabularInline, may_view_webhooks, permits
from tms_webhooks.admin.scope import allows
from tms_webhooks.admin.webhooks import url_host
from tms_webhooks.choices import Action
from tms_webhooks.models import NotificationAddresses, Webhook
from tms_webhooks.models.webhook import HEAVY_COLUMNS

MAX_WEBHOOKS = 50


@dataclass(frozen=True, slots=True)
class WebhookSummary:
    """One row of the list: a webhook, the host of its URL, its health as a word, and in a few words."""

    webhook: Webhook
    host: str
    word: str
    health: str


class WebhookList:
    """The first webhooks by name, with links to all webhooks, the form of a new one, and the notification addresses."""

    def __init__(self, rows: QuerySet[Webhook], *, all_url: str, add_url: str, addresses_url: str) -> None:
        self._rows = rows
        self.all_url = all_url
        self.add_url = add_url
        self.addresses_url = addresses_url

    @cached_property
    def _first_rows(self) -> list[Webhook]:
        return list(self._rows.order_by("name", "pk").defer(*HEAVY_COLUMNS)[: MAX_WEBHOOKS + 1])

    @property
    def webhooks(self) -> list[WebhookSummary]:
        """The rows of the list."""
        from tms_webhooks.admin.health_text import health_line
        from tms_webhooks.monitoring.figures import health_by_webhook

        now, rows = timezone.now(), self._first_rows[:MAX_WEBHOOKS]
        found = health_by_webhook(rows, now=now)
        return [
            WebhookSummary(
                webhook,
                url_host(webhook),
                found[webhook.pk].word.value,
                health_line(webhook, found[webhook.pk], now=now),
            )
            for webhook in rows
        ]

    @property
    def has_more(self) -> bool:
        """Whether the organization has more webhooks than the list shows."""
        return len(self._first_rows) > MAX_WEBHOOKS


class InlineChecks(InlineModelAdminChecks):
    """Django's checks of an inline, without an organization model that does not exist."""

    def check(self, inline_obj: Any, **kwargs: Any) -> list[Any]:  # type: ignore[override]
        """Return Django's errors. Django would crash on an unknown model, which the app's own check reports."""
        owner: Any = Webhook._meta.get_field("organization").remote_field
        return [] if isinstance(owner.model, str) else super().check(inline_obj, **kwargs)


class WebhookInline(TabularInline):
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

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return an empty queryset: the inline has no rows to edit."""
        return super().get_queryset(request).none()

    def get_formset(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> Any:
        """Return the formset, with the list for the template as ``webhook_list``."""
        formset: Any = super().get_formset(request, obj, **kwargs)
        if obj is not None:
            page = f"{self.admin_site.name}:tms_webhooks_webhook"
            may_manage = allows(request, Action.MANAGE, obj.pk)
            may_add = permits(request, "add_webhook") and may_manage
            may_change = permits(request, "change_webhook") and may_manage
            add_query = urlencode({"organization": obj.pk})
            all_query = urlencode({"organization__id__exact": obj.pk})
            formset.webhook_list = WebhookList(
                Webhook.objects.existing().filter(organization=obj),
                all_url=f"{reverse(f'{page}_changelist')}?{all_query}",
                add_url=f"{reverse(f'{page}_add')}?{add_query}" if may_add else "",
                addresses_url=self._addresses_url(obj) if may_change else "",
            )
        return formset

    def _addresses_url(self, organization: Any) -> str:
        """Return the URL of the form of the organization's notification addresses."""
        page = f"{self.admin_site.name}:tms_webhooks_notificationaddresses"
        present = NotificationAddresses.objects.filter(organization=organization).only("uid").first()
        if present is not None:
            return reverse(f"{page}_change", args=[present.public_id])
        return f"{reverse(f'{page}_add')}?{urlencode({'organization': organization.pk})}"

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return whether the user may view the webhooks of this organization."""
        return obj is not None and may_view_webhooks(request) and allows(request, Action.VIEW, obj.pk)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return False: webhooks are added on their own page."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return False: webhooks are changed on their own page."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return False: webhooks are deleted on their own page."""
        return False
