"""The filters of lists. Unknown parameters and invalid values are rejected instead of ignored."""

from __future__ import annotations

import re
import uuid
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django_filters import rest_framework as filters
from django_filters.rest_framework import DjangoFilterBackend

from tms_webhooks import choices, event_names
from tms_webhooks.api.problems import (
    MAX_SHOWN,
    ErrorItem,
    Problem,
    problem_at,
    unknown_name_message,
)
from tms_webhooks.api.schema.shim import extend_schema_field
from tms_webhooks.api.serializers.base import EventIDField, IDField, OrganizationIDField, parse_utc
from tms_webhooks.choices import Action
from tms_webhooks.models import Event, Webhook
from tms_webhooks.models.audience import visible_to
from tms_webhooks.models.event import PUBLIC_PREFIX, Subject, delivered_as

_TIME_WITH_BLANK = re.compile(r"T[0-9:.]+ [0-9]{2}:?[0-9]{2}$")


def check_parameters(request: Any, view: Any) -> None:
    """Raise a `Problem` for query parameters that the view does not read, or that are blank.

    None of them may mean "all": a script with an empty variable would read the rows of all organizations.
    """
    known = {one.name for one in view.parameters.get(view.action, ()) if one.location == "query"}
    # The paginator checks its own: a loop over the feed begins with an empty `after`.
    paging = set()
    if view.action == "list" or view.action in view.paged:
        paging = {parameter["name"] for parameter in view.paginator.get_schema_operation_parameters(view)}
    if view.action == "list" and view.filterset_class is not None:
        known.update(view.filterset_class.base_filters)
    errors = []
    for name, values in request.query_params.lists():
        if name in paging:
            continue
        if name not in known:
            code, detail = "unknown", unknown_name_message(name, known | paging, kind="parameter")
        elif not all(map(str.strip, values)):
            code, detail = "blank", "Empty; set a value or omit the parameter."
        elif any("\0" in value for value in values):
            code, detail = "null_character", "Contains a NUL character; remove it."
        else:
            continue
        errors.append(ErrorItem("parameter", name[:MAX_SHOWN], code, detail))
    if errors:
        raise Problem("invalid-request", errors=errors)


class StrictFilterBackend(DjangoFilterBackend):
    """Filters lists with the view's filter set, and never a single object."""

    def filter_queryset(self, request: Any, queryset: Any, view: Any) -> Any:
        """Return the filtered rows; raise a `Problem` with an item for each invalid parameter."""
        filterset = None if view.detail else self.get_filterset(request, queryset, view)
        if filterset is None:
            return queryset
        errors: list[ErrorItem] = []
        for name, invalid in filterset.form.errors.as_data().items():
            # A plus means a blank in a URL.
            values = map(_TIME_WITH_BLANK.search, request.query_params.getlist(name))
            remedy = " In a URL, write %2B for +." if any(values) else ""
            for error in invalid:
                message = " ".join(error.messages)
                if error.code == "invalid_choice" and error.params:
                    valid = (str(value) for value, _label in filterset.form.fields[name].choices if value)  # type: ignore[attr-defined]
                    value = repr(str(error.params["value"])[:40])
                    message = f"{value} is not a valid choice; choose one of {', '.join(valid)}."
                errors.append(ErrorItem("parameter", name, error.code or "invalid", message + remedy))
        if errors:
            raise Problem("invalid-request", errors=errors)
        return filterset.qs


def visible_webhooks(view: Any) -> Any:
    """Return the webhooks that the caller may view, including deleted ones, whose log remains."""
    return view.scoped(Webhook.objects.all(), path="organization")


def visible_events(view: Any) -> Any:
    """Return the events that the caller may view, without regard to payloads."""
    return Event.objects.filter(visible_to(view.organizations(Action.VIEW).order_by().values("pk")))


def referenced(rows: Any, key: str, name: str) -> Any:
    """Return the row with the id in a parameter; raise a `Problem` if these rows have none."""
    row = rows.filter(rows.model.by_public_id(key)).first()
    if row is None:
        detail = f"Unknown {rows.model._meta.model_name}; use the id of one of yours."
        raise problem_at("parameter", name, "unknown", detail, kind="not-found")
    return row


def validate_event_pattern(value: str) -> None:
    """Raise ``ValidationError`` for a name or pattern that matches no event type."""
    if not event_names.is_pattern_known(value):
        similar = event_names.did_you_mean(event_names.nearest_patterns(value))
        raise ValidationError(f"Unknown event type or pattern.{similar}", code="unknown")


def validate_subject(value: str) -> None:
    """Raise ``ValidationError`` for a text that is not a noun, a colon and an id."""
    try:
        Subject.parse(value)
    except ValueError as error:
        raise ValidationError(str(error), code="invalid") from error


class UTCDateTimeFormField(forms.CharField):
    """The form field of `UTCDateTimeFilter`: the same syntax as in bodies."""

    def to_python(self, value: Any) -> Any:
        return None if value in self.empty_values else parse_utc(value)


class UTCDateTimeFilter(filters.Filter):
    """A filter by a time with an offset."""

    field_class = UTCDateTimeFormField


class OrganizationFilterSet(filters.FilterSet):
    """The filter by organization."""

    organization = extend_schema_field(OrganizationIDField.json_schema)(filters.CharFilter(method="by_organization"))

    def by_organization(self, queryset: Any, name: str, value: str) -> Any:
        """Return the rows of an organization that the caller may view; raise a `Problem` for another one."""
        view: Any = self.request.parser_context["view"]  # type: ignore[union-attr]
        view.find_organization(value, "parameter", name)
        return queryset.filter(**{view.organization_path: value})


class WebhookFilterSet(OrganizationFilterSet):
    """Filters of webhooks."""

    # django-filter's own filter ignores all other values.
    enabled = extend_schema_field({"type": "boolean"})(
        # As a function, which drf-spectacular 0.29 does not call: it fails on choices of this class.
        filters.TypedChoiceFilter(
            choices=lambda: {"true": "true", "false": "false"}, coerce=lambda value: value == "true"
        )
    )
    name = filters.CharFilter(lookup_expr="icontains")
    url = filters.CharFilter()
    format = filters.ChoiceFilter(choices=choices.PayloadFormat.choices)


class HookFilterSet(filters.FilterSet):
    """Filters of hooks."""

    target_url = filters.CharFilter("url")


class WebhookRelatedFilterSet(filters.FilterSet):
    """The filter by webhook, for the lists of rows that belong to one."""

    webhook = extend_schema_field(IDField.json_schema)(filters.CharFilter(method="by_webhook"))

    def by_webhook(self, queryset: Any, name: str, value: str) -> Any:
        """Return the rows of a webhook that the caller may view; raise a `Problem` for another one."""
        visible = visible_webhooks(self.request.parser_context["view"])  # type: ignore[union-attr]
        return queryset.filter(webhook=referenced(visible, value, name))


class DeliveryFilterSet(OrganizationFilterSet, WebhookRelatedFilterSet):
    """Filters of deliveries."""

    # Not distinct: the query returns no row twice, and DISTINCT would compare whole rows.
    status = filters.MultipleChoiceFilter(choices=choices.DeliveryStatus.choices, distinct=False)
    error_class = filters.ChoiceFilter(choices=choices.ErrorClass.choices)
    event_type = filters.CharFilter(method="by_event_type", validators=[validate_event_pattern])
    event = extend_schema_field(EventIDField.json_schema)(
        filters.CharFilter(
            method="by_event",
            validators=[
                RegexValidator(rf"^{PUBLIC_PREFIX}[0-9a-f]{{32}}\Z", "Use an event id: evt_ and 32 hexadecimal digits.")
            ],
        )
    )
    subject = filters.CharFilter(method="by_subject", validators=[validate_subject])
    external_id = filters.CharFilter(method="by_external_id")
    created_after = UTCDateTimeFilter("created_at", "gte")
    created_before = UTCDateTimeFilter("created_at", "lt")

    def by_event_type(self, queryset: Any, name: str, value: str) -> Any:
        """Return the deliveries of events whose type matches a name or pattern."""
        return queryset.filter(event__type__in=event_names.matching(value))

    def by_event(self, queryset: Any, name: str, value: str) -> Any:
        """Return the deliveries of one event."""
        return queryset.filter(event__uid=uuid.UUID(hex=value.removeprefix(PUBLIC_PREFIX)))

    def by_subject(self, queryset: Any, name: str, value: str) -> Any:
        """Return the deliveries of the events of one object, such as ``class:8840``."""
        return queryset.filter(delivered_as(Subject.parse(value).events))

    def by_external_id(self, queryset: Any, name: str, value: str) -> Any:
        """Return the deliveries of the events of objects with this id in the customer's own system."""
        return queryset.filter(delivered_as(Event.objects.with_external_id(value)))


class JobFilterSet(WebhookRelatedFilterSet):
    """Filters of jobs."""

    status = filters.MultipleChoiceFilter(choices=choices.JobStatus.choices, distinct=False)
    kind = filters.ChoiceFilter(choices=choices.JobKind.choices)
