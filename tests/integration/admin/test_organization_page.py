"""The host's own page of an organization lists its webhooks, by one inline class."""

import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from example_project.training.factories import UserFactory
from example_project.training.models import Organization
from tests.integration.admin.pages import url
from tests.integration.delivery.rows import subscribed
from tms_webhooks.admin import organizations
from tms_webhooks.models import Webhook


def page_at(client, organization):
    return client.get(url(Organization, "change", organization.pk)).content.decode()


@pytest.fixture
def member():
    """Sign in staff of an organization, with every permission of the host's, and none of ours."""

    def member(organization):
        user = UserFactory(username="member", organization=organization, is_staff=True)
        user.user_permissions.set(Permission.objects.filter(content_type__app_label="training"))
        client = Client()
        client.force_login(user)
        return client

    return member


def test_its_webhooks_are_listed_with_how_they_do_and_a_way_to_a_new_one(operator):
    webhook = subscribed(name="CRM")
    other = subscribed(name="Of others")
    organization = webhook.organization
    off = subscribed(name="Old", organization=organization, enabled=False, disabled_reason="admin", hook_of="0:api:1")

    page = page_at(operator, organization)

    for one in (webhook, off):
        assert f'href="/admin/tms_webhooks/webhook/{one.public_id}/overview/"' in page
    assert other.name not in page
    assert "receiver.example.com" in page
    assert "Disabled" in page
    assert page.count(">Hook</span>") == 1
    assert f'href="/admin/tms_webhooks/webhook/add/?organization={organization.pk}"' in page
    form = operator.get(f"{url(Webhook, 'add')}?organization={organization.pk}")
    assert f'<option value="{organization.pk}" selected>' in form.content.decode()


def test_a_long_list_ends_and_leads_to_all_webhooks_of_this_organization(operator, monkeypatch):
    monkeypatch.setattr(organizations, "MAX_WEBHOOKS", 1)
    webhook, organization = subscribed(name="A"), subscribed().organization
    Webhook.objects.update(organization=organization)
    subscribed()
    link = f"{url(Webhook, 'changelist')}?organization__id__exact={organization.pk}"

    page = page_at(operator, organization)

    assert page.count("/overview/") == 1
    assert f'href="{link}">All webhooks</a>' in page
    assert webhook in operator.get(link).context["cl"].result_list
    assert operator.get(link).context["cl"].result_count == 2


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
