"""The filters of the logs: each offers a bounded number of choices, from the user's organizations only."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.contrib import admin, messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from tms_webhooks import catalogue
from tms_webhooks.admin.bases import TimeRangeForm
from tms_webhooks.admin.scope import organizations
from tms_webhooks.choices import Action
from tms_webhooks.models import Webhook

MAX_WEBHOOKS = 200
MAX_ORGANIZATIONS = 200

PERIODS = (
    ("hour", _("Last hour"), timedelta(hours=1)),
    ("day", _("Last 24 hours"), timedelta(hours=24)),
    ("week", _("Last 7 days"), timedelta(days=7)),
    ("month", _("Last 30 days"), timedelta(days=30)),
)


class WebhookFilter(admin.SimpleListFilter):
    """Offers the first webhooks by name. The page of every other webhook links to its own deliveries."""

    title = _("webhook")
    parameter_name = "webhook"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        """Return (id, name) of the webhooks that are not deleted."""
        webhooks = Webhook.objects.existing().filter(organization__in=organizations(request, Action.VIEW))
        return [(one.public_id, one.name) for one in webhooks.order_by("name", "pk").only("uid", "name")[:MAX_WEBHOOKS]]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep the rows of the selected webhook, which may also be one that was deleted."""
        value = self.value()
        if not value:
            return queryset
        found = Webhook.objects.filter(Webhook.by_public_id(value)).values_list("pk", flat=True).first()
        return queryset.none() if found is None else queryset.filter(webhook=found)


class OrganizationFilter(admin.SimpleListFilter):
    """Offers the organizations that have webhooks, if there are two or more."""

    title = _("organization")
    parameter_name = "organization"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        """Return (key, name) of each organization."""
        owners = Webhook.objects.order_by().values("organization")
        rows = organizations(request, Action.VIEW).filter(pk__in=owners)[:MAX_ORGANIZATIONS]
        found = [(str(one.pk), str(one)) for one in rows]
        return found if len(found) > 1 else []

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep the deliveries of its webhooks. A key that was not offered matches nothing."""
        value = self.value()
        if not value:
            return queryset
        if value not in {key for key, _name in self.lookup_choices}:
            return queryset.none()
        return queryset.filter(
            webhook__in=list(Webhook.objects.filter(Q(organization=value)).values_list("pk", flat=True))
        )


class TypeFilter(admin.SimpleListFilter):
    """Offers all event types of the catalogue."""

    title = _("event type")
    parameter_name = "type"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        """Return (name, name) of each event type."""
        return [(event_type.name, event_type.name) for event_type in catalogue.all_types()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep the events of the selected type."""
        return queryset.filter(type=self.value()) if self.value() else queryset


class EventTypeFilter(TypeFilter):
    """Offers all event types of the catalogue, for deliveries."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep the deliveries whose event is of the selected type."""
        return queryset.filter(event__type=self.value()) if self.value() else queryset


class TimeFilter(admin.SimpleListFilter):
    """Offers the last hour, day, week and month, and any other range, which wins."""

    title = _("time")
    parameter_name = "period"
    parameter_names = ("period", "since", "until")

    def __init__(self, request: HttpRequest, params: dict[str, Any], model: Any, model_admin: Any) -> None:
        """Read the range from ``params``."""
        self.range = {name: self._pop(params, name) for name in ("since", "until")}
        super().__init__(request, params, model, model_admin)

    @staticmethod
    def _pop(params: dict[str, Any], name: str) -> str:
        values = params.pop(name, [""])
        return str(values[-1]) if isinstance(values, list) else str(values)

    def expected_parameters(self) -> list[str | None]:
        """Return the names of the URL parameters."""
        return [*self.parameter_names]

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, Any]]:
        """Return (key, title) of each period."""
        return [(key, title) for key, title, _length in PERIODS]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep the rows of the range. An invalid time shows an error and matches nothing."""
        period = {key: length for key, _title, length in PERIODS}.get(str(self.value()))
        if period is not None and not any(self.range.values()):
            return queryset.filter(created_at__gte=timezone.now() - period)
        form = TimeRangeForm(self.range)
        if not form.is_valid():
            for name, errors in form.errors.items():
                message = f"{form.fields[name].label}: “{self.range[name][:40]}”: {' '.join(map(str, errors))}"
                messages.error(request, message)
            return queryset.none()
        since: datetime | None = form.cleaned_data["since"]
        until: datetime | None = form.cleaned_data["until"]
        if since is not None and until is not None and since >= until:
            messages.warning(request, _("From must be before Until."))
        rows = queryset if since is None else queryset.filter(created_at__gte=since)
        return rows if until is None else rows.filter(created_at__lt=until)
