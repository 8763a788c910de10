"""The logs: read-only tables that only the app writes. Their lists search and filter by indexes, and run no COUNT."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from random import Random
from time import monotonic
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.core.paginator import Page, Paginator
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from tms_webhooks import catalogue
from tms_webhooks.admin.bases import ScopedAdmin, may_view_webhooks, organizations, permits, report_ignored
from tms_webhooks.admin.formatting import EMPTY
from tms_webhooks.choices import Action
from tms_webhooks.conf import app_settings
from tms_webhooks.models import Delivery, Job, Webhook

MAX_ROWS = 1_000
MAX_WEBHOOKS = 200
MAX_ORGANIZATIONS = 200
FIRST_KEY_RANGE = 20_000
MAX_KEY_RANGE = 200_000
MAX_SEARCH_SECONDS = 0.5
SAMPLE = 1_000
LEAST_OF_SAMPLE = 20
"""From fewer matches, no number of rows is estimated."""
PERIODS = {
    "hour": (_("Last hour"), timedelta(hours=1)),
    "day": (_("Last 24 hours"), timedelta(hours=24)),
    "week": (_("Last 7 days"), timedelta(days=7)),
    "month": (_("Last 30 days"), timedelta(days=30)),
}


class TimeRangeForm(forms.Form):
    """A time range with two optional ends."""

    _widget = forms.DateTimeInput({"type": "datetime-local"}, format="%Y-%m-%dT%H:%M")
    since = forms.DateTimeField(label=_("From"), required=False, widget=_widget)
    until = forms.DateTimeField(label=_("Until"), required=False, widget=_widget, help_text=_("Empty: now."))


# Filters: each offers a bounded number of choices, from the user's organizations only


class WebhookFilter(admin.SimpleListFilter):
    """Offers the first webhooks by name, and the selected one: the page of each webhook links to its own deliveries.

    ``webhook`` is the selected one, unless it was deleted or the user may not view it.
    """

    title = _("webhook")
    parameter_name = "webhook"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        webhooks = Webhook.objects.existing().filter(organization__in=organizations(request, Action.VIEW))
        webhooks = webhooks.order_by("name", "pk").only("uid", "name", "organization")
        self.webhook = webhooks.filter(Webhook.by_public_id(self.value() or "")).first()
        return {row.public_id: row.name for row in [*webhooks[:MAX_WEBHOOKS], *filter(None, [self.webhook])]}.items()

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        """Keep the rows of the selected webhook, which may also be one that was deleted."""
        value = self.value()
        if not value:
            return queryset
        found = Webhook.objects.filter(Webhook.by_public_id(value)).values_list("pk", flat=True).first()
        return queryset.none() if found is None else queryset.filter(webhook=found)


class JobFilter(admin.SimpleListFilter):
    """Keeps the deliveries of the job that a link names. It offers no other job."""

    title = _("job")
    parameter_name = "job"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        value = self.value() or ""
        jobs = Job.objects.filter(webhook__organization__in=organizations(request, Action.VIEW))
        self.job = jobs.filter(Job.by_public_id(value)).first()
        return [(value, self.job.get_kind_display() if self.job else value)] if value else []

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        return queryset.filter(job=self.job.pk) if self.job else queryset.none()


class OrganizationFilter(admin.SimpleListFilter):
    """Offers the organizations that have webhooks, if there are two or more."""

    title = _("organization")
    parameter_name = "organization"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        owners = Webhook.objects.order_by().values("organization")
        rows = list(organizations(request, Action.VIEW).filter(pk__in=owners)[:MAX_ORGANIZATIONS])
        return [(str(row.pk), str(row)) for row in rows] if len(rows) > 1 else []

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        """Keep the deliveries of its webhooks. A key that was not offered matches nothing."""
        value = self.value()
        if not value:
            return queryset
        if value not in dict(self.lookup_choices):
            return queryset.none()
        keys = Webhook.objects.filter(Q(organization=value)).values_list("pk", flat=True)
        return queryset.filter(webhook__in=list(keys))


class TypeFilter(admin.SimpleListFilter):
    """Offers all event types of the catalogue, for deliveries or for events."""

    title = _("event type")
    parameter_name = "type"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return [(event_type.name, event_type.name) for event_type in catalogue.all_types()]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        path = "event__type" if queryset.model is Delivery else "type"
        return queryset.filter(**{path: self.value()}) if self.value() else queryset


class TimeFilter(admin.SimpleListFilter):
    """Offers the last hour, day, week and month, and any other range, which wins."""

    title = _("time")
    parameter_name = "period"
    parameter_names = ("period", "since", "until")

    def __init__(self, request: HttpRequest, params: dict[str, Any], model: Any, model_admin: Any) -> None:
        # The values of a parameter are a list.
        self.range = {name: str((params.pop(name, None) or [""])[-1]) for name in ("since", "until")}
        super().__init__(request, params, model, model_admin)

    def expected_parameters(self) -> list[str | None]:
        return [*self.parameter_names]

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, Any]]:
        return [(key, title) for key, (title, _length) in PERIODS.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        """Keep the rows of the range. An invalid time is ignored and named in a message."""
        period = PERIODS.get(str(self.value()))
        if period is not None and not any(self.range.values()):
            return queryset.filter(created_at__gte=timezone.now() - period[1])
        form = TimeRangeForm(self.range)
        for name in form.errors:
            report_ignored(request, name, self.range[name])
        since, until = map(form.cleaned_data.get, ("since", "until"))
        if since and until and since >= until:
            messages.warning(request, _("From must be before Until."))
        ends = {"created_at__gte": since, "created_at__lt": until}
        return queryset.filter(**{lookup: at for lookup, at in ends.items() if at})


# Pages


class BoundedPaginator(Paginator):
    """Shows the first 1,000 rows, and estimates how many there are, because counting a whole log is slow.

    It searches the primary keys from the newest back, one key range at a time. Matches among the newest rows are found
    fast whatever plan the database chooses. The search stops after `MAX_SEARCH_SECONDS`.
    """

    searched_keys: int | None = None
    """The number of keys searched, if the search stopped early."""

    @cached_property
    def all_keys(self) -> range:
        """The primary keys from the oldest to the newest row of the table."""
        rows: Any = self.object_list
        keys = rows.model._default_manager.values_list("pk", flat=True)
        oldest, newest = keys.order_by("pk").first(), keys.order_by("-pk").first()
        return range(0) if newest is None else range(oldest, newest + 1)

    @cached_property
    def keys(self) -> list[Any]:
        """The primary keys of the rows, at most 1,001: one more than is shown says that there are more."""
        rows: Any = self.object_list
        found: list[Any] = []
        newest, size, end = self.all_keys.stop - 1, FIRST_KEY_RANGE, monotonic() + MAX_SEARCH_SECONDS
        upper = newest
        while upper >= self.all_keys.start and len(found) <= MAX_ROWS:
            if upper < newest and monotonic() > end:
                self.searched_keys = newest - upper
                break
            matches = rows.filter(pk__gt=upper - size, pk__lte=upper).values_list("pk", flat=True)
            found += matches[: MAX_ROWS + 1 - len(found)]
            upper, size = upper - size, min(2 * size, MAX_KEY_RANGE)
        return found

    @cached_property
    def count(self) -> int:
        """The number of rows, at most 1,000."""
        return min(len(self.keys), MAX_ROWS)

    @cached_property
    def estimate(self) -> int | None:
        """About how many rows there are, from a sample of the keys: 0 if it is unknown, None if the list has all."""
        if len(self.keys) <= MAX_ROWS:
            return None
        # Random: deliveries of one event are next to each other, in the order of their webhooks.
        sample = Random(0).sample(self.all_keys, min(SAMPLE, len(self.all_keys)))  # noqa: S311
        rows: Any = self.object_list
        matches = len(rows.filter(pk__in=sample).values_list("pk"))
        total = int(float(f"{matches * len(self.all_keys) / len(sample):.2g}"))
        return total if matches >= LEAST_OF_SAMPLE and total > MAX_ROWS else 0

    def page(self, number: Any) -> Any:
        """Return the rows of one page, with the order, the joins and the deferred fields of the list."""
        number = self.validate_number(number)
        first = (number - 1) * self.per_page
        rows: Any = self.object_list
        # Filters all rows by key: the filters of the list were applied when the keys were read.
        selected = rows.model._default_manager.filter(pk__in=self.keys[first : min(first + self.per_page, MAX_ROWS)])
        for name in ("select_related", "deferred_loading", "order_by"):
            setattr(selected.query, name, getattr(rows.query, name))
        return Page(selected, number, self)


class LogAdmin(ScopedAdmin):
    """Read-only pages of a table that only the app writes."""

    paginator = BoundedPaginator
    list_per_page = 50
    show_full_result_count = False
    sortable_by = ()
    search_help_text = _(
        "Words of a name, in any order and without accents; an object, such as enrollment:42; any id; or an event type."
    )
    find: Any = None
    """The method that returns the rows for a search term, using an index; None without a search."""
    show: Any
    """The method that returns the page of a row."""

    def get_search_results(self, request: HttpRequest, queryset: QuerySet, search_term: str) -> tuple[QuerySet, bool]:
        """Search by key only: a text search would read the whole log."""
        term = search_term.strip()
        return (self.find(request, queryset, term) if term and self.find else queryset), False

    def list_context(self, request: HttpRequest, changelist: ChangeList) -> dict[str, Any]:
        """Add the webhook of a filtered log, which is one of its pages, and for how many days names are found."""
        specs = changelist.filter_specs if may_view_webhooks(request) else []
        return {
            **super().list_context(request, changelist),
            "webhook": next((spec.webhook for spec in specs if isinstance(spec, WebhookFilter)), None),
            "days": app_settings.KEEP_PAYLOADS_DAYS,
        }

    @admin.display(description=_("webhook"))
    def webhook_link(self, obj: Any) -> SafeString:
        """Return the webhook of a row, linked by its public id unless it was deleted or the user may not view it."""
        webhook: Webhook | None = obj.webhook
        if webhook is None or webhook.deleted_at or not obj.links_webhook:
            return format_html("{}", webhook.name if webhook else EMPTY)
        return format_html('<a href="{}" dir="auto">{}</a>', self.url("webhook_overview", webhook), webhook.name)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return whether a row may be deleted with its organization. These pages offer no way to delete one."""
        return obj is not None and super().has_delete_permission(request, obj)

    def has_resend_permission(self, request: HttpRequest) -> bool:
        """Return whether the user may send deliveries of at least one organization."""
        return permits(request, "change_delivery") and self.may(request, Action.REPLAY, None)

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        raise PermissionDenied

    def change_view(self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None) -> Any:
        """Show one row. Django refuses an unknown row, a row of others, and a change."""
        row = self.get_object(request, object_id)
        if request.method != "POST" and row is not None and self.has_view_permission(request, row):
            return self.show(request, row)
        return super().change_view(request, object_id, form_url, extra_context)
