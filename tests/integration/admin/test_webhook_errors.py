"""Errors are reported at their fields, with a remedy, and nothing is saved."""

import pytest

from example_project.training.factories import OrganizationFactory
from tests.integration.admin.pages import errors_at, form_of, url
from tms_webhooks.models import Webhook


@pytest.mark.parametrize(
    "field, value, message",
    [
        (
            "headers",
            "X-Key=1\nAuthorization: Basic hunter2",
            "Line 2: The “=” is missing. Write name=value, or remove the line.",
        ),
        (
            "url",
            "",
            "URL is empty. Give the URL of the receiver, or select “Pull only” under Delivery.",
        ),
        ("schedule", "sometimes", "Select a valid choice. sometimes is not one of the available choices."),
        ("schedule", "5, soon", "Retry schedule, delay 2: 'soon' is not a number of seconds from 0 to 604800."),
        ("timeout_seconds", "31", "Ensure this value is less than or equal to 30."),
        ("contacts", "ann@example.com\nbob", "Line 2: 'bob' is not an e-mail address. Write one address per line."),
        ("organization", "", "This field is required."),
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
    "values, field, message",
    [
        ({"format": "custom"}, "content", "Content is empty; write the body of the requests, select a preset"),
        (
            {"error_action": "notify"},
            "contacts",
            "Contacts is empty; give an e-mail address",
        ),
    ],
)
def test_settings_that_can_have_no_effect_are_refused(operator, values, field, message):
    errors = errors_at(operator.post(url(Webhook, "add"), form_of(organization=OrganizationFactory().pk, **values)))

    assert [(name, messages[0].startswith(message)) for name, messages in errors.items()] == [(field, True)]
    assert not Webhook.objects.exists()
