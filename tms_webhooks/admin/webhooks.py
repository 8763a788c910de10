"""The pages of webhooks: the list, the form, its secret and its preview. None shows a header's value."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar
from urllib.parse import urlencode, urlsplit

from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.forms import Script
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext, pgettext

from tms_webhooks.access import get_policy
from tms_webhooks.admin.dashboard import DashboardPages
from tms_webhooks.admin.form_pages import FormPages
from tms_webhooks.admin.forms.headers import known_headers
from tms_webhooks.admin.preview import PreviewPages
from tms_webhooks.admin.scope import organizations
from tms_webhooks.admin.standing import moment
from tms_webhooks.admin.why import WhyPages
from tms_webhooks.choices import Action
from tms_webhooks.conf import app_settings
from tms_webhooks.delivery import lifecycle
from tms_webhooks.exceptions import SecretError
from tms_webhooks.models import Webhook
from tms_webhooks.models.encryption import reveal
from tms_webhooks.validators import parse_headers

# What only a webhook that exists has.
LIVED = ("state", "header_names", "failures", "failing_since", "succeeded_at", "paused_until", "log", "signing")
EVENTS = _("Events")
MOST_IN_A_LIST = 500
"""Organizations. More are searched for, where the host's own page of them can be searched."""


@admin.register(Webhook)
class WebhookAdmin(WhyPages, DashboardPages, FormPages, PreviewPages):
    """Webhooks of the organizations that the signed-in person may see."""

    list_display = ("name", "organization", "host", "state", "failures", "succeeded_at", "log")
    list_filter = ("enabled", "disabled_reason", "error_action")
    list_select_related = ("organization",)
    search_fields = ("name", "url")
    show_full_result_count = False
    readonly_fields = LIVED
    actions = ("enable_selected", "disable_selected", "rotate_secret")
    fieldsets = (
        (_("What"), {"fields": ("organization", "include_children", "audience", "name", "enabled", "state", "log")}),
        (EVENTS, {"fields": (), "classes": ("tms-events",)}),
        (
            _("Where"),
            {
                "fields": (
                    "verb",
                    "url",
                    "headers",
                    "header_names",
                    "delay_seconds",
                    "timeout_seconds",
                    "ordered",
                    "max_in_flight",
                    "rate_limit_per_second",
                )
            },
        ),
        (
            _("Body"),
            {"fields": ("format", "payload", "content", "payload_version"), "classes": ("tms-body",)},
        ),
        (
            _("When it fails"),
            {
                "fields": (
                    "max_retries",
                    "schedule",
                    "error_action",
                    "contacts",
                    "failures",
                    "failing_since",
                    "paused_until",
                    "succeeded_at",
                )
            },
        ),
        (_("Security"), {"fields": ("signing",)}),
    )

    class Media:
        css: ClassVar = {"all": ("tms_webhooks/form.css",)}
        js = (Script("tms_webhooks/form.js", defer=True),)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Webhook]:
        """Leave out the deleted ones."""
        return super().get_queryset(request).filter(deleted_at__isnull=True)

    def get_fieldsets(self, request: HttpRequest, obj: Webhook | None = None) -> Any:
        """Ask only what there is to say."""
        left_out = set() if app_settings.ORGANIZATION_PARENT else {"include_children"}
        if obj is None:
            left_out |= set(LIVED)
        elif self.has_change_permission(request, obj) and known_headers(obj) is not None:
            left_out.add("header_names")  # the box above names them
        asked: list[tuple[Any, dict[str, Any]]] = [
            (title, {**options, "fields": [name for name in options["fields"] if name not in left_out]})
            for title, options in self.fieldsets
        ]
        return [(title, options) for title, options in asked if options["fields"] or title == EVENTS]

    def get_readonly_fields(self, request: HttpRequest, obj: Webhook | None = None) -> tuple[str, ...]:
        """Let nobody give a webhook away: what waits for it belongs to its organization."""
        return self.readonly_fields if obj is None else ("organization", *self.readonly_fields)

    def get_autocomplete_fields(self, request: HttpRequest) -> tuple[str, ...]:
        """Search for the organization where there are too many for a list, and its own page can be searched."""
        owner: Any = Webhook._meta.get_field("organization").related_model
        page = self.admin_site._registry.get(owner)
        if page is None or not page.get_search_fields(request):
            return ()
        count = organizations(request, Action.MANAGE).order_by()[: MOST_IN_A_LIST + 1].count()
        return ("organization",) if count > MOST_IN_A_LIST else ()

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """Choose the organization where there is but one."""
        initial: dict[str, Any] = {**super().get_changeform_initial_data(request)}
        if "organization" not in initial:
            keys = list(organizations(request, Action.MANAGE).values_list("pk", flat=True)[:2])
            initial.update({"organization": keys[0]} if len(keys) == 1 else {})
        return initial

    # Columns and read-only fields

    @admin.display(description=_("host"))
    def host(self, obj: Webhook) -> str:
        """Show where it goes, without path and query."""
        return host_of(obj)

    @admin.display(description=_("state"))
    def state(self, obj: Webhook) -> str:
        """Say whether it gets requests now, and why not."""
        return state_of(obj)

    @admin.display(description=_("deliveries"))
    def log(self, obj: Webhook) -> str:
        """Lead to the delivery log."""
        page = reverse(f"{self.admin_site.name}:tms_webhooks_delivery_changelist")
        return format_html('<a href="{}?{}">{}</a>', page, urlencode({"webhook__id__exact": obj.pk}), _("Log"))

    @admin.display(description=_("headers now"))
    def header_names(self, obj: Webhook) -> str:
        """Name the headers, without their values."""
        try:
            return ", ".join(parse_headers(reveal(obj.headers), custom_body=True)) or "-"
        except SecretError:
            return str(_("They can't be decrypted with the keys at hand: enter them anew."))
        except ValidationError:
            return str(_("They are not name=value lines: enter them anew."))

    @admin.display(description=_("signing secret"))
    def signing(self, obj: Webhook) -> SafeString:
        """Say since when the secret signs, and until when older ones do; lead to its pages."""
        now = timezone.now()
        told = []
        for created_at, expires_at in obj.secrets.order_by("-pk").values_list("created_at", "expires_at"):
            if expires_at is None:
                told.append(_("Made %(moment)s.") % {"moment": moment(created_at)})
            elif expires_at > now:
                told.append(_("An older one signs until %(moment)s.") % {"moment": moment(expires_at)})
        return format_html(
            '{} <a href="{}">{}</a> · <a href="{}">{}</a>',
            " ".join(told) or _("There is none: rotate it."),
            reverse(f"{self.admin_site.name}:tms_webhooks_webhook_secret", args=[obj.pk]),
            _("Reveal it…"),
            reverse(f"{self.admin_site.name}:tms_webhooks_webhook_rotate", args=[obj.pk]),
            _("Rotate it…"),
        )

    # Changes

    def delete_model(self, request: HttpRequest, obj: Webhook) -> None:
        """Delete it, and call off what waits; its log stays."""
        lifecycle.delete(obj, actor=get_policy().caller(request), now=timezone.now())

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Webhook]) -> None:
        """Delete those that are selected, in the same way, and in the order of `Webhook.objects.hold`."""
        for webhook in queryset.order_by("pk"):
            self.delete_model(request, webhook)

    def get_deleted_objects(
        self, objs: Iterable[Any], request: HttpRequest
    ) -> tuple[list[Any], dict[Any, Any], set[Any], list[Any]]:
        """Name the webhooks alone: nothing else goes with them."""
        webhooks = [str(webhook) for webhook in objs]
        allowed = all(self.has_delete_permission(request, webhook) for webhook in objs)
        return (
            webhooks,
            {self.opts.verbose_name_plural: len(webhooks)},
            set() if allowed else {self.opts.verbose_name},
            [],
        )

    @admin.action(description=_("Enable"), permissions=["change"])
    def enable_selected(self, request: HttpRequest, queryset: QuerySet[Webhook]) -> None:
        """Enable, and forget the failures."""
        count = self._switch_all(request, queryset, on=True)
        told = ngettext(
            "%(count)d webhook is enabled. What it missed stays skipped until somebody replays it.",
            "%(count)d webhooks are enabled. What they missed stays skipped until somebody replays it.",
            count,
        )
        self.message_user(request, told % {"count": count}, messages.SUCCESS)

    @admin.action(description=_("Disable"), permissions=["change"])
    def disable_selected(self, request: HttpRequest, queryset: QuerySet[Webhook]) -> None:
        """Disable, and keep what waits as skipped."""
        count = self._switch_all(request, queryset, on=False)
        told = ngettext("%(count)d webhook is disabled.", "%(count)d webhooks are disabled.", count)
        self.message_user(request, told % {"count": count}, messages.SUCCESS)

    @admin.action(description=_("Rotate the secret"), permissions=["change"])
    def rotate_secret(self, request: HttpRequest, queryset: QuerySet[Webhook]) -> HttpResponse | None:
        """Lead to the page that asks, and shows the new secret once."""
        keys = list(queryset.values_list("pk", flat=True)[:2])
        if len(keys) != 1:
            self.message_user(request, _("Select one webhook: a new secret is shown once."), messages.ERROR)
            return None
        return HttpResponseRedirect(reverse(f"{self.admin_site.name}:tms_webhooks_webhook_rotate", args=keys))

    def _switch_all(self, request: HttpRequest, webhooks: QuerySet[Webhook], *, on: bool) -> int:
        """Switch those of the organizations that this person manages; return how many."""
        # In the order of `Webhook.objects.hold`: the whole request may be one transaction.
        mine = [webhook for webhook in webhooks.order_by("pk") if self.has_change_permission(request, webhook)]
        for webhook in mine:
            self.switch(request, webhook, on=on)
            self.log_change(request, webhook, "Enabled." if on else "Disabled.")
        return len(mine)


def host_of(webhook: Webhook) -> str:
    """Return where a webhook goes, without path and query, which may hold credentials."""
    return urlsplit(webhook.url).netloc


def state_of(webhook: Webhook) -> str:
    """Say in a few words whether a webhook gets requests now, and why not."""
    if not webhook.enabled:
        return _("Disabled: %(reason)s") % {"reason": webhook.get_disabled_reason_display() or "-"}
    if webhook.is_awake(timezone.now()):
        return pgettext("webhook", "Enabled")
    return _("Paused until %(moment)s") % {"moment": moment(webhook.paused_until)}
