"""The texts of the form say what its fields are and do."""

from __future__ import annotations

import pytest

from example_project.training.factories import OrganizationFactory
from tests.integration.admin.pages import form_of, shown_at, text_of, url
from tests.integration.delivery.rows import subscribed
from tms_webhooks.admin.forms.events import EventRows
from tms_webhooks.models import Webhook

pytestmark = pytest.mark.django_db


def test_fields_have_plain_names_with_their_units(operator):
    OrganizationFactory()

    text = shown_at(operator, url(Webhook, "add"))

    for label in ("Delay (seconds):", "Timeout (seconds):", "Max concurrent requests:"):
        assert label in text
    for label in ("Delay seconds", "Timeout seconds", "Max in flight"):
        assert label not in text


def test_the_help_is_true_and_says_where_passwords_belong(operator):
    OrganizationFactory()

    text = shown_at(operator, url(Webhook, "add"))

    assert "Each time a selected event occurs, the webhook is called at least once." in text
    assert "such as X-Tenant=north. For a password or a token, use Authentication below." in text
    assert "Authorization=" not in text
    assert "As own delays, write up to 15 numbers of seconds, such as 5, 60, 300." in text
    assert "The kind of actor that the webhook belongs to: a user, an administrator or an API key." in text


def test_the_search_of_the_list_says_what_it_finds(operator):
    text = shown_at(operator, url(Webhook, "changelist"))

    assert "Search by name. Webhooks that you may manage are also found by their URL." in text


@pytest.mark.parametrize(
    ("count", "sentence"),
    [
        (1, "1 selected event has errors. Correct it below."),
        (2, "2 selected events have errors. Correct them below."),
    ],
)
def test_wrong_events_are_counted_in_a_sentence(operator, count, sentence):
    rows = [{"event_type": f"class.{name}", "condition": "{"} for name in ("cancelled", "scheduled")[:count]]
    form = form_of(organization=OrganizationFactory().pk, subscriptions=rows)

    assert sentence in text_of(operator.post(url(Webhook, "add"), form))


def test_no_two_events_of_a_group_have_the_same_name():
    groups = {group.title: [row.label for row in group.rows] for group in EventRows(webhook=Webhook()).groups()}

    assert groups["Feedback"] == ["Class feedback created", "Course feedback created"]
    assert groups["Class"][0] == "Scheduled"
    assert {title: labels for title, labels in groups.items() if len(labels) != len(set(labels))} == {}


def test_filters_are_changed_where_there_are_some_and_added_elsewhere(operator):
    webhook = subscribed(events=["class.cancelled", "class.updated"])
    webhook.subscriptions.filter(event_type="class.updated").update(filters={"course": [301]})

    page = operator.get(url(Webhook, "change", webhook.public_id)).content.decode()

    buttons = {
        name: page.partition(f'data-tms-event="{name}"')[2].partition("</button>")[0]
        for name in ("class.cancelled", "class.updated")
    }
    assert buttons["class.cancelled"].endswith("Add filters")
    assert buttons["class.updated"].endswith("Change filters")
