"""Header values: dots once they are stored, and never lost."""

import pytest

from tests.integration.admin.pages import errors_at, form_of, url
from tests.integration.admin.test_webhook_authentication import AGAIN
from tests.integration.delivery.rows import subscribed
from tms_webhooks.models import Webhook
from tms_webhooks.models.encryption import reveal

VALUES_AGAIN = "Replace “…” by the values of the headers: a page with errors does not show them."


def stored():
    return reveal(Webhook.objects.get().headers)


@pytest.mark.parametrize(
    "typed, meant",
    [
        ("Authorization=••••\nX-Key=••••", "Authorization=Basic hunter2\nX-Key=1"),
        ("X-Key=2\r\nAuthorization=••••", "X-Key=2\nAuthorization=Basic hunter2"),
        ("x-key=••••", "x-key=1"),
        ("X-New=3\n\nX-Key=••••\n", "X-New=3\n\nX-Key=1\n"),
        ("", ""),
    ],
)
def test_dots_stand_for_the_stored_value_of_their_line(operator, typed, meant):
    webhook = subscribed(headers="Authorization=Basic hunter2\nX-Key=1")

    operator.post(url(Webhook, "change", webhook.public_id), form_of(webhook, headers=typed))

    assert stored().split() == meant.split()


@pytest.mark.parametrize(
    "typed, messages",
    [
        ("X-Other=••••", ["Line 1: the header X-Other has no stored value. Replace the dots with its value."]),
        ("X-Key=••••2", ["Line 1: leave the dots as they are, or replace them all."]),
        ("X-New=1\n••••", ["Line 2: leave the dots as they are, or replace them all."]),
        ("X-Key=…", ["Line 1: enter the value of X-Key again."]),
    ],
)
def test_dots_for_nothing_are_refused(operator, typed, messages):
    webhook = subscribed(headers="X-Key=1")

    response = operator.post(url(Webhook, "change", webhook.public_id), form_of(webhook, headers=typed))

    assert errors_at(response) == {"headers": messages}
    assert stored() == "X-Key=1"


@pytest.mark.parametrize("elsewhere", ["https://other.example.com/hook", "http://receiver.example.com/hook"])
def test_a_stored_value_is_not_sent_to_another_receiver(operator, settings_of_app, elsewhere):
    settings_of_app(ALLOWED_SCHEMES=["http", "https"], ALLOWED_PORTS=[80, 443])
    webhook = subscribed(headers="Authorization=Basic hunter2\nX-Key=1")
    change = url(Webhook, "change", webhook.public_id)

    response = operator.post(change, form_of(webhook, url=elsewhere, headers="Authorization=••••\nX-Key=2"))

    assert errors_at(response)["headers"] == [
        "Line 1: the URL is that of another receiver. Enter the value of Authorization again, or remove the line."
    ]
    assert Webhook.objects.get().url == "https://receiver.example.com/hook"
    operator.post(change, form_of(webhook, url=elsewhere, headers="Authorization=Basic mine\nX-Key=2"))
    assert (Webhook.objects.get().url, stored()) == (elsewhere, "Authorization=Basic mine\nX-Key=2")


def test_a_form_with_errors_comes_back_without_the_values_that_were_typed(operator):
    webhook = subscribed(headers="X-Key=1\nX-Old=2")
    typed = "Authorization=Basic hunter2\nX-Key=••••\nX-Old=3\nX-Empty=\nAccept: s3cret"
    form = form_of(webhook, headers=typed, authentication="bearer", auth_token="t0ken", url="")

    response = operator.post(url(Webhook, "change", webhook.public_id), form)

    page = response.content.decode()
    assert "Authorization=…\nX-Key=••••\nX-Old=…\nX-Empty=</textarea>" in page
    assert [one for one in ("hunter2", "s3cret", "t0ken") if one in page] == []
    errors = errors_at(response)
    assert errors["auth_token"] == [AGAIN]
    assert errors["headers"] == ["Line 5: The “=” is missing. Write name=value, or remove the line."]
    response = operator.post(url(Webhook, "change", webhook.public_id), form_of(webhook, headers="X-Key=3", url=""))
    assert errors_at(response)["headers"] == [VALUES_AGAIN]


@pytest.mark.parametrize(
    "typed", ["Authorization: Basic s3cret==", "X-Key: s3cret=", "X-Key: s3cret", "s3cret s3cret=1"]
)
def test_what_is_no_name_of_a_header_is_not_shown(operator, typed):
    webhook = subscribed(headers="X-Old=1")

    response = operator.post(
        url(Webhook, "change", webhook.public_id), form_of(webhook, headers=f"X-Old=••••\n{typed}", url="")
    )

    page = response.content.decode()
    assert "X-Old=••••</textarea>" in page
    assert "s3cret" not in page
    assert errors_at(response)["headers"]
