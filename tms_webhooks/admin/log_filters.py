"""What the delivery log is filtered by: each offers a bounded number of choices, and none of another organization."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import Field, Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from tms_webhooks import catalogue
from tms_webhooks.admin.scope import organizations
from tms_webhooks.choices import Action
from tms_webhooks.models import Webhook

MOST_WEBHOOKS = 200
MOST_ORGANIZATIONS = 200

PERIODS = (
    ("hour", _("Last hour"), timedelta(hours=1)),
    ("day", _("Last 24 hours"), timedelta(hours=24)),
    ("week", _("Last 7 days"), timedelta(days=7)),
    ("month", _("Last 30 days"), timedelta(days=30)),
)


class WebhookFilter(admin.RelatedFieldListFilter):
    """Offers the first webhooks by name. Any other one is reached by the link on its own page."""

    def field_choices(self, field: Field[Any, Any], request: HttpRequest, model_admin: Any) -> list[tuple[Any, Any]]:
        """Return (key, name) of webhooks that exist."""
        webhooks = Webhook.objects.existing().filter(organization__in=organizations(request, Action.VIEW))
        return list[tuple[Any, Any]](webhooks.order_by("name", "pk").values_list("pk", "name")[:MOST_WEBHOOKS])


class OrganizationFilter(admin.SimpleListFilter):
    """Offers the organizations that have webhooks, where these are several."""

    title = _("organization")
    parameter_name = "organization"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        """Return (key, name) of each."""
        having = Webhook.objects.order_by().values("organization")
        rows = organizations(request, Action.VIEW).filter(pk__in=having)[:MOST_ORGANIZATIONS]
        found = [(str(one.pk), str(one)) for one in rows]
        return found if len(found) > 1 else []

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep the deliveries to its webhooks. What is no key of one that was offered finds nothing."""
        value = self.value()
        if not value:
            return queryset
        if value not in {key for key, _name in self.lookup_choices}:
            return queryset.none()
        return queryset.filter(
            webhook__in=list(Webhook.objects.filter(Q(organization=value)).values_list("pk", flat=True))
        )


class TypeFilter(admin.SimpleListFilter):
    """Offers the types of the catalogue, without looking which of them occur."""

    title = _("event type")
    parameter_name = "type"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        """Return every name twice, as Django wants it."""
        return [(event_type.name, event_type.name) for event_type in catalogue.all_types()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep those of the chosen type."""
        return queryset.filter(type=self.value()) if self.value() else queryset


class EventTypeFilter(TypeFilter):
    """The same for deliveries."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep those whose event is of the chosen type."""
        return queryset.filter(event__type=self.value()) if self.value() else queryset


class _RangeForm(forms.Form):
    since = forms.DateTimeField(label=_("From"), required=False)
    until = forms.DateTimeField(label=_("Until"), required=False)


class TimeFilter(admin.SimpleListFilter):
    """Offers the last hour, day, week and month, and any other range by a form."""

    title = _("time")
    parameter_name = "period"
    template = "admin/tms_webhooks/time_filter.html"

    def __init__(self, request: HttpRequest, params: dict[str, Any], model: Any, model_admin: Any) -> None:
        """Take the two ends of a range, which are parameters of their own, and keep the others for the form."""
        self.range = {name: self._taken(params, name) for name in ("since", "until")}
        super().__init__(request, params, model, model_admin)
        kept = [(name, value) for name, values in request.GET.lists() for value in values]
        self.kept = [(name, value) for name, value in kept if name not in (*self.expected_parameters(), "p")]

    @staticmethod
    def _taken(params: dict[str, Any], name: str) -> str:
        values = params.pop(name, [""])
        return str(values[-1]) if isinstance(values, list) else str(values)

    def expected_parameters(self) -> list[str | None]:
        """Name the parameters of the address."""
        return ["period", "since", "until"]

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, Any]]:
        """Return the ranges that end now."""
        return [(key, title) for key, title, _long in PERIODS]

    def choices(self, changelist: Any) -> Iterator[Any]:
        """Return the links; each leaves out a range that was typed."""
        chosen, typed = self.value(), any(self.range.values())
        for key, title in [(None, _("All")), *self.lookup_choices]:
            yield {
                "selected": chosen == key and not (key is None and typed),
                "query_string": changelist.get_query_string({"period": key}, ["since", "until"]),
                "display": title,
            }

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep those of the range. What is no time is told, and finds nothing."""
        long = {key: length for key, _title, length in PERIODS}.get(str(self.value()))
        if long is not None:
            return queryset.filter(created_at__gte=timezone.now() - long)
        form = _RangeForm(self.range)
        if not form.is_valid():
            for name, errors in form.errors.items():
                told = f"{form.fields[name].label}: “{self.range[name][:40]}”: {' '.join(map(str, errors))}"
                messages.error(request, told)
            return queryset.none()
        since: datetime | None = form.cleaned_data["since"]
        until: datetime | None = form.cleaned_data["until"]
        rows = queryset if since is None else queryset.filter(created_at__gte=since)
        return rows if until is None else rows.filter(created_at__lt=until)
