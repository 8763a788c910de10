"""A superuser at the pages, and staff who may only look."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from example_project.training.factories import UserFactory


@pytest.fixture
def operator(client: Client) -> Client:
    """A signed-in superuser."""
    client.force_login(UserFactory(username="root", organization=None, is_staff=True, is_superuser=True))
    return client


@pytest.fixture
def staff() -> Callable[..., Client]:
    """Sign in a member of staff with these permissions of ours."""

    def staff(*codenames: str) -> Client:
        user = UserFactory(username="staff", organization=None, is_staff=True)
        found = Permission.objects.filter(content_type__app_label="tms_webhooks", codename__in=codenames)
        assert len(found) == len(codenames)
        user.user_permissions.set(found)
        client = Client()
        client.force_login(user)
        return client

    return staff
