"""A superuser at the pages, and staff who may only look."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from example_project.training.factories import OrganizationFactory, UserFactory
from example_project.training.models import Organization


@pytest.fixture
def operator(client: Client) -> Client:
    """A signed-in superuser."""
    client.force_login(UserFactory(username="root", organization=None, is_staff=True, is_superuser=True))
    return client


@pytest.fixture
def staff() -> Callable[..., Client]:
    """Sign in a member of staff with these permissions of ours, at an organization that is above all others."""

    def staff(*codenames: str) -> Client:
        top = OrganizationFactory(name="Top")
        Organization.objects.filter(parent=None).exclude(pk=top.pk).update(parent=top)
        user = UserFactory(username="staff", organization=top, is_staff=True)
        found = Permission.objects.filter(content_type__app_label="tms_webhooks", codename__in=codenames)
        assert len(found) == len(codenames)
        user.user_permissions.set(found)
        client = Client()
        client.force_login(user)
        return client

    return staff


@pytest.fixture
def alice() -> Client:
    """Staff of an organization of her own, which the client names, with every permission of ours."""
    user = UserFactory(username="alice", organization=OrganizationFactory(name="ours"), is_staff=True)
    user.user_permissions.set(Permission.objects.filter(content_type__app_label="tms_webhooks"))
    client = Client()
    client.force_login(user)
    client.organization = user.organization
    return client
