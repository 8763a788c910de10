"""By what each list can be filtered and ordered."""

from __future__ import annotations

from typing import Any

import django_filters
from django_filters import rest_framework as filters

from tms_webhooks import choices
from tms_webhooks.choices import Action
from tms_webhooks.models import Webhook


def visible_organizations(request: Any) -> Any:
    """Return the organizations that the caller may view."""
    view = request.parser_context["view"]
    return view.policy.organizations(request, Action.VIEW)


def visible_webhooks(request: Any) -> Any:
    """Return the webhooks that the caller may view, deleted ones included: their log stays."""
    view = request.parser_context["view"]
    return view.policy.scope(Webhook.objects.all(), request, Action.VIEW)


def truth_filter(**kwargs: Any) -> filters.TypedChoiceFilter:
    """Return a filter by true or false. django-filter's own takes everything else for no filter."""
    return filters.TypedChoiceFilter(
        choices=(("true", "true"), ("false", "false")), coerce=lambda value: value == "true", **kwargs
    )


class WebhookFilterSet(filters.FilterSet):
    """Webhooks by whose they are and what they want."""

    organization = filters.ModelChoiceFilter(queryset=visible_organizations)  # type: ignore[arg-type]
    enabled = truth_filter()
    name = filters.CharFilter(lookup_expr="icontains")
    format = filters.ChoiceFilter(choices=choices.PayloadFormat.choices)
    ordering = django_filters.OrderingFilter(fields=("name", "created_at"))
