"""The page of a webhook. It never shows a secret or a header's value; a new secret is told once, when it is made."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from urllib.parse import urlencode, urlsplit

from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import formats, timezone
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from tms_webhooks.admin.bases import TabularInline
from tms_webhooks.admin.forms import SubscriptionForm, SubscriptionFormSet, WebhookForm
from tms_webhooks.admin.overview import OverviewPages
from tms_webhooks.choices import DisabledReason
from tms_webhooks.delivery import health
from tms_webhooks.exceptions import SecretError
from tms_webhooks.models import Subscription, Webhook
from tms_webhooks.models.encryption import reveal
from tms_webhooks.validators import parse_headers

# What only a webhook that exists has.
LIVED = ("state", "header_names", "failures", "failing_since", "succeeded_at", "paused_until", "log", "signing")


class SubscriptionInline(TabularInline):
    """What a webhook wants."""

    model = Subscription
    form = SubscriptionForm
    formset = SubscriptionFormSet
    fields = ("event_type", "more_than_days", "less_than_days")
    extra = 1


@admin.register(Webhook)
class WebhookAdmin(OverviewPages):
    """Webhooks of the organizations that the signed-in person may see."""

    form = WebhookForm
    inlines = (SubscriptionInline,)
    list_display = ("name", "organization", "host", "state", "failures", "succeeded_at", "log")
    list_filter = ("enabled", "disabled_reason", "error_action")
    list_select_related = ("organization",)
    search_fields = ("name", "url")
    show_full_result_count = False
    readonly_fields = LIVED
    save_on_top = True
    actions = ("enable_selected", "disable_selected", "rotate_secrets")
    fieldsets = (
        (_("What"), {"fields": ("organization", "name", "enabled", "state", "log")}),
        (
            _("Where"),
            {
                "fields": (
                    "verb",
                    "url",
                    "headers",
                    "header_names",
                    "timeout_seconds",
                    "delay_seconds",
                    "ordered",
                    "max_in_flight",
                    "rate_limit_per_second",
                )
            },
        ),
        (
            _("Body"),
            {
                "fields": ("format", "payload", "content", "payload_version"),
                "description": _(
                    "Tokens are paths into the standard event, such as {data.user.email}, or names of the training "
                    "system’s API, such as {UserEmail}; {id} is the event’s id, {data.id} that of what it tells of."
                ),
            },
        ),
        (
            _("When it fails"),
            {
                "fields": (
                    "schedule",
                    "max_retries",
                    "error_action",
                    "contacts",
                    "failures",
                    "failing_since",
                    "paused_until",
                    "succeeded_at",
                )
            },
        ),
        (
            _("Security"),
            {
                "fields": ("signing",),
                "description": _(
                    "A signing secret is shown once, when it is made. To get a new one, select the webhook in the list and "
                    "choose “Rotate the secret”: the old one goes on signing beside it for a while."
                ),
            },
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Webhook]:
        """Leave out the deleted ones."""
        return super().get_queryset(request).filter(deleted_at__isnull=True)

    def get_fieldsets(self, request: HttpRequest, obj: Webhook | None = None) -> Any:
        """Ask of a new webhook only what there is to say of it."""
        if obj is not None:
            return self.fieldsets
        asked = [
            (title, {**options, "fields": [name for name in options["fields"] if name not in LIVED]})
            for title, options in self.fieldsets
        ]
        return [(title, options) for title, options in asked if options["fields"]]

    def get_readonly_fields(self, request: HttpRequest, obj: Webhook | None = None) -> tuple[str, ...]:
        """Let nobody give a webhook away: what waits for it belongs to its organization."""
        return self.readonly_fields if obj is None else ("organization", *self.readonly_fields)

    def get_autocomplete_fields(self, request: HttpRequest) -> tuple[str, ...]:
        """Search for the organization where the host's own page of it can be searched."""
        owner: Any = Webhook._meta.get_field("organization").related_model
        page = self.admin_site._registry.get(owner)
        return ("organization",) if page is not None and page.get_search_fields(request) else ()

    # Columns and read-only fields

    @admin.display(description=_("host"))
    def host(self, obj: Webhook) -> str:
        """Show where it goes, without path and query."""
        return urlsplit(obj.url).netloc

    @admin.display(description=_("state"))
    def state(self, obj: Webhook) -> str:
        """Say whether it gets requests now, and why not."""
        if not obj.enabled:
            return _("Disabled: %(reason)s") % {"reason": obj.get_disabled_reason_display() or "-"}
        if obj.is_awake(timezone.now()):
            return str(_("Enabled"))
        return _("Paused until %(moment)s") % {"moment": _moment(obj.paused_until)}

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
    def signing(self, obj: Webhook) -> str:
        """Say since when the secret signs, and until when older ones do."""
        now = timezone.now()
        told = []
        for created_at, expires_at in obj.secrets.order_by("-pk").values_list("created_at", "expires_at"):
            if expires_at is None:
                told.append(_("Made %(moment)s.") % {"moment": _moment(created_at)})
            elif expires_at > now:
                told.append(_("An older one signs until %(moment)s.") % {"moment": _moment(expires_at)})
        return " ".join(told) or str(_("There is none: rotate it."))

    # Changes

    def save_model(self, request: HttpRequest, obj: Webhook, form: Any, change: bool) -> None:  # noqa: FBT001 (Django's)
        """Write what the form changed, by name: a worker may have written the rest in the meantime."""
        now = timezone.now()
        if not change:
            if not obj.enabled:
                obj.disabled_reason, obj.disabled_at = DisabledReason.ADMIN, now
            obj.save()
            (secret,) = obj.signing_secrets(now)
            self._tell_secret(request, obj, secret)
            return
        changed = [name for name in form.changed_data if name != "enabled"]
        if changed:
            obj.save(update_fields=[*changed, "updated_at"])
        if "enabled" in form.changed_data:
            wanted, obj.enabled = obj.enabled, form.initial["enabled"]
            _switch(obj, on=wanted, now=now)

    def delete_model(self, request: HttpRequest, obj: Webhook) -> None:
        """Delete it, and call off what waits; its log stays."""
        health.delete(obj, now=timezone.now())

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Webhook]) -> None:
        """Delete those that are selected, in the same way."""
        for webhook in queryset:
            health.delete(webhook, now=timezone.now())

    def get_deleted_objects(
        self, objs: Iterable[Any], request: HttpRequest
    ) -> tuple[list[Any], dict[Any, Any], set[Any], list[Any]]:
        """Name the webhooks alone: nothing else goes with them."""
        webhooks = [str(webhook) for webhook in objs]
        allowed = self.has_delete_permission(request)
        return (
            webhooks,
            {self.opts.verbose_name_plural: len(webhooks)},
            set() if allowed else {self.opts.verbose_name},
            [],
        )

    @admin.action(description=_("Enable"), permissions=["change"])
    def enable_selected(self, request: HttpRequest, queryset: QuerySet[Webhook]) -> None:
        """Enable, and forget the failures."""
        self._switch_all(request, queryset, on=True)
        count = len(queryset)
        told = ngettext(
            "%(count)d webhook is enabled. What it missed stays skipped until somebody replays it.",
            "%(count)d webhooks are enabled. What they missed stays skipped until somebody replays it.",
            count,
        )
        self.message_user(request, told % {"count": count}, messages.SUCCESS)

    @admin.action(description=_("Disable"), permissions=["change"])
    def disable_selected(self, request: HttpRequest, queryset: QuerySet[Webhook]) -> None:
        """Disable, and keep what waits as skipped."""
        self._switch_all(request, queryset, on=False)
        count = len(queryset)
        told = ngettext("%(count)d webhook is disabled.", "%(count)d webhooks are disabled.", count)
        self.message_user(request, told % {"count": count}, messages.SUCCESS)

    @admin.action(description=_("Rotate the secret"), permissions=["change"])
    def rotate_secrets(self, request: HttpRequest, queryset: QuerySet[Webhook]) -> None:
        """Give each a new secret, and tell it this once."""
        for webhook in queryset:
            secret = webhook.rotate_secret(now=timezone.now())
            self.log_change(request, webhook, "Rotated the secret.")
            self._tell_secret(request, webhook, secret)

    def _switch_all(self, request: HttpRequest, webhooks: Iterable[Webhook], *, on: bool) -> None:
        for webhook in webhooks:
            _switch(webhook, on=on, now=timezone.now())
            self.log_change(request, webhook, "Enabled." if on else "Disabled.")

    def _tell_secret(self, request: HttpRequest, webhook: Webhook, secret: str) -> None:
        told = _("%(name)s: the signing secret, shown this once, is %(secret)s") % {"name": webhook, "secret": secret}
        self.message_user(request, told, messages.WARNING)


def _switch(webhook: Webhook, *, on: bool, now: datetime) -> None:
    if on:
        health.enable(webhook, now=now)
    else:
        health.disable(webhook, reason=DisabledReason.ADMIN, now=now)


def _moment(value: datetime | None) -> str:
    if value is None:
        return "-"
    return str(formats.localize(timezone.localtime(value) if timezone.is_aware(value) else value))
