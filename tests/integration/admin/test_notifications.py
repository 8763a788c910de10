"""The notifications on the page of a webhook, and their links to it."""

import pytest
from django.utils import timezone

from tests.integration.admin.pages import shown_at, url
from tests.integration.delivery.rows import subscribed
from tms_webhooks.choices import NoticeChannel, NoticeKind, NoticeStatus
from tms_webhooks.delivery.notices import page_url
from tms_webhooks.models import Notification, Webhook


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


def test_the_form_says_after_what_time_the_contacts_are_notified(operator, settings_of_app):
    settings_of_app(NOTIFY_AFTER_SECONDS=1_200)

    text = shown_at(operator, url(Webhook, "change", subscribed().public_id))

    assert "They get a message when the webhook fails for 20 min or a day, is disabled, or works again." in text


@pytest.mark.parametrize("site", ["admin", "customers"])
def test_the_page_of_a_webhook_is_reached_by_its_link(operator, settings_of_app, site):
    settings_of_app(ADMIN_URL=f"http://testserver/{site}")
    assert operator.get(page_url(Webhook.objects.get(pk=subscribed().pk))).status_code == 200
