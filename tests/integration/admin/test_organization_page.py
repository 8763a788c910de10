"""The host's own page of an organization lists its webhooks, by one inline class."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from example_project.training.factories import OrganizationFactory, UserFactory
from example_project.training.models import Organization
from tests.integration.admin.pages import text_of, url
from tests.integration.delivery.rows import subscribed
from tms_webhooks.admin import organizations
from tms_webhooks.models import Webhook


def page_at(client: Client, organization: Organization) -> str:
    return client.get(url(Organization, "change", organization.pk)).content.decode()


@pytest.fixture
def member():
    """Sign in staff of an organization, with these permissions of ours and every one of the host's."""

    def member(organization: Organization, *codenames: str) -> Client:
        user = UserFactory(username="member", organization=organization, is_staff=True)
        ours = Permission.objects.filter(content_type__app_label="tms_webhooks", codename__in=codenames)
        user.user_permissions.set([*ours, *Permission.objects.filter(content_type__app_label="training")])
        client = Client()
        client.force_login(user)
        return client

    return member


def test_its_webhooks_are_listed_with_how_they_do_and_a_way_to_a_new_one(operator):
    webhook = subscribed(name="CRM")
    other = subscribed(name="Of others")
    organization = webhook.organization
    off = subscribed(name="Old", organization=organization, enabled=False, disabled_reason="admin")

    page = page_at(operator, organization)

    for one in (webhook, off):
        assert f'href="/admin/tms_webhooks/webhook/{one.public_id}/overview/"' in page
    assert other.name not in page
    assert "receiver.example.com" in page
    assert "Disabled" in page
    assert f'href="/admin/tms_webhooks/webhook/add/?organization={organization.pk}"' in page
    form = operator.get(f"{url(Webhook, 'add')}?organization={organization.pk}")
    assert f'<option value="{organization.pk}" selected>' in form.content.decode()


def test_the_way_to_all_of_them_leads_to_the_list_of_this_organization(operator):
    webhook = subscribed()
    subscribed()
    link = f"{url(Webhook, 'changelist')}?organization__id__exact={webhook.organization_id}"

    assert link in page_at(operator, webhook.organization)
    assert list(operator.get(link).context["cl"].result_list) == [webhook]


def test_saving_the_organization_leaves_them_alone(operator):
    webhook = subscribed()
    organization = webhook.organization
    before = Webhook.objects.values().get()
    form = operator.get(url(Organization, "change", organization.pk)).context["adminform"].form
    data = {name: value for name, value in form.initial.items() if value is not None}
    data |= {"name": "Renamed", "webhooks-TOTAL_FORMS": "0", "webhooks-INITIAL_FORMS": "0"}

    assert operator.post(url(Organization, "change", organization.pk), data).status_code == 302

    organization.refresh_from_db()
    assert organization.name == "Renamed"
    assert Webhook.objects.values().get() == before


def test_a_new_organization_has_no_list(operator):
    assert "webhooks-heading" not in operator.get(url(Organization, "add")).content.decode()


def test_the_list_needs_the_permission_to_view_webhooks(member):
    # A word as short as "CRM" comes up by chance in the page's CSRF token.
    webhook = subscribed(name="Not listed")

    page = page_at(member(webhook.organization), webhook.organization)

    assert 'name="name"' in page
    assert webhook.name not in page
    assert "webhooks-heading" not in page


def test_another_organization_is_not_there(member):
    client = member(OrganizationFactory(), "view_webhook")
    webhook = subscribed(name="CRM")

    response = client.get(url(Organization, "change", webhook.organization_id), follow=True)

    assert "CRM" not in text_of(response)


def test_a_long_list_ends_and_says_so(operator, monkeypatch):
    monkeypatch.setattr(organizations, "MAX_WEBHOOKS", 2)
    organization = OrganizationFactory()
    for number in range(3):
        subscribed(name=f"Hook {number}", organization=organization)

    page = page_at(operator, organization)

    assert "Hook 1" in page
    assert "Hook 2" not in page
    assert "All webhooks" in page
