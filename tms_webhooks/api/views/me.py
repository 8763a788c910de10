"""The caller: its rights in each organization, and the limits of the API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.db.models import Count
from rest_framework.response import Response

from tms_webhooks import validators
from tms_webhooks.api import json_format
from tms_webhooks.api.schema.resources import extend_schema
from tms_webhooks.api.serializers.results import MeSerializer
from tms_webhooks.api.views.resource import ResourceViewSet
from tms_webhooks.choices import Action
from tms_webhooks.conf import app_settings
from tms_webhooks.models import Job, Webhook


class MeViewSet(ResourceViewSet):
    """The organizations in which the caller may view webhooks."""

    heading = "Caller"
    ordering = ("pk",)
    paged = ("list",)

    @extend_schema(responses=MeSerializer, filters=False)
    def list(self, request: Any) -> Response:
        """Return the caller, its rights in each organization, and the limits. The organizations are paged, as in other lists."""
        page: Any = self.paginate_queryset(self.organizations(Action.VIEW).order_by())
        paginator: Any = self.paginator
        caller = self.policy.caller(request)
        data = {
            "caller": {"kind": caller.kind, "id": caller.id or "", "label": caller.label},
            "limits": limits(),
            "next": paginator.get_next_link(),
            "previous": paginator.get_previous_link(),
            "results": self._rights_in(page),
        }
        return Response(MeSerializer(data).data)

    def _rights_in(self, page: Sequence[Any]) -> Sequence[Mapping[str, Any]]:
        """Return the rights and the numbers of each of these organizations, with one query for each right and number."""
        keys = [organization.pk for organization in page]
        allowed = {
            action: set(self.organizations(action).filter(pk__in=keys).order_by().values_list("pk", flat=True))
            for action in Action
        }
        webhooks = _counts(Webhook.objects.existing().filter(organization__in=keys), "organization")
        jobs = _counts(Job.objects.unfinished().filter(webhook__organization__in=keys), "webhook__organization")
        return [
            {
                "id": one.pk,
                "name": str(one),
                "actions": [action.value for action in Action if one.pk in allowed[action]],
                "webhooks": webhooks.get(one.pk, 0),
                "unfinished_jobs": jobs.get(one.pk, 0),
            }
            for one in page
        ]


def limits() -> dict[str, int]:
    """Return the limits of callers, by their names in the response."""
    return {
        "webhooks": app_settings.WEBHOOKS_LIMIT,
        "unfinished_jobs": app_settings.JOBS_LIMIT,
        "test_sends_per_minute": app_settings.TEST_SENDS_LIMIT,
        "subscriptions_of_webhook": app_settings.SUBSCRIPTIONS_LIMIT,
        "headers_of_webhook": validators.HEADERS_LIMIT,
        "contacts_of_webhook": validators.CONTACTS_LIMIT,
        "in_flight_of_webhook": app_settings.MAX_IN_FLIGHT,
        "recover_days": app_settings.RECOVER_DAYS,
        "page_size": app_settings.API_PAGE_LIMIT,
        "body_bytes": json_format.BODY_LIMIT,
    }


def _counts(rows: Any, organization: str) -> dict[Any, int]:
    return dict(rows.order_by().values_list(organization).annotate(count=Count("pk")))
