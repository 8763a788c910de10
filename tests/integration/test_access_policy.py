"""Who may do what: the default, and a policy of the host's own."""

from types import SimpleNamespace

import pytest
from django.contrib.auth.models import AnonymousUser
from django.db import models

from example_project.training.factories import OrganizationFactory, UserFactory
from example_project.training.models import Organization
from tests.factories import WebhookFactory
from tms_webhooks.access import AccessPolicy, SuperusersOnly, get_policy, within
from tms_webhooks.choices import Action
from tms_webhooks.models import Webhook


class OwnOnly(AccessPolicy):
    """Lets people view what is their own organization's."""

    def organizations(self, request, action):
        if action != Action.VIEW:
            return super().organizations(request, action)
        return Organization.objects.filter(pk=request.user.organization_id)


def request_of(user):
    return SimpleNamespace(user=user)


class Hidden(models.Manager[Organization]):
    """Hides all organizations, as a manager of rows that are not deleted."""

    def get_queryset(self):
        return super().get_queryset().none()


def test_superusers_see_organizations_that_the_default_manager_hides(monkeypatch):
    webhook = WebhookFactory()
    hidden = Hidden()
    hidden.model = Organization
    monkeypatch.setitem(vars(Organization._meta), "default_manager", hidden)

    organizations = SuperusersOnly().organizations(request_of(UserFactory(is_superuser=True)), Action.VIEW)

    assert not Organization._default_manager.exists()
    assert list(within(Webhook.objects.all(), organizations)) == [webhook]


@pytest.mark.parametrize("action", Action)
def test_superusers_may_do_everything_everywhere(action):
    organization = OrganizationFactory()
    request = request_of(UserFactory(is_superuser=True))

    assert organization in SuperusersOnly().organizations(request, action)


@pytest.mark.parametrize("action", Action)
def test_other_users_may_do_nothing(action):
    user = UserFactory(is_staff=True)
    inactive = SimpleNamespace(is_active=False, is_superuser=True)

    for caller in (user, inactive, AnonymousUser(), None):
        assert not SuperusersOnly().organizations(request_of(caller), action).exists()


def test_a_policy_that_says_nothing_denies():
    request = request_of(UserFactory(is_superuser=True))

    OrganizationFactory()
    assert not AccessPolicy().organizations(request, Action.VIEW).exists()


def test_the_setting_names_the_policy(settings, settings_of_app):
    settings.TMS_WEBHOOKS = {}
    assert type(get_policy()) is SuperusersOnly

    settings_of_app(ACCESS_POLICY=f"{__name__}.OwnOnly")

    assert isinstance(get_policy(), OwnOnly)
