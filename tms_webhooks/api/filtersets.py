"""The filters and orderings of each list."""

from __future__ import annotations

import re
import uuid
from typing import Any

import django_filters
from django import forms
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django_filters import rest_framework as filters
from django_filters.fields import ModelChoiceField

from tms_webhooks import choices, event_names
from tms_webhooks.api.filters import did_you_mean
from tms_webhooks.api.schema.shim import extend_schema_field
from tms_webhooks.api.serializers.fields import (
    EventIDField,
    IDField,
    InvalidDateTime,
    OrganizationIDField,
    parse_utc,
)
from tms_webhooks.choices import Action
from tms_webhooks.models import Event, Webhook
from tms_webhooks.models.event import PUBLIC_PREFIX
from tms_webhooks.models.organization import has_whole_number_key
from tms_webhooks.models.subjects import Subject, delivered_as

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
        """Return the organization, or None for an empty value."""
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
        """Return the time in UTC, or None for an empty value."""
        if value in self.empty_values:
            return None
        try:
            return parse_utc(value)
        except InvalidDateTime as error:
            raise ValidationError(str(error), code=error.code) from error


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
        """Return the webhook with this public id, or None for an empty value."""
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
