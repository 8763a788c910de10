"""The webhooks of an organization, on the host's own page of it."""

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

from tms_webhooks.admin.bases import TabularInline
from tms_webhooks.admin.scope import allows
from tms_webhooks.admin.standing import standing
from tms_webhooks.admin.webhooks import host_of
from tms_webhooks.choices import Action
from tms_webhooks.models import Webhook

SHOWN = 50


@dataclass(frozen=True, slots=True)
class Listed:
    """One webhook in the list, where it goes and how it does."""

    webhook: Webhook
    host: str
    state: str


class WebhookList:
    """What the page shows: the first webhooks by name, and ways to the others and to a new one."""

    def __init__(self, rows: QuerySet[Webhook], *, all_url: str, add_url: str) -> None:
        self._rows = rows
        self.all_url = all_url
        self.add_url = add_url

    @cached_property
    def _found(self) -> list[Webhook]:
        return list(self._rows.order_by("name", "pk").defer("headers", "content")[: SHOWN + 1])

    @property
    def webhooks(self) -> list[Listed]:
        """The first of them."""
        now = timezone.now()
        return [
            Listed(webhook, host_of(webhook), standing(webhook, now=now).headline) for webhook in self._found[:SHOWN]
        ]

    @property
    def has_more(self) -> bool:
        """Whether there are others."""
        return len(self._found) > SHOWN


class InlineChecks(InlineModelAdminChecks):
    """Django's checks of an inline."""

    def check(self, inline_obj: Any, **kwargs: Any) -> list[Any]:  # type: ignore[override]
        """Leave an organization model that does not exist to the app's own check: Django would break off over it."""
        owner: Any = Webhook._meta.get_field("organization").remote_field
        return [] if isinstance(owner.model, str) else super().check(inline_obj, **kwargs)


class WebhookInline(TabularInline):
    """Put it into ``inlines`` of the host's own page of organizations: it lists their webhooks, and leads to the form.

    Nothing is changed on that page itself. Who may not see an organization's webhooks does not see the list.
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
        css: ClassVar = {"all": ("tms_webhooks/form.css",)}

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return nothing to edit."""
        return super().get_queryset(request).none()

    def get_formset(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> Any:
        """Give the page its list."""
        formset: Any = super().get_formset(request, obj, **kwargs)
        if obj is not None:
            page = f"{self.admin_site.name}:tms_webhooks_webhook"
            may_add = request.user.has_perm("tms_webhooks.add_webhook") and allows(request, Action.MANAGE, obj.pk)
            query = urlencode({"organization": obj.pk})
            everything = urlencode({"organization__id__exact": obj.pk})
            formset.list = WebhookList(
                Webhook.objects.existing().filter(organization=obj),
                all_url=f"{reverse(f'{page}_changelist')}?{everything}",
                add_url=f"{reverse(f'{page}_add')}?{query}" if may_add else "",
            )
        return formset

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whoever may see the webhooks of this organization."""
        may_view = any(request.user.has_perm(f"tms_webhooks.{verb}_webhook") for verb in ("view", "change"))
        return obj is not None and may_view and allows(request, Action.VIEW, obj.pk)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody: a webhook is added on its own page."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody: it is changed there, too."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody."""
        return False
