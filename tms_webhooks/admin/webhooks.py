"""The pages of webhooks: the list, and the form that adds and changes them. No page shows a header value."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from typing import Any, ClassVar
from urllib.parse import urlencode, urlsplit

from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import ValidationError
from django.db import IntegrityError, models, router, transaction
from django.db.models import Count, Q, QuerySet
from django.forms import ModelForm, Script
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from tms_webhooks.access import get_policy
from tms_webhooks.admin.bases import PublicIDChangeList
from tms_webhooks.admin.dashboard import DashboardPages
from tms_webhooks.admin.delivery_rows import cut
from tms_webhooks.admin.explain import ExplainPages
from tms_webhooks.admin.form_fragments import FragmentPages
from tms_webhooks.admin.formatting import EMPTY, format_count, format_moment
from tms_webhooks.admin.forms.fields import TrimmedTextField
from tms_webhooks.admin.scope import OrganizationChoice, covers_children, organizations
from tms_webhooks.admin.secret_pages import SecretPages
from tms_webhooks.choices import Action
from tms_webhooks.conf import app_settings
from tms_webhooks.exceptions import SecretError
from tms_webhooks.manage import subscriptions, webhooks
from tms_webhooks.manage.subscriptions import SubscriptionChanges
from tms_webhooks.models import Delivery, Job, Subscription, Webhook
from tms_webhooks.models.credentials import known_headers, read_headers

# Fields that a new webhook does not have yet.
STATE_FIELDS = (
    "health",
    "header_names",
    "credentials_shown",
    "failures",
    "failing_since",
    "succeeded_at",
    "paused_until",
    "held_until",
    "log",
    "signing",
)
HEALTH = "_tms_webhooks_health"
"""The attribute of a webhook in a list with its health."""
SAVED_COOKIE = "tms_webhooks_saved"
"""Holds the key of the form that was saved last, for the script. It is no secret."""
DAY_SECONDS = 86_400
"""Ids that a warning names."""
# The changed fields in Django's history entries.
HISTORY_FIELDS: Mapping[str, dict[str, list[str]]] = {"added": {}, "changed": {"fields": ["filters"]}, "deleted": {}}


class FormPages(OrganizationChoice, SecretPages):
    """The form pages: adding and changing a webhook."""

    formfield_overrides: ClassVar = {
        kind: {"form_class": TrimmedTextField} for kind in (models.CharField, models.TextField)
    }
    change_form_template = "admin/tms_webhooks/webhook/change_form.html"

    @property
    def form(self) -> type[ModelForm[Webhook]]:  # type: ignore[override]
        """The form. A process that shows none does not load its modules."""
        from tms_webhooks.admin.forms.webhook import WebhookForm

        return WebhookForm

    @property
    def fieldsets(self) -> Any:  # type: ignore[override]
        """The fieldsets of the form, which are loaded with it."""
        from tms_webhooks.admin.form_layout import FIELDSETS

        return FIELDSETS

    def get_form(self, request: HttpRequest, obj: Webhook | None = None, **kwargs: Any) -> Any:  # type: ignore[override]
        """Return the form class for this user. Header values entered into the form are usable by this user only."""
        kwargs.setdefault("change", obj is not None)
        form: Any = super().get_form(request, obj, **kwargs)
        form.user = request.user.pk
        form.may_include_children = staticmethod(partial(covers_children, request, Action.MANAGE))
        return form

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """Return a webhook. For a save, lock its row, so that the form detects a concurrent change."""
        using = router.db_for_write(Webhook)
        if request.method == "POST" and transaction.get_connection(using).in_atomic_block:
            rows = Webhook.objects.using(using).filter(self.by_url(request, object_id))
            rows.select_for_update().values_list("pk", flat=True).first()
        return super().get_object(request, object_id, from_field)

    # One form creates one webhook

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: Mapping[str, Any] | None = None,
    ) -> HttpResponse:
        """Redirect a form that was submitted twice to the webhook that it created."""
        # A new webhook leads to its secret, not to another form.
        context = {**(extra_context or {}), "show_save_and_add_another": False}
        if object_id is not None and request.method == "POST":
            deleted = self._deleted(request, object_id)
            if deleted is not None:
                return self._keep_text_of(deleted, request, context)
        if object_id is not None or request.method != "POST":
            context["show_save_and_continue"] = object_id is not None
            return super().changeform_view(request, object_id, form_url, context)
        created = self._created_by(request)
        if created is None:
            try:
                return super().changeform_view(request, None, form_url, {**context, "show_save_and_continue": False})
            except IntegrityError:
                # A second request with the same form was saved first.
                created = self._created_by(request)
                if created is None and not Webhook.objects.filter(form_key=_form_key(request)).exists():
                    raise
        if created is None:
            self.message_user(request, _("This form was submitted before. Start with a new one."), messages.WARNING)
            return HttpResponseRedirect(request.path)
        return HttpResponseRedirect(self._secret_url(created))

    def _deleted(self, request: HttpRequest, object_id: str) -> Webhook | None:
        """Return the webhook of a submitted form if another user has deleted it, and this one may add it again."""
        if not self.has_add_permission(request):
            return None
        rows = Webhook.objects.filter(
            self.by_url(request, object_id),
            deleted_at__isnull=False,
            organization__in=organizations(request, Action.MANAGE).order_by().values("pk"),
        )
        return rows.first()

    def _keep_text_of(self, deleted: Webhook, request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
        """Show the submitted values as a new webhook, which a further save adds."""
        from tms_webhooks.admin.forms.webhook import DELETED

        data = request.POST.copy()
        data.update({"organization": str(deleted.organization_id), DELETED: "1"})
        data["form_key"] = uuid.uuid4().hex
        request.POST = data  # type: ignore[assignment]
        page = reverse(f"{self.admin_site.name}:tms_webhooks_webhook_add")
        return super().changeform_view(request, None, page, {**context, "show_save_and_continue": False})

    def _created_by(self, request: HttpRequest) -> Webhook | None:
        key = _form_key(request)
        webhook: Webhook | None = None if key is None else self.get_queryset(request).filter(form_key=key).first()
        return webhook

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        """Return the page of the form, in its parts. A new row and restored input are announced, and are no errors."""
        from tms_webhooks.admin.form_layout import parts_of

        context = {**context, "parts": list(parts_of(context["adminform"]))}
        form = context["adminform"].form
        if form.has_only_notices:
            messages.info(request, " ".join(form.non_field_errors()))
            context["errors"] = None
        return super().render_change_form(request, context, *args, **kwargs)

    # Saving

    def save_model(self, request: HttpRequest, obj: Webhook, form: Any, change: bool) -> None:  # noqa: FBT001 (Django's)
        """Save only the changed fields, because a worker may have changed others since the form was opened, and the events."""
        by: Any = {"actor": get_policy().caller(request), "now": timezone.now()}
        wanted = form.events.wanted
        if not change:
            obj.form_key = form.cleaned_data.get("form_key")
            webhooks.create(obj, wanted, **by)
            self.remember_unseen(request, obj)
            return
        self._report_kept(request, form)
        webhooks.update(obj, form.changed_data, **by)
        if "enabled" in form.changed_data:
            verb = webhooks.enable if form.cleaned_data["enabled"] else webhooks.disable
            verb(obj, **by)
        form.saved_events = subscriptions.replace(obj, wanted, **by)

    # Messages

    def construct_change_message(self, request: HttpRequest, form: Any, formsets: Any, add: bool = False) -> Any:  # noqa: FBT001, FBT002 (Django's)
        """Add the added, changed and deleted events to the history entry."""
        message: Any = super().construct_change_message(request, form, formsets, add)
        if add:
            return message
        saved: SubscriptionChanges = form.saved_events
        changed = [after for _before, after in saved.changed]
        kinds = (("added", saved.added), ("changed", changed), ("deleted", saved.removed))
        with translation.override(None):
            name = str(Subscription._meta.verbose_name)  # Translated when the history is shown.
        return [
            *message,
            *(
                {kind: {**HISTORY_FIELDS[kind], "name": name, "object": one.event_type}}
                for kind, rows in kinds
                for one in rows
            ),
        ]

    def response_add(self, request: HttpRequest, obj: Webhook, post_url_continue: str | None = None) -> HttpResponse:
        """Redirect to the page that shows the secret once."""
        self.message_user(request, _("“%(name)s” was added.") % {"name": obj}, messages.SUCCESS)
        self._warn(request, obj)
        return self._mark_saved(request, HttpResponseRedirect(self._secret_url(obj)))

    def response_change(self, request: HttpRequest, obj: Webhook) -> HttpResponse:
        """Respond as Django does, with warnings if the webhook has no events, or tokens that are empty in some."""
        self._warn(request, obj)
        return self._mark_saved(request, super().response_change(request, obj))

    def _mark_saved(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        """Set a cookie with the key of the saved form, so that the script does not offer its draft again."""
        key = _form_key(request)
        if key is not None:
            path = reverse(f"{self.admin_site.name}:index")
            response.set_cookie(
                SAVED_COOKIE, key.hex, max_age=DAY_SECONDS, path=path, secure=request.is_secure(), samesite="Lax"
            )
        return response

    def _report_kept(self, request: HttpRequest, form: Any) -> None:
        """Say which changes of another user were kept."""
        if form.kept:
            message = _("%(user)s changed this webhook while you edited it. These changes were kept: %(labels)s.")
            values = {"user": form.last_editor, "labels": ", ".join(map(form.label_of, form.kept))}
            self.message_user(request, message % values, messages.INFO)

    def _warn(self, request: HttpRequest, webhook: Webhook) -> None:
        from tms_webhooks.admin.forms.filters import IDS
        from tms_webhooks.delivery import rendering
        from tms_webhooks.routing.filter_warnings import unknown_filter_ids, unknown_ids_warning

        patterns = list(webhook.subscriptions.values_list("event_type", flat=True))
        for warning in rendering.warnings_for(webhook, patterns):
            self.message_user(request, warning, messages.WARNING)
        for name, ids in unknown_filter_ids(webhook):
            self.message_user(request, unknown_ids_warning(IDS[name], ids), messages.WARNING)
        if not patterns:
            message = _("“%(name)s” has no events selected, so it receives nothing.")
            self.message_user(request, message % {"name": webhook}, messages.WARNING)


class WebhookChangeList(PublicIDChangeList):
    """Reads the health of the webhooks of a page in one query."""

    def get_results(self, request: HttpRequest) -> None:
        """Read the rows of the page."""
        from tms_webhooks.monitoring.figures import health_by_webhook

        super().get_results(request)
        webhooks = list(self.result_list)
        found = health_by_webhook(webhooks, now=timezone.now())
        for webhook in webhooks:
            setattr(webhook, HEALTH, found[webhook.pk])
        self.result_list: Any = webhooks


@admin.register(Webhook)
class WebhookAdmin(ExplainPages, DashboardPages, FormPages, FragmentPages):
    """Webhooks of the user's organizations."""

    list_display = ("listed_name", "listed_health", "host", "owner", "last_success", "log")
    list_filter = ("enabled", "disabled_reason", "error_action")
    list_select_related = ("organization",)
    # The page of an organization links to its webhooks.
    linked_lookups = ("organization__id__exact",)
    search_fields = ("name",)
    search_help_text = _("Search by name. Webhooks that you may manage are also found by their URL.")
    show_full_result_count = False
    readonly_fields = STATE_FIELDS
    actions = ("enable_selected", "disable_selected", "rotate_secret")

    class Media:
        css: ClassVar = {"all": ("tms_webhooks/pages.css", "tms_webhooks/form.css")}
        js = (Script("tms_webhooks/form.js", defer=True),)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        """Return the class that reads the list."""
        return WebhookChangeList

    def get_queryset(self, request: HttpRequest) -> QuerySet[Webhook]:
        """Return only webhooks that are not deleted."""
        return super().get_queryset(request).filter(deleted_at__isnull=True)

    def get_fieldsets(self, request: HttpRequest, obj: Webhook | None = None) -> Any:
        """Return the fieldsets without the fields that do not apply."""
        from tms_webhooks.admin.form_layout import EVENTS
        from tms_webhooks.admin.forms.credentials import FIELD_NAMES as CREDENTIAL_FIELDS

        hidden = set() if app_settings.ORGANIZATION_PARENT else {"include_children"}
        if obj is None:
            hidden |= set(STATE_FIELDS)
        elif self.has_change_permission(request, obj) and known_headers(obj.headers) is not None:
            hidden.add("header_names")  # The header lines name them.
        may_change = obj is None or self.has_change_permission(request, obj)
        hidden |= {"credentials_shown"} if may_change else {"authentication", *CREDENTIAL_FIELDS}
        visible: list[tuple[Any, dict[str, Any]]] = [
            (
                title,
                {
                    **options,
                    "fields": [
                        "masked_url" if name == "url" and not may_change else name
                        for name in options["fields"]
                        if name not in hidden
                    ],
                },
            )
            for title, options in self.fieldsets
        ]
        return [one for one in visible if one[1]["fields"] or EVENTS in one[1].get("classes", ())]

    def get_readonly_fields(self, request: HttpRequest, obj: Webhook | None = None) -> tuple[str, ...]:
        """Make the organization read-only after creation: queued deliveries belong to it."""
        return self.readonly_fields if obj is None else ("organization", *self.readonly_fields)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Search in names, and in the URLs of the webhooks that the user may manage: a URL may hold secrets."""
        found, may_repeat = super().get_search_results(request, queryset, search_term)
        term = search_term.strip()
        if not term or not super().has_change_permission(request):
            return found, may_repeat
        managed = Q(organization__in=organizations(request, Action.MANAGE).order_by().values("pk"), url__icontains=term)
        return queryset.filter(Q(pk__in=found.order_by().values("pk")) | managed), may_repeat

    # Columns and read-only fields

    @admin.display(description=_("name"), ordering="name")
    def listed_name(self, obj: Webhook) -> SafeString:
        """Return the name, cut where its column ends."""
        return cut(obj.name)

    @admin.display(description=Webhook._meta.get_field("organization").verbose_name, ordering="organization")
    def owner(self, obj: Webhook) -> SafeString:
        """Return the name of the organization, cut where its column ends."""
        return cut(str(obj.organization))

    @admin.display(description=_("health"))
    def listed_health(self, obj: Webhook) -> SafeString:
        """Return the health in its color."""
        from tms_webhooks.admin.health_text import health_line

        found = getattr(obj, HEALTH)
        line = health_line(obj, found, now=timezone.now())
        return format_html('<span class="tms-status tms-{}">{}</span>', found.word.value, line)

    @admin.display(description=_("last success"), ordering="succeeded_at")
    def last_success(self, obj: Webhook) -> str:
        """Return when the last delivery succeeded, with seconds."""
        return format_moment(obj.succeeded_at)

    @admin.display(description=_("URL"))
    def masked_url(self, obj: Webhook) -> str:
        """Return the URL without query values that look like secrets."""
        return obj.masked_url

    @admin.display(description=_("host"))
    def host(self, obj: Webhook) -> SafeString | str:
        """Return the host of the URL, cut where its column ends."""
        return cut(url_host(obj)) if obj.url else EMPTY

    @admin.display(description=_("health"))
    def health(self, obj: Webhook) -> str:
        """Return the health of the webhook in a few words."""
        from tms_webhooks.admin.health_text import health_line
        from tms_webhooks.monitoring.figures import health_by_webhook

        now = timezone.now()
        return health_line(obj, health_by_webhook([obj], now=now)[obj.pk], now=now)

    @admin.display(description=_("deliveries"))
    def log(self, obj: Webhook) -> str:
        """Return a link to the delivery log."""
        page = reverse(f"{self.admin_site.name}:tms_webhooks_delivery_changelist")
        return format_html('<a href="{}?{}">{}</a>', page, urlencode({"webhook": obj.public_id}), _("Log"))

    @admin.display(description=_("current headers"))
    def header_names(self, obj: Webhook) -> str:
        """Return the names of the headers."""
        try:
            return ", ".join(read_headers(obj.headers)) or "-"
        except SecretError:
            return str(_("They can't be decrypted with the configured keys. Enter them again."))
        except ValidationError:
            return str(_("They are not name=value lines. Enter them again."))

    @admin.display(description=_("authentication"))
    def credentials_shown(self, obj: Webhook) -> str:
        """Return the authentication in words, without secrets, for users who may not change it."""
        from tms_webhooks.admin.forms.credentials import described

        return described(obj)

    @admin.display(description=_("signing secret"))
    def signing(self, obj: Webhook) -> SafeString:
        """Return the age of the secret, the end of older secrets, and links to the secret pages."""
        now = timezone.now()
        sentences = []
        for created_at, expires_at in obj.secrets.order_by("-pk").values_list("created_at", "expires_at"):
            if expires_at is None:
                sentences.append(_("Created %(moment)s.") % {"moment": format_moment(created_at)})
            elif expires_at > now:
                sentences.append(
                    _("An older secret is valid until %(moment)s.") % {"moment": format_moment(expires_at)}
                )
        return format_html(
            '{} <a href="{}">{}</a> · <a href="{}">{}</a>',
            " ".join(sentences) or _("No secret exists. Rotate it to create one."),
            reverse(f"{self.admin_site.name}:tms_webhooks_webhook_secret", args=[obj.public_id]),
            _("Reveal it…"),
            reverse(f"{self.admin_site.name}:tms_webhooks_webhook_rotate", args=[obj.public_id]),
            _("Rotate it…"),
        )

    # Changes

    def get_deleted_objects(
        self, objs: Iterable[Webhook], request: HttpRequest
    ) -> tuple[list[Any], dict[Any, Any], set[Any], list[Any]]:
        """List the webhooks, each with the numbers of deliveries and jobs that end with it."""
        rows, *others = super().get_deleted_objects(objs, request)
        keys = [one.pk for one in objs]
        deliveries = _count_by_webhook(Delivery.objects.unclaimed(), keys)
        jobs = _count_by_webhook(Job.objects.unfinished(), keys)
        listed: list[Any] = []
        for key, row in zip(keys, rows, strict=True):
            effects = _effects_of_deletion(deliveries.get(key, 0), jobs.get(key, 0))
            listed += [row, effects] if effects else [row]
        return (listed, *others)  # type: ignore[return-value]

    def delete_model(self, request: HttpRequest, obj: Webhook) -> None:
        """Delete the webhook and cancel its queued deliveries. Its log is kept."""
        webhooks.delete(obj, actor=get_policy().caller(request), now=timezone.now())

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Webhook]) -> None:
        """Delete the selected webhooks, in the lock order of `Webhook.objects.lock`."""
        for webhook in queryset.order_by("pk"):
            self.delete_model(request, webhook)

    @admin.action(description=_("Enable"), permissions=["change"])
    def enable_selected(self, request: HttpRequest, queryset: QuerySet[Webhook]) -> None:
        """Enable the selected webhooks, and reset their failure counts."""
        count = self._switch_all(request, queryset, webhooks.enable, "Enabled.")
        message = ngettext(
            "%(count)d webhook is enabled. Its missed events stay skipped until you send them.",
            "%(count)d webhooks are enabled. Their missed events stay skipped until you send them.",
            count,
        )
        self.message_user(request, message % {"count": count}, messages.SUCCESS)

    @admin.action(description=_("Disable"), permissions=["change"])
    def disable_selected(self, request: HttpRequest, queryset: QuerySet[Webhook]) -> None:
        """Disable the selected webhooks, and keep their queued deliveries as skipped."""
        count = self._switch_all(request, queryset, webhooks.disable, "Disabled.")
        message = ngettext("%(count)d webhook is disabled.", "%(count)d webhooks are disabled.", count)
        self.message_user(request, message % {"count": count}, messages.SUCCESS)

    @admin.action(description=_("Rotate the secret"), permissions=["change"])
    def rotate_secret(self, request: HttpRequest, queryset: QuerySet[Webhook]) -> HttpResponse | None:
        """Redirect to the page that asks for confirmation and shows the new secret once."""
        keys = [webhook.public_id for webhook in queryset[:2]]
        if len(keys) != 1:
            self.message_user(request, _("Select one webhook only: its new secret is shown once."), messages.ERROR)
            return None
        return HttpResponseRedirect(reverse(f"{self.admin_site.name}:tms_webhooks_webhook_rotate", args=keys))

    def _switch_all(
        self, request: HttpRequest, queryset: QuerySet[Webhook], verb: Callable[..., None], history: str
    ) -> int:
        """Enable or disable the webhooks that the user may manage; return their number."""
        # In the lock order of `Webhook.objects.lock`: the whole request may be one transaction.
        allowed = [one for one in queryset.order_by("pk") if self.may_use(request, Action.MANAGE, one)]
        for webhook in allowed:
            verb(webhook, actor=get_policy().caller(request), now=timezone.now())
            self.log_change(request, webhook, history)
        return len(allowed)


def url_host(webhook: Webhook) -> str:
    """Return the host of a webhook's URL, without path and query, which may hold credentials."""
    return urlsplit(webhook.url).netloc


def _count_by_webhook(rows: QuerySet[Any], keys: Collection[int]) -> dict[int, int]:
    counted = rows.filter(webhook__in=keys).order_by().values("webhook").annotate(count=Count("*"))
    return dict(counted.values_list("webhook", "count"))


def _effects_of_deletion(deliveries: int, jobs: int) -> list[str]:
    cancelled = ngettext(
        "%(count)s queued delivery is cancelled.", "%(count)s queued deliveries are cancelled.", deliveries
    )
    ended = ngettext("%(count)s unfinished job ends.", "%(count)s unfinished jobs end.", jobs)
    texts = ((cancelled, deliveries), (ended, jobs))
    return [text % {"count": format_count(count)} for text, count in texts if count]


def _form_key(request: HttpRequest) -> uuid.UUID | None:
    try:
        return uuid.UUID(hex=request.POST.get("form_key", ""))
    except ValueError:
        return None
