"""The two sites, a superuser at their pages, staff who may only look, and an administrator."""

import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from example_project.training.factories import OrganizationFactory, UserFactory
from example_project.training.models import Organization
from tests.integration.admin import pages


@pytest.fixture(params=[pages.STAFF, pages.CUSTOMERS], ids=["staff", "customers"])
def site(request, monkeypatch):
    """Run the test on each of the two sites."""
    monkeypatch.setattr(pages, "site", request.param)
    return str(request.param)


@pytest.fixture
def operator(client):
    """A signed-in superuser."""
    client.force_login(UserFactory(username="root", organization=None, is_staff=True, is_superuser=True))
    return client


@pytest.fixture
def staff():
    """Sign in a member of staff with these permissions of ours, at an organization that is above all others."""

    def staff(*codenames):
        top = OrganizationFactory(name="Top")
        Organization.objects.filter(parent=None).exclude(pk=top.pk).update(parent=top)
        user = UserFactory(username="staff", first_name="Vera", organization=top, is_staff=True)
        found = Permission.objects.filter(content_type__app_label="tms_webhooks", codename__in=codenames)
        assert len(found) == len(codenames)
        user.user_permissions.set(found)
        client = Client()
        client.force_login(user)
        return client

    return staff


@pytest.fixture
def deny(settings, monkeypatch):
    """Deny these actions everywhere, or in organizations below others alone."""

    def deny(*actions, below=False):
        monkeypatch.setattr(pages.Denying, "actions", actions)
        monkeypatch.setattr(pages.Denying, "below", below)
        settings.TMS_WEBHOOKS = {**settings.TMS_WEBHOOKS, "ACCESS_POLICY": f"{pages.__name__}.Denying"}

    return deny


@pytest.fixture
def alice():
    """The administrator of an organization of her own, which the client names."""
    user = pages.administrator_of(OrganizationFactory(name="ours"), username="alice")
    client = Client()
    client.force_login(user)
    client.organization = user.organization
    return client
