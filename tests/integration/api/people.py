"""Who calls the API in these tests, and what they may do."""

from __future__ import annotations

from typing import Any

from rest_framework.test import APIClient

from example_project.training.access import TrainingPolicy
from example_project.training.factories import UserFactory
from example_project.training.models import Organization, User

POLICY = f"{__name__}.HousePolicy"
NAMES = ["receiver.example.com", "other.example.com"]
PUBLIC = "93.184.215.14"

denied: dict[int, set[str]] = {}
"""What users may not do in their own organizations."""


class HousePolicy(TrainingPolicy):
    """The example project's, but for what single users are denied."""

    def organizations(self, request: Any, action: Any) -> Any:
        rows = super().organizations(request, action)
        return rows.none() if action in denied.get(getattr(request.user, "pk", 0), ()) else rows


def client_of(user: User) -> APIClient:
    """Return a client that is signed in; what a server would log as an error it raises."""
    client = APIClient()
    client.force_login(user)
    return client


def member_of(organization: Organization, *, may_not: tuple[str, ...] = ()) -> User:
    """Return a user of an organization, who may do everything there but what is named."""
    user = UserFactory(organization=organization, is_staff=True)
    denied[user.pk] = set(may_not)
    return user
