"""Header values: dots once they are stored, dots once they were typed, and never lost."""

from __future__ import annotations

import html
import re

import pytest
from django.test import Client

from example_project.training.factories import OrganizationFactory, UserFactory
from tests.integration.admin.pages import errors_at, form_of, url
from tests.integration.delivery.rows import subscribed
from tms_webhooks.models import Webhook
from tms_webhooks.models.encryption import reveal


def stored() -> str:
    return reveal(Webhook.objects.get().headers)


def carried_by(response) -> dict[str, str]:
    """Return the header fields that a returned page would post again."""
    page = html.unescape(response.content.decode())
    box = re.search(r'<textarea name="headers"[^>]*>\n?(.*?)</textarea>', page, re.DOTALL)
    kept = re.search(r'name="kept" value="([^"]*)"', page)
    assert box is not None
    assert kept is not None
    return {"headers": box.group(1), "kept": kept.group(1)}


@pytest.mark.parametrize(
    ("typed", "meant"),
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
    ("typed", "message"),
    [
        ("X-Other=••••", "Line 1: the header X-Other has no stored value. Replace the dots with its value."),
        ("X-Key=••••2", "Line 1: leave the dots as they are, or replace them all."),
        ("X-New=1\n••••", "Line 2: leave the dots as they are, or replace them all."),
    ],
)
def test_dots_for_nothing_are_refused(operator, typed, message):
    webhook = subscribed(headers="X-Key=1")

    response = operator.post(url(Webhook, "change", webhook.public_id), form_of(webhook, headers=typed))

    assert errors_at(response) == {"headers": [message]}
    assert stored() == "X-Key=1"


def test_entered_values_come_back_as_dots_and_are_kept(operator):
    organization = OrganizationFactory()
    form = form_of(organization=organization.pk, headers="Authorization=Basic hunter2\nAccept: text/plain", url="")

    response = operator.post(url(Webhook, "add"), form)

    assert "hunter2" not in response.content.decode()
    carried = carried_by(response)
    # A wrong line comes back to be corrected.
    assert carried["headers"] == "Authorization=••••\nAccept: text/plain"
    carried["headers"] = "Authorization=••••"
    # A second mistake, and then none.
    response = operator.post(url(Webhook, "add"), form_of(organization=organization.pk, name="", **carried))
    assert "hunter2" not in response.content.decode()
    operator.post(url(Webhook, "add"), form_of(organization=organization.pk, **carried_by(response)))
    assert stored() == "Authorization=Basic hunter2"


def test_entered_values_are_not_usable_by_another_user(operator):
    organization = OrganizationFactory()
    response = operator.post(url(Webhook, "add"), form_of(organization=organization.pk, headers="X-Key=mine", url=""))
    other = Client()
    other.force_login(UserFactory(username="other", organization=None, is_staff=True, is_superuser=True))

    response = other.post(url(Webhook, "add"), form_of(organization=organization.pk, **carried_by(response)))

    assert errors_at(response)["headers"][0].startswith("Line 1: the header X-Key has no stored value.")
    assert not Webhook.objects.exists()


@pytest.mark.parametrize("token", ["nonsense", "a:b:c"])
def test_a_token_that_is_made_up_is_worth_nothing(operator, token):
    form = form_of(organization=OrganizationFactory().pk, headers="X-Key=••••", kept=token)

    assert list(errors_at(operator.post(url(Webhook, "add"), form))) == ["headers"]


@pytest.mark.parametrize("elsewhere", ["https://other.example.com/hook", "http://receiver.example.com/hook"])
def test_a_stored_value_is_not_sent_to_another_receiver(operator, settings, elsewhere):
    settings.TMS_WEBHOOKS = {**settings.TMS_WEBHOOKS, "ALLOWED_SCHEMES": ["http", "https"], "ALLOWED_PORTS": [80, 443]}
    webhook = subscribed(headers="Authorization=Basic hunter2\nX-Key=1")
    change = url(Webhook, "change", webhook.public_id)

    response = operator.post(change, form_of(webhook, url=elsewhere, headers="Authorization=••••\nX-Key=2"))

    assert errors_at(response)["headers"] == [
        "Line 1: the URL is that of another receiver. Enter the value of Authorization again, or remove the line."
    ]
    assert Webhook.objects.get().url == "https://receiver.example.com/hook"
    # What was typed is known, and dots stand for it.
    again = {**carried_by(response), "headers": "Authorization=Basic mine\nX-Key=••••"}
    operator.post(change, form_of(webhook, url=elsewhere, **again))
    assert (Webhook.objects.get().url, stored()) == (elsewhere, "Authorization=Basic mine\nX-Key=2")


def test_another_path_of_the_same_receiver_keeps_the_values(operator):
    webhook = subscribed(headers="Authorization=Basic hunter2")
    form = form_of(webhook, url="https://RECEIVER.example.com:443/new?v=2", headers="Authorization=••••")

    operator.post(url(Webhook, "change", webhook.public_id), form)

    assert (Webhook.objects.get().url, stored()) == (form["url"], "Authorization=Basic hunter2")
