"""The filters and orderings of lists. Unknown parameters and invalid values are rejected instead of ignored."""

from __future__ import annotations

import re
import uuid
from collections.abc import Collection, Sequence
from typing import Any

import django_filters
from django import forms
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django_filters import ModelChoiceFilter, MultipleChoiceFilter
from django_filters import rest_framework as filters
from django_filters.fields import ModelChoiceField
from django_filters.rest_framework import DjangoFilterBackend

from tms_webhooks import choices, event_names
from tms_webhooks.api.problems import (
    MAX_SHOWN,
    ErrorItem,
    InvalidRequest,
    UnknownReference,
    did_you_mean,
    unknown_name_message,
)
from tms_webhooks.api.schema.shim import extend_schema_field
from tms_webhooks.api.serializers.base import (
    EventIDField,
    IDField,
    OrganizationIDField,
    parse_utc,
)
from tms_webhooks.choices import Action
from tms_webhooks.models import Event, Webhook
from tms_webhooks.models.event import PUBLIC_PREFIX
from tms_webhooks.models.organization import has_whole_number_key
from tms_webhooks.models.subjects import Subject, delivered_as

_TIME_WITH_BLANK = re.compile(r"T[0-9:.]+ [0-9]{2}:?[0-9]{2}$")


class StrictFilterBackend(DjangoFilterBackend):
    """Filters lists with the view's filter set, and never a single object."""

    def filter_queryset(self, request: Any, queryset: Any, view: Any) -> Any:
        """Return the filtered rows; raise `InvalidRequest` with an item for each invalid parameter.

        Raise `UnknownReference` for an object that does not exist or that the caller may not view.
        """
        filterset = None if view.detail else self.get_filterset(request, queryset, view)
        if filterset is None:
            return queryset
        invalid = filterset.form.errors.as_data()
        errors: list[ErrorItem] = []
        unknown: list[ErrorItem] = []
        for name, one in filterset.filters.items():
            values = request.query_params.getlist(name)
            if malformed := malformed_parameter(name, values, is_list=isinstance(one, MultipleChoiceFilter)):
                errors.append(malformed)
                continue
            # A plus means a blank in a URL.
            remedy = " In a URL, write %2B for +." if any(map(_TIME_WITH_BLANK.search, values)) else ""
            for error in invalid.get(name, ()):
                if isinstance(one, ModelChoiceFilter) and error.code == "invalid_choice":
                    detail = f"Unknown {name}; use the id of one of yours."
                    unknown.append(ErrorItem("parameter", name, "unknown", detail))
                else:
                    message = _message(filterset.form.fields[name], error) + remedy
                    errors.append(ErrorItem("parameter", name, error.code or "invalid", message))
        if unknown:
            raise UnknownReference("A filter names an unknown object.", *unknown)
        if errors:
            raise InvalidRequest("A filter is invalid.", *errors)
        return filterset.qs


def require_known_parameters(request: Any, view: Any) -> None:
    """Raise `InvalidRequest` for query parameters that the view does not read, with the most similar known names."""
    known = _known_parameters(view)
    errors = [
        ErrorItem("parameter", name[:MAX_SHOWN], "unknown", unknown_name_message(name, known, kind="parameter"))
        for name in request.query_params
        if name not in known
    ]
    if errors:
        raise InvalidRequest(errors[0].detail, *errors)


def malformed_parameter(name: str, values: Sequence[str], *, is_list: bool = False) -> ErrorItem | None:
    """Return the error of a parameter that is blank, repeated though it is no list, or has a NUL character; or else None.

    None of them may mean "all": a script with an empty variable would read the rows of all organizations.
    """
    if any(not value.strip() for value in values):
        return ErrorItem("parameter", name, "blank", "Empty; set a value or omit the parameter.")
    if len(values) > 1 and not is_list:
        return ErrorItem("parameter", name, "repeated", f"Given {len(values)} times; give it once.")
    if any("\0" in value for value in values):
        return ErrorItem("parameter", name, "null_character", "Contains a NUL character; remove it.")
    return None


def _message(field: Any, error: ValidationError) -> str:
    """Return the message of a form field's error; for an invalid choice with the valid ones."""
    if error.code != "invalid_choice" or not error.params:
        return " ".join(error.messages)
    names = ", ".join(str(value) for value, _label in field.choices if value)
    return f"{str(error.params['value'])[:40]!r} is not a valid choice; choose one of {names}."


def _known_parameters(view: Any) -> Collection[str]:
    known = {one.name for one in view.parameters.get(view.action, ()) if one.location == "query"}
    if view.action == "list" or view.action in view.paged:
        known |= {parameter["name"] for parameter in view.paginator.get_schema_operation_parameters(view)}
    if view.action == "list" and view.filterset_class is not None:
        known |= set(view.filterset_class.base_filters)
    return known


WHOLE_NUMBER = re.compile(r"-?[0-9]{1,20}")
EVENT_ID_PATTERN = re.compile(rf"{PUBLIC_PREFIX}[0-9a-f]{{32}}")


def visible_organizations(request: Any) -> Any:
    """Return the organizations that the caller may view."""
    return request.parser_context["view"].organizations(Action.VIEW)


def visible_webhooks(request: Any) -> Any:
    """Return the webhooks that the caller may view, including deleted ones, whose log remains."""
    return request.parser_context["view"].scoped(Webhook.objects.all(), path="organization")


def validate_event_pattern(value: str) -> None:
    """Raise ``ValidationError`` for a name or pattern that matches no event type."""
    if not event_names.is_pattern_known(value):
        similar = did_you_mean(event_names.nearest_patterns(value))
        raise ValidationError(f"Unknown event type or pattern.{similar}", code="unknown")


def validate_subject(value: str) -> None:
    """Raise ``ValidationError`` for a text that is not a noun, a colon and an id."""
    try:
        Subject.parse(value)
    except ValueError as error:
        raise ValidationError(str(error), code="invalid") from error


def boolean_filter(**kwargs: Any) -> filters.TypedChoiceFilter:
    """Return a filter by ``true`` or ``false``. django-filter's own filter ignores all other values."""
    choices = (("true", "true"), ("false", "false"))
    one = filters.TypedChoiceFilter(choices=choices, coerce=lambda value: value == "true", **kwargs)
    return extend_schema_field({"type": "boolean"})(one)


class OrganizationFormField(ModelChoiceField):
    """The form field of `OrganizationChoiceFilter`."""

    def to_python(self, value: Any) -> Any:
        if value and has_whole_number_key() and not WHOLE_NUMBER.fullmatch(str(value)):
            raise ValidationError("Expected a whole number; use the id of one of your organizations.", code="invalid")
        return super().to_python(value)


class OrganizationChoiceFilter(filters.ModelChoiceFilter):
    """A filter by an organization that the caller may view."""

    field_class = OrganizationFormField


def organization_filter(**kwargs: Any) -> filters.ModelChoiceFilter:
    """Return a filter by an organization that the caller may view."""
    one = OrganizationChoiceFilter(queryset=visible_organizations, **kwargs)  # type: ignore[arg-type]
    return extend_schema_field(OrganizationIDField.json_schema)(one)


class UTCDateTimeFormField(forms.CharField):
    """The form field of `UTCDateTimeFilter`: the same syntax as in bodies."""

    def to_python(self, value: Any) -> Any:
        return None if value in self.empty_values else parse_utc(value)


class UTCDateTimeFilter(filters.Filter):
    """A filter by a time with an offset."""

    field_class = UTCDateTimeFormField


class WebhookFilterSet(filters.FilterSet):
    """Filters of webhooks."""

    organization = organization_filter()
    enabled = boolean_filter()
    name = filters.CharFilter(lookup_expr="icontains")
    format = filters.ChoiceFilter(choices=choices.PayloadFormat.choices)
    ordering = django_filters.OrderingFilter(fields=("name", "created_at"))


class WebhookFormField(ModelChoiceField):
    """The form field of `WebhookChoiceFilter`."""

    def to_python(self, value: Any) -> Any:
        if value in self.empty_values:
            return None
        rows: Any = self.queryset
        webhook = rows.filter(Webhook.by_public_id(str(value))).first()
        if webhook is None:
            raise ValidationError(self.error_messages["invalid_choice"], code="invalid_choice")
        return webhook


class WebhookChoiceFilter(filters.ModelChoiceFilter):
    """A filter by a webhook that the caller may view."""

    field_class = WebhookFormField


class WebhookRelatedFilterSet(filters.FilterSet):
    """The filter by webhook, for the lists of rows that belong to one."""

    webhook = extend_schema_field(IDField.json_schema)(
        WebhookChoiceFilter(queryset=visible_webhooks)  # type: ignore[arg-type]
    )


class DeliveryFilterSet(WebhookRelatedFilterSet):
    """Filters of deliveries."""

    organization = organization_filter(field_name="webhook__organization")
    # Not distinct: the query returns no row twice, and DISTINCT would compare whole rows.
    status = filters.MultipleChoiceFilter(choices=choices.DeliveryStatus.choices, distinct=False)
    error_class = filters.ChoiceFilter(choices=choices.ErrorClass.choices)
    event_type = filters.CharFilter(method="by_event_type", validators=[validate_event_pattern])
    event = extend_schema_field(EventIDField.json_schema)(
        filters.CharFilter(
            method="by_event",
            validators=[RegexValidator(EVENT_ID_PATTERN, "Use an event id: evt_ and 32 hexadecimal digits.")],
        )
    )
    subject = filters.CharFilter(method="by_subject", validators=[validate_subject])
    external_id = filters.CharFilter(method="by_external_id")
    created_after = UTCDateTimeFilter("created_at", "gte")
    created_before = UTCDateTimeFilter("created_at", "lt")
    ordering = django_filters.OrderingFilter(fields=(("id", "created_at"),))

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
    ordering = django_filters.OrderingFilter(fields=(("id", "created_at"),))


class AuditFilterSet(WebhookRelatedFilterSet):
    """Filters of the audit log."""

    organization = organization_filter()
    action = filters.MultipleChoiceFilter(choices=choices.AuditAction.choices, distinct=False)
    actor_kind = filters.ChoiceFilter(choices=choices.ActorKind.choices)
    actor_id = filters.CharFilter(max_length=64)
    after = UTCDateTimeFilter("at", "gte")
    before = UTCDateTimeFilter("at", "lt")
    ordering = django_filters.OrderingFilter(fields=(("id", "at"),))
