"""The form of a webhook for screen readers: each description of an input is on the page."""

from __future__ import annotations

import re

from example_project.training.factories import OrganizationFactory
from tests.integration.admin.pages import form_of, url
from tests.integration.delivery.rows import subscribed
from tms_webhooks.models import Subscription, Webhook


def described_by(page: str) -> list[str]:
    """Return the ids of all descriptions to which the page refers."""
    return [one for ids in re.findall(r'aria-describedby="([^"]*)"', page) for one in ids.split()]


def missing_from(page: str) -> list[str]:
    """Return those of these ids that no element of the page has."""
    ids = set(re.findall(r'\bid="([^"]+)"', page))
    return [one for one in described_by(page) if one not in ids]


def test_each_description_of_a_new_form_is_on_the_page(operator):
    OrganizationFactory()
    page = operator.get(url(Webhook, "add")).content.decode()

    found = described_by(page)
    assert missing_from(page) == []
    assert {"id_schedule_helptext", "id_own_delays_helptext"} <= set(found)


def test_each_description_of_a_stored_webhook_is_on_the_page(operator, staff):
    webhook = subscribed()
    Subscription.objects.create(
        webhook=webhook, event_type="course_assignment.expiring", more_than_days=3, less_than_days=9
    )

    for client in (operator, staff("view_webhook")):
        assert missing_from(client.get(url(Webhook, "change", webhook.public_id)).content.decode()) == []


def test_each_description_of_a_form_with_errors_is_on_the_page(operator):
    form = form_of(
        organization=OrganizationFactory().pk,
        url="",
        schedule="5, soon",
        contacts="bob",
        verb="BREW",
    )

    page = operator.post(url(Webhook, "add"), form).content.decode()

    assert missing_from(page) == []
    assert "id_schedule_error" in described_by(page)
