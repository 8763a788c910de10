"""Errors are reported at their fields, with a remedy, and nothing is saved."""

from __future__ import annotations

import pytest

from example_project.training.factories import OrganizationFactory
from tests.integration.admin.pages import errors_at, form_of, url
from tests.integration.delivery.rows import subscribed
from tms_webhooks.models import Subscription, Webhook


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        (
            "headers",
            "X-Key=1\nAuthorization: Basic hunter2",
            "Line 2 has no “=”. Write it as name=value, or remove it.",
        ),
        (
            "url",
            "",
            "URL is empty. Give the URL of the receiver, or choose “Keep the events for the feed, and send nothing” under "
            "Delivery.",
        ),
        ("schedule", "sometimes", "Select a valid choice. sometimes is not one of the available choices."),
        ("schedule", "5, soon", "Retry schedule, delay 2: 'soon' is not a number of seconds from 0 to 604800."),
        ("timeout_seconds", "31", "Ensure this value is less than or equal to 30."),
        ("contacts", "ann@example.com\nbob", "Line 2: 'bob' is not an e-mail address. Write one address per line."),
        ("organization", "", "This field is required."),
        ("payload_version", "99", "No event has the version 99; choose 1 to "),
        ("verb", "BREW", "Select a valid choice. BREW is not one of the available choices."),
    ],
)
def test_an_invalid_value_is_reported_at_its_field(operator, field, value, message):
    form = form_of(**{"organization": OrganizationFactory().pk, field: value})

    errors = errors_at(operator.post(url(Webhook, "add"), form))

    assert list(errors) == [field]
    assert len(errors[field]) == 1
    assert errors[field][0].startswith(message)
    assert not Webhook.objects.exists()


@pytest.mark.parametrize(
    ("values", "field", "message"),
    [
        ({"format": "custom"}, "content", "Content is empty; write the body of the requests, select a preset"),
        (
            {"error_action": "notify"},
            "contacts",
            "Contacts is empty, and the organization has no notification addresses",
        ),
    ],
)
def test_settings_that_can_have_no_effect_are_refused(operator, values, field, message):
    errors = errors_at(operator.post(url(Webhook, "add"), form_of(organization=OrganizationFactory().pk, **values)))

    assert [(name, messages[0].startswith(message)) for name, messages in errors.items()] == [(field, True)]
    assert not Webhook.objects.exists()


def test_two_rows_with_the_same_event_and_filters_are_refused(operator):
    row = {"event_type": "course_assignment.expiring", "more_than_days": "3", "less_than_days": "7"}
    form = form_of(organization=OrganizationFactory().pk, subscriptions=[row, {**row, "less_than_days": "8"}, row])

    errors = errors_at(operator.post(url(Webhook, "add"), form))

    assert list(errors) == ["__all__", "events-2-__all__"]
    assert errors["events-2-__all__"][0].startswith("Another subscription of the webhook has the same event")
    assert not Webhook.objects.exists()


@pytest.mark.parametrize(
    ("row", "field", "message"),
    [
        (
            {"event_type": "class.canceled"},
            "event_type",
            'Unknown event: class.canceled. Did you mean "class.cancelled"',
        ),
        (
            {"event_type": "course_assignment.expiring", "more_than_days": "14", "less_than_days": "14"},
            "more_than_days",
            "More than days is 14, and less than days is 14; the first has to be the smaller one.",
        ),
        (
            {"event_type": "course_assignment.expiring", "more_than_days": "3"},
            "less_than_days",
            "Less than days is empty; give the upper end of the window, above 3.",
        ),
        (
            {"event_type": "course_assignment.expiring", "less_than_days": "nan"},
            "less_than_days",
            "nan is not a number of days; write one such as 7 or 0.5.",
        ),
        (
            {"event_type": "course_assignment.expiring", "less_than_days": "a week"},
            "less_than_days",
            "a week is not a number of days; write one such as 7 or 0.5.",
        ),
        (
            {"event_type": "*", "more_than_days": "-1", "less_than_days": "7", "course": "1"},
            "more_than_days",
            "More than days is -1; give 0 or more.",
        ),
        (
            {"event_type": "voucher.expiring", "less_than_days": "99999"},
            "less_than_days",
            "Less than days is 99999; give a number up to 36,500.",
        ),
        ({"event_type": "", "less_than_days": "7"}, "event_type", "This field is required."),
    ],
)
def test_an_invalid_subscription_is_reported_at_its_field(operator, row, field, message):
    form = form_of(organization=OrganizationFactory().pk, subscriptions=[{"event_type": "class.*"}, row])

    errors = errors_at(operator.post(url(Webhook, "add"), form))

    name = f"events-1-{field}"
    assert errors[name] == [found for found in errors[name] if found.startswith(message)]
    assert "events-1-__all__" not in errors
    assert not Webhook.objects.exists()
    assert not Subscription.objects.exists()


def test_an_event_that_no_longer_exists_stays_selected_and_is_reported(operator):
    webhook = subscribed(events=["class.cancelled"])
    Subscription.objects.update(event_type="host.gone")

    page = operator.get(url(Webhook, "change", webhook.public_id)).content.decode()
    assert 'data-tms-event="host.gone"' in page
    assert "This event no longer exists." in page
    response = operator.post(
        url(Webhook, "change", webhook.public_id),
        form_of(
            webhook,
            subscriptions=[
                {
                    "key": webhook.subscriptions.get().public_id,
                    "event_type": "host.gone",
                    "more_than_days": "1",
                    "less_than_days": "2",
                }
            ],
        ),
    )

    assert errors_at(response)["events-0-event_type"][0].startswith("Unknown event: host.gone")
