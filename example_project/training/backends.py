"""Who may sign in."""

from __future__ import annotations

from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import AnonymousUser

from example_project.training.models import User


class TrainingBackend(ModelBackend):
    """Django's own backend, closed to disabled accounts; their open sessions end too."""

    def user_can_authenticate(self, user: User | AnonymousUser | None) -> bool:
        """Return whether this account may sign in."""
        return super().user_can_authenticate(user) and not getattr(user, "disabled", False)
