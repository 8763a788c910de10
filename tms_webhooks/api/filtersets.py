"""By what each list can be filtered and ordered."""

from __future__ import annotations

import re
import uuid
from typing import Any

import django_filters
from django import forms
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django_filters import rest_framework as filters

from tms_webhooks import choices, event_names
from tms_webhooks.api.schema import shapes
from tms_webhooks.api.schema.shim import extend_schema_field
from tms_webhooks.api.serializers.fields import NotAMoment, moment_of
from tms_webhooks.choices import Action
from tms_webhooks.models import Webhook
from tms_webhooks.models.event import PUBLIC_PREFIX

EVENT_ID = re.compile(rf"{PUBLIC_PREFIX}[0-9a-f]{{32}}")


def visible_organizations(request: Any) -> Any:
    """Return the organizations that the caller may view."""
    return request.parser_context["view"].organizations(Action.VIEW)


def visible_webhooks(request: Any) -> Any:
    """Return the webhooks that the caller may view, deleted ones included: their log stays."""
    return request.parser_context["view"].scoped(Webhook.objects.all(), path="organization")


def truth_filter(**kwargs: Any) -> filters.TypedChoiceFilter:
    """Return a filter by true or false. django-filter's own takes everything else for no filter."""
    choices = (("true", "true"), ("false", "false"))
    one = filters.TypedChoiceFilter(choices=choices, coerce=lambda value: value == "true", **kwargs)
    return extend_schema_field({"type": "boolean"})(one)


def organization_filter(**kwargs: Any) -> filters.ModelChoiceFilter:
    """Return a filter by an organization that the caller may view."""
    one = filters.ModelChoiceFilter(queryset=visible_organizations, **kwargs)  # type: ignore[arg-type]
    return extend_schema_field(shapes.ORGANIZATION_KEY)(one)


class MomentFormField(forms.CharField):
    """A moment, as bodies have it."""

    def to_python(self, value: Any) -> Any:
        """Return it; None where there is none."""
        if value in self.empty_values:
            return None
        try:
            return moment_of(value)
        except NotAMoment as error:
            raise ValidationError(str(error), code=error.code) from error


class MomentFilter(filters.Filter):
    """A filter by a moment."""

    field_class = MomentFormField


def require_pattern(value: str) -> None:
    """Refuse a pattern that means no event."""
    if not event_names.is_pattern_known(value):
        nearest = event_names.did_you_mean(event_names.nearest_patterns(value))
        raise ValidationError(f"There is no such event.{nearest}", code="unknown")


class WebhookFilterSet(filters.FilterSet):
    """Webhooks by whose they are and what they want."""

    organization = organization_filter()
    enabled = truth_filter()
    name = filters.CharFilter(lookup_expr="icontains")
    format = filters.ChoiceFilter(choices=choices.PayloadFormat.choices)
    ordering = django_filters.OrderingFilter(fields=("name", "created_at"))


class OfWebhookFilterSet(filters.FilterSet):
    """Rows of webhooks, by the webhook and by whose it is."""

    webhook = extend_schema_field(shapes.KEY)(
        filters.ModelChoiceFilter(queryset=visible_webhooks)  # type: ignore[arg-type]
    )


class DeliveryFilterSet(OfWebhookFilterSet):
    """Deliveries by whose they are, where they stand and what they tell."""

    organization = organization_filter(field_name="webhook__organization")
    status = filters.MultipleChoiceFilter(choices=choices.DeliveryStatus.choices)
    error_class = filters.ChoiceFilter(choices=choices.ErrorClass.choices)
    event_type = filters.CharFilter(method="by_event_type", validators=[require_pattern])
    event = extend_schema_field(shapes.EVENT_KEY)(
        filters.CharFilter(
            method="by_event",
            validators=[RegexValidator(EVENT_ID, "Give an event's id, evt_ and 32 hexadecimal digits.")],
        )
    )
    created_after = MomentFilter("created_at", "gte")
    created_before = MomentFilter("created_at", "lt")
    ordering = django_filters.OrderingFilter(fields=(("id", "created_at"),))

    def by_event_type(self, queryset: Any, name: str, value: str) -> Any:
        """Keep those that tell what a name or pattern means."""
        return queryset.filter(event__type__in=event_names.matching(value))

    def by_event(self, queryset: Any, name: str, value: str) -> Any:
        """Keep those that tell of one event."""
        return queryset.filter(event__uid=uuid.UUID(hex=value.removeprefix(PUBLIC_PREFIX)))


class JobFilterSet(OfWebhookFilterSet):
    """Jobs by their webhook, and where they stand."""

    status = filters.MultipleChoiceFilter(choices=choices.JobStatus.choices)
    kind = filters.ChoiceFilter(choices=choices.JobKind.choices)
    ordering = django_filters.OrderingFilter(fields=(("id", "created_at"),))


class AuditFilterSet(OfWebhookFilterSet):
    """Entries of the audit log by whose they are, who did it, and what."""

    organization = organization_filter()
    action = filters.MultipleChoiceFilter(choices=choices.AuditAction.choices)
    actor_kind = filters.ChoiceFilter(choices=choices.ActorKind.choices)
    actor_id = filters.CharFilter(max_length=64)
    after = MomentFilter("at", "gte")
    before = MomentFilter("at", "lt")
    ordering = django_filters.OrderingFilter(fields=(("id", "at"),))
