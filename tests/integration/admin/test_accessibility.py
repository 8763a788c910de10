"""The form of a webhook for screen readers: each description of an input is on the page."""

import re

from tests.integration.admin.pages import form_of, url
from tests.integration.delivery.rows import subscribed
from tms_webhooks.models import Webhook


def described_by(page):
    """Return the ids of all descriptions to which the page refers, but for Django 6.1's own of radio buttons, which have no id."""
    found = [one for ids in re.findall(r'aria-describedby="([^"]*)"', page) for one in ids.split()]
    return [one for one in found if one != "_helptext"]


def missing_from(page):
    """Return those of these ids that no element of the page has."""
    ids = set(re.findall(r'\bid="([^"]+)"', page))
    return [one for one in described_by(page) if one not in ids]


def test_each_description_of_a_form_is_on_the_page(operator, staff):
    webhook = subscribed(events=["class.*", "course_assignment.expiring"])
    stored, add = url(Webhook, "change", webhook.public_id), url(Webhook, "add")
    wrong = form_of(organization=webhook.organization_id, url="", schedule="5, soon", contacts="bob", verb="BREW")
    pages = [operator.get(add), operator.get(stored), operator.post(add, wrong), staff("view_webhook").get(stored)]

    texts = [page.content.decode() for page in pages]

    assert [missing_from(text) for text in texts] == [[]] * 4
    assert {"id_schedule_helptext", "id_own_delays_helptext"} <= set(described_by(texts[0]))
    assert "id_schedule_error" in described_by(texts[2])
