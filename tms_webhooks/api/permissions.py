"""Whether a caller has anything to do here at all. What they may do with what, the views ask of the access policy."""

from __future__ import annotations

from typing import Any

from rest_framework.permissions import BasePermission

from tms_webhooks.choices import Action


class HasAccess(BasePermission):
    """Lets in whoever may view the webhooks of at least one organization."""

    message = "Your account or key has access to no organization's webhooks."

    def has_permission(self, request: Any, view: Any) -> bool:
        """Ask the policy, unless nobody has said who they are."""
        if request.auth is None and not getattr(request.user, "is_authenticated", False):
            return False
        return bool(view.organizations(Action.VIEW).exists())
