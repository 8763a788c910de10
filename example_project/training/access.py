"""Who may see and manage whose webhooks."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from example_project.training.models import Organization
from tms_webhooks.access import AccessPolicy
from tms_webhooks.choices import Action


class TrainingPolicy(AccessPolicy):
    """An operator works for all organizations, an administrator and a key for their own and those below it."""

    def organizations(self, request: Any, action: Action) -> QuerySet[Organization]:
        """Return the organizations in which the caller may do ``action``: here the same for all of them."""
        user = getattr(request, "user", None)
        if user is None or not user.is_active or not user.is_staff or getattr(user, "disabled", False):
            return Organization.objects.none()
        if user.is_superuser:
            return Organization.objects.all()
        home = user.organization
        family = [] if home is None else home.with_descendants()
        return Organization.objects.filter(pk__in=[organization.pk for organization in family])
