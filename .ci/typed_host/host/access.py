"""Who may manage the webhooks of which organizations."""

from __future__ import annotations

from django.db.models import QuerySet
from django.http import HttpRequest

from host.models import Organization, Person
from tms_webhooks.access import AccessPolicy
from tms_webhooks.actors import Actor
from tms_webhooks.choices import Action


class HostPolicy(AccessPolicy):
    """Managers may do everything in their organization, and its other people may look."""

    def organizations(self, request: HttpRequest, action: Action) -> QuerySet[Organization]:
        """Return the organization of the user, if the user may do the action."""
        user = request.user
        if isinstance(user, Person) and (user.is_manager or action is Action.VIEW):
            return Organization.objects.filter(person=user)
        return Organization.objects.none()

    def caller(self, request: HttpRequest) -> Actor:
        """Return the user by name."""
        return Actor("user", str(request.user.pk), request.user.get_username())
