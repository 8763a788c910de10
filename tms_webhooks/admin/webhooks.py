"""The pages of webhooks: the list with its actions, and what the form shows to whom. No page shows a header value."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar
from urllib.parse import urlencode, urlsplit

from django.contrib import admin, messages
from django.db.models import OuterRef, QuerySet, Subquery
from django.forms import Script
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext_lazy

from tms_webhooks.admin.bases import column, covers_children, linked_row, permits
from tms_webhooks.admin.formatting import EMPTY, format_moment
from tms_webhooks.admin.webhook_form import FormPages
from tms_webhooks.admin.words import cut, delivery_rows, health_dot, with_row_columns
from tms_webhooks.choices import Action
from tms_webhooks.conf import app_settings
from tms_webhooks.models import Delivery, Job, Webhook
from tms_webhooks.models.credentials import known_headers

# Fields that a new webhook does not have yet.
STATE_FIELDS = (
    "health",
    "header_names",
    "signing",
)


class HookFilter(admin.SimpleListFilter):
    """Separates hooks, which programs make for themselves, from other webhooks. Offered once there is a hook."""

    title = _("hooks")
    parameter_name = "hooks"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, Any]]:
        has_hooks = model_admin.get_queryset(request).filter(hook_of__gt="").exists()
        return [("only", _("Only hooks")), ("without", _("Without hooks"))] if has_hooks else []

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        """Keep hooks only, or other webhooks only."""
        kept = {"only": queryset.filter(hook_of__gt=""), "without": queryset.filter(hook_of="")}
        return kept.get(str(self.value()), queryset)


@admin.register(Webhook)
class WebhookAdmin(FormPages):
    """Webhooks of the user's organizations."""

    own_pages = (
        ("dashboard/", "dashboard", "overview.dashboard"),
        ("objects/", "webhook_objects", "form_parts.found_objects"),
        ("preview/", "webhook_preview", "form_parts.preview"),
        ("filters/", "webhook_filters", "form_parts.filters"),
        ("<str:key>/filters/", "webhook_filters_of", "form_parts.filters"),
        ("<str:key>/preview/", "webhook_preview_of", "form_parts.preview"),
        ("<str:key>/overview/", "webhook_overview", "overview.overview"),
        ("<str:key>/overview/<slug:slug>/", "webhook_action", "actions.action"),
        ("<str:key>/secret/", "webhook_secret", "secret_pages.secret"),
        ("<str:key>/secret/rotate/", "webhook_rotate", "secret_pages.rotate"),
        ("<str:key>/compare/", "webhook_compare", "comparison.comparison"),
        ("<str:key>/explain/", "webhook_explain", "events.explain_page"),
    )
    row_page = "overview"
    list_display = ("listed_name", "health", "host", "owner", "last_delivery")
    list_filter = ("enabled", "disabled_reason", "error_action", HookFilter)
    # The page of an organization links to its webhooks.
    linked_lookups = ("organization__id__exact",)
    search_fields = ("name",)
    show_full_result_count = False
    readonly_fields = STATE_FIELDS
    actions = ("enable_selected", "disable_selected")

    class Media:
        css: ClassVar = {"all": ("tms_webhooks/form.css",)}
        js = (Script("tms_webhooks/form.js", defer=True),)

    def get_urls(self) -> list[URLPattern]:
        """Return the pages. A test send must not keep a transaction open while it waits for the receiver."""
        from tms_webhooks.manage.tests import outside_transactions

        patterns = super().get_urls()
        for pattern in patterns:
            if pattern.name == "tms_webhooks_webhook_action":
                outside_transactions(pattern.callback)
        return patterns

    def webhook_page(self, request: HttpRequest, name: str, webhook: Webhook, **context: Any) -> HttpResponse:
        """Return a page about a webhook, with its tabs."""
        return self.page(request, f"webhook/{name}", webhook, **{"webhook": webhook, "is_subpage": True, **context})

    def may_use(self, request: HttpRequest, action: Action, webhook: Webhook) -> bool:
        """Return whether the user may do ``action`` in the webhook's organization and each child that it includes."""
        return self.may(request, action, webhook) and covers_children(request, action, webhook)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        may_delete = super().has_delete_permission(request, obj)
        return may_delete and (obj is None or self.may_use(request, Action.MANAGE, obj))

    def prepare_rows(self, request: HttpRequest, rows: list[Any]) -> None:
        """Read the health of the webhooks of a page in one query, and their last deliveries by the index of each webhook."""
        from tms_webhooks.monitoring.figures import health_by_webhook

        now, keys = timezone.now(), [webhook.pk for webhook in rows]
        last = Delivery.objects.filter(webhook=OuterRef("pk")).order_by("-pk").values("pk")[:1]
        listed = Webhook.objects.filter(pk__in=keys if permits(request, "view_delivery") else [])
        newest = list(listed.values_list(Subquery(last), flat=True))
        texts = delivery_rows([*with_row_columns(Delivery.objects.filter(pk__in=newest))], request, now=now)
        shown = {row["delivery"].webhook_id: format_html("{} {}", row["outcome"], row["when"]) for row in texts}
        found = health_by_webhook(rows, now=now)
        for webhook in rows:
            webhook.found_health, webhook.shown_delivery = found[webhook.pk], shown.get(webhook.pk)

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        """Return only webhooks that are not deleted."""
        return super().get_queryset(request).filter(deleted_at__isnull=True).select_related("organization", "state")

    def get_fieldsets(self, request: HttpRequest, obj: Webhook | None = None) -> Any:
        """Return the fieldsets without the fields that do not apply."""
        from tms_webhooks.admin.forms.credentials import CREDENTIAL_FIELDS

        may_change = obj is None or self.has_change_permission(request, obj)
        hidden = set() if app_settings.ORGANIZATION_PARENT else {"include_children"}
        hidden |= {"masked_url"} if may_change else {*CREDENTIAL_FIELDS, "url"}
        if obj is None:
            hidden.update(STATE_FIELDS)
        elif may_change and known_headers(obj.headers) is not None:
            hidden.add("header_names")  # The header lines name them.
        return [
            (title, {**options, "fields": [name for name in options["fields"] if name not in hidden]})
            for title, options in self.fieldsets
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: Webhook | None = None) -> tuple[str, ...]:
        """Make the organization read-only after creation: queued deliveries belong to it."""
        return self.readonly_fields if obj is None else ("organization", *self.readonly_fields)

    # Columns and read-only fields

    listed_name = column(
        _("name"),
        lambda webhook: format_html(
            "{}{}", cut(webhook.name), cut(str(_("Hook")), css="tms-small") if webhook.hook_of else ""
        ),
        ordering="name",
    )
    owner = column(
        Webhook._meta.get_field("organization").verbose_name,
        lambda webhook: str(webhook.organization),
        ordering="organization",
    )
    masked_url = column(_("URL"), lambda webhook: webhook.masked_url)
    host = column(_("host"), lambda webhook: cut(url_host(webhook)) if webhook.url else EMPTY)

    @admin.display(description=_("health"))
    def health(self, obj: Webhook) -> SafeString:
        """Return the health in its color and in a few words."""
        from tms_webhooks.monitoring.figures import health_by_webhook

        now = timezone.now()
        found = getattr(obj, "found_health", None) or health_by_webhook([obj], now=now)[obj.pk]
        return health_dot(obj, found, now=now)

    @admin.display(description=_("last delivery"))
    def last_delivery(self, obj: Any) -> str:
        """Return the outcome and the time of the last delivery, with a link to the delivery log."""
        if obj.shown_delivery is None:
            return EMPTY
        query = urlencode({"webhook": obj.public_id})
        return format_html('<a href="{}?{}">{}</a>', self.url("delivery_changelist"), query, obj.shown_delivery)

    @admin.display(description=_("current headers"))
    def header_names(self, obj: Webhook) -> str:
        """Return the names of the headers."""
        known = known_headers(obj.headers)
        if known is None:
            return str(_("They can't be read. Check the configured keys, or enter them again."))
        return ", ".join(known) or "-"

    @admin.display(description=_("signing secret"))
    def signing(self, obj: Webhook) -> SafeString:
        """Return the age of the secret, the end of older secrets, and links to the secret pages."""
        now = timezone.now()
        sentences = [
            _("Created %(moment)s.") % {"moment": format_moment(created_at)}
            if expires_at is None
            else _("An older secret is valid until %(moment)s.") % {"moment": format_moment(expires_at)}
            for created_at, expires_at in obj.secrets.order_by("-pk").values_list("created_at", "expires_at")
            if expires_at is None or expires_at > now
        ]
        return format_html(
            '{} <a href="{}">{}</a> · <a href="{}">{}</a>',
            " ".join(sentences) or _("No secret exists. Rotate it to create one."),
            self.url("webhook_secret", obj),
            _("Reveal it…"),
            self.url("webhook_rotate", obj),
            _("Rotate it…"),
        )

    # Changes

    def render_delete_form(self, request: HttpRequest, context: dict[str, Any]) -> Any:
        return super().render_delete_form(request, {**context, "object": linked_row(context["object"])})

    def get_deleted_objects(self, objs: Iterable[Webhook], request: HttpRequest) -> Any:
        """List the webhooks, without links, and count what ends with them. No other row is deleted."""
        keys = [webhook.pk for webhook in objs]
        ends = {
            _("Queued deliveries"): Delivery.objects.open().filter(webhook__in=keys).count(),
            _("Unfinished jobs"): Job.objects.unfinished().filter(webhook__in=keys).count(),
        }
        allowed = all(self.has_delete_permission(request, webhook) for webhook in objs)
        return [*map(str, objs)], ends, set() if allowed else {self.opts.verbose_name}, []

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet) -> None:
        """Delete the selected webhooks one by one, in the lock order of `Webhook.objects.lock`."""
        for webhook in queryset.order_by("pk"):
            self.delete_model(request, webhook)

    def delete_model(self, request: HttpRequest, obj: Webhook) -> None:
        """Delete the webhook and cancel its queued deliveries. Its log is kept."""
        from tms_webhooks.manage import webhooks

        webhooks.delete(obj, **self.by(request))

    @admin.action(description=_("Enable"), permissions=["change"])
    def enable_selected(self, request: HttpRequest, queryset: QuerySet) -> None:
        """Enable the selected webhooks, and reset their failure counts."""
        text = ngettext_lazy(
            "%(count)d webhook is enabled. Its missed events stay skipped until you send them.",
            "%(count)d webhooks are enabled. Their missed events stay skipped until you send them.",
            "count",
        )
        self._switch(request, queryset, "enable", text)

    @admin.action(description=_("Disable"), permissions=["change"])
    def disable_selected(self, request: HttpRequest, queryset: QuerySet) -> None:
        """Disable the selected webhooks, and keep their queued deliveries as skipped."""
        text = ngettext_lazy("%(count)d webhook is disabled.", "%(count)d webhooks are disabled.", "count")
        self._switch(request, queryset, "disable", text)

    def _switch(self, request: HttpRequest, queryset: QuerySet, verb: str, text: Any) -> None:
        """Enable or disable the webhooks that the user may manage, and report their number."""
        from tms_webhooks.manage import webhooks

        # In the lock order of `Webhook.objects.lock`: the whole request may be one transaction.
        allowed = [webhook for webhook in queryset.order_by("pk") if self.may_use(request, Action.MANAGE, webhook)]
        for webhook in allowed:
            getattr(webhooks, verb)(webhook, **self.by(request))
        self.message_user(request, text % {"count": len(allowed)}, messages.SUCCESS)


def url_host(webhook: Webhook) -> str:
    """Return the host of a webhook's URL, without path and query, which may hold credentials."""
    return urlsplit(webhook.url).netloc
