"""The notification addresses of organizations in the admin, and the notifications on the page of a webhook."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
from django.apps import apps
from django.utils import timezone

from example_project.training.factories import OrganizationFactory
from example_project.training.models import Organization
from tests.integration.admin.pages import shown_at, url
from tests.integration.delivery.rows import subscribed
from tms_webhooks.choices import AuditAction, NoticeChannel, NoticeKind, NoticeStatus
from tms_webhooks.delivery.notice_messages import page_url
from tms_webhooks.models import AuditEntry, Notification, NotificationAddresses, Webhook
from tms_webhooks.models.encryption import MASK, reveal

SLACK = "https://hooks.slack.com/services/T0/B0/secret-of-slack"
TEAMS = "https://prod-1.westeurope.logic.azure.com/workflows/1?sig=secret-of-teams"


def saved(organization: Organization, **values: str) -> NotificationAddresses:
    return NotificationAddresses.objects.create(organization=organization, **values)


def form_of(organization: Organization, **values: str) -> dict[str, object]:
    return {"organization": organization.pk, "contacts": "", "slack_url": "", "teams_url": "", **values}


def test_addresses_are_added_and_their_urls_shown_as_dots_from_then_on(alice):
    values = form_of(alice.organization, contacts="ann@example.com", slack_url=SLACK, teams_url=TEAMS)
    response = alice.post(url(NotificationAddresses, "add"), values)
    assert response.status_code == 302, response.context["errors"]

    row = NotificationAddresses.objects.get()
    assert (reveal(row.slack_url), reveal(row.teams_url)) == (SLACK, TEAMS)
    for page in (url(NotificationAddresses, "changelist"), url(NotificationAddresses, "change", row.public_id)):
        text = alice.get(page).content.decode()
        assert "ann@example.com" in text
        assert MASK in text
        assert "secret-of" not in text


def test_a_change_keeps_the_urls_that_come_back_as_dots_and_is_audited_without_them(alice):
    row = saved(alice.organization, contacts="ann@example.com", slack_url=SLACK, teams_url=TEAMS)
    values = form_of(alice.organization, contacts="bob@example.com", slack_url=MASK, teams_url=f"{TEAMS}-2")

    assert alice.post(url(NotificationAddresses, "change", row.public_id), values).status_code == 302

    row.refresh_from_db()
    assert (row.contacts, reveal(row.slack_url), reveal(row.teams_url)) == ("bob@example.com", SLACK, f"{TEAMS}-2")
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.webhook, entry.organization) == (
        AuditAction.ADDRESSES_CHANGED,
        None,
        alice.organization,
    )
    assert entry.target == f"addresses:{row.public_id}"
    assert entry.changes == {
        "contacts": {"from": "ann@example.com", "to": "bob@example.com"},
        "teams_url": {"from": MASK, "to": MASK},
    }


def test_a_deletion_is_audited(alice):
    row = saved(alice.organization, contacts="ann@example.com", slack_url=SLACK)

    alice.post(url(NotificationAddresses, "delete", row.public_id), {"post": "yes"})

    assert not NotificationAddresses.objects.exists()
    assert AuditEntry.objects.get().changes == {
        "contacts": {"from": "ann@example.com", "to": ""},
        "slack_url": {"from": MASK, "to": ""},
    }


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("slack_url", "https://10.0.0.1/hook", "10.0.0.1"),
        ("contacts", "ann", "ann&#x27; is not an e-mail address."),
        ("contacts", "", "Give at least one address"),
    ],
)
def test_an_address_that_is_not_allowed_is_refused_with_the_reason(alice, field, value, problem):
    response = alice.post(url(NotificationAddresses, "add"), form_of(alice.organization, **{field: value}))

    assert problem in str(response.context["errors"])
    assert not NotificationAddresses.objects.exists()


def test_addresses_of_other_organizations_are_neither_listed_nor_opened_nor_offered(alice):
    theirs = saved(OrganizationFactory(name="theirs"), contacts="eve@example.com")

    assert "eve@example.com" not in alice.get(url(NotificationAddresses, "changelist")).content.decode()
    assert alice.get(url(NotificationAddresses, "change", theirs.public_id)).status_code == 302
    response = alice.post(url(NotificationAddresses, "add"), form_of(theirs.organization, contacts="ann@example.com"))
    assert "organization" in response.context["adminform"].form.errors


def test_the_page_of_a_webhook_lists_its_notifications_with_recipients_time_and_outcome(operator):
    webhook, now = subscribed(), timezone.now()
    values = {"webhook": webhook, "since": now, "created_at": now}
    Notification.objects.create(
        **values, kind=NoticeKind.FAILING, channel=NoticeChannel.EMAIL, recipients="ann@example.com\nbob@example.com"
    )
    Notification.objects.create(
        **values, kind=NoticeKind.DISABLED, channel=NoticeChannel.SLACK, status=NoticeStatus.FAILED, error="HTTP 404"
    )

    text = shown_at(operator, f"/admin/tms_webhooks/webhook/{webhook.public_id}/overview/")

    assert "Failing ann@example.com, bob@example.com" in text
    assert "Disabled Slack" in text
    assert "Failed: HTTP 404" in text
    assert " Pending " in text


@pytest.mark.parametrize("site", ["admin", "customers"])
def test_the_page_of_a_webhook_is_reached_by_its_link(operator, settings, site):
    settings.TMS_WEBHOOKS = {**settings.TMS_WEBHOOKS, "ADMIN_URL": f"http://testserver/{site}"}
    assert operator.get(page_url(Webhook.objects.get(pk=subscribed().pk))).status_code == 200


def test_a_link_has_the_domain_of_the_site_and_leads_to_the_customers_site(monkeypatch):
    webhook = subscribed()
    assert page_url(webhook) == ""
    # Without the app itself, which would change the models of all later tests.
    site = SimpleNamespace(objects=SimpleNamespace(get_current=lambda: SimpleNamespace(domain="tms.example.com")))
    monkeypatch.setitem(sys.modules, "django.contrib.sites.models", SimpleNamespace(Site=site))
    monkeypatch.setattr(apps, "is_installed", lambda name: name == "django.contrib.sites")

    expected = f"https://tms.example.com/customers/tms_webhooks/webhook/{webhook.public_id}/overview/"
    assert page_url(webhook) == expected
