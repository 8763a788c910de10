"""Who may see and manage whose webhooks."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from example_project.training.models import ApiKey, Organization, User
from tms_webhooks.access import AccessPolicy
from tms_webhooks.actors import Actor
from tms_webhooks.choices import Action


class TrainingPolicy(AccessPolicy):
    """Decides for operators, staff, keys, and administrators who are not staff.

    An operator works for all organizations, staff and a key for their own and those below it. An administrator works for
    the organizations that they manage.
    """

    def organizations(self, request: Any, action: Action) -> QuerySet[Organization]:
        """Return the organizations in which the caller may do ``action``: here the same for all of them."""
        user = getattr(request, "user", None)
        return self._organizations_of(user)

    def may_keep_hooks(self, maker: Actor, organization: Any) -> bool:
        """Return whether the key or the user still works for the organization."""
        key = ApiKey.objects.filter(prefix=maker.id, revoked=False).first()
        if key is not None:
            return not key.has_expired and organization in {one.pk for one in key.organization.with_descendants()}
        user = User.objects.filter(pk=maker.id).first() if str(maker.id).isdecimal() else None
        return self._organizations_of(user).filter(pk=organization).exists()

    def _organizations_of(self, user: Any) -> QuerySet[Organization]:
        if user is None or not user.is_active or getattr(user, "disabled", False):
            return Organization.objects.none()
        if user.is_superuser:
            return Organization.objects.all()
        if user.is_staff:
            family = [] if user.organization is None else user.organization.with_descendants()
        else:
            family = user.administered_organizations()
        return Organization.objects.filter(pk__in=[organization.pk for organization in family])
