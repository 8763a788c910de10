"""Notifications to Slack and Teams are posted by the app's own transport, with the body that each of them takes."""

import json
import re
from datetime import timedelta

import pytest

from tests import sweeps
from tests.integration.delivery.rows import distinct, subscribed
from tests.receiver import Answer
from tms_webhooks.delivery import notices
from tms_webhooks.models import Notification

BROKEN = "https:\u200b//evil.\u200bexample.\u200bcom"


@pytest.fixture
def notify(clock):
    """Notify at the clock's time, and send in this thread."""
    return lambda: sweeps.notify(clock)


ADDRESSES = {}
"""What the host's function returns, by organization."""


def addresses_of(organization):
    return ADDRESSES.get(organization.pk, {})


@pytest.fixture
def failing(clock, settings_of_app):
    """Make webhooks that have failed for 10 minutes, without contacts; the host knows these addresses of the first one's organization."""
    ADDRESSES.clear()
    settings_of_app(CONTACTS=f"{__name__}.addresses_of")

    def failing(number=1, *, name="HR", **addresses):
        since = clock.now - timedelta(minutes=10)
        values = {"failing_since": since, "failed_at": since, "failures": 4, "failed_with": "timeout"}
        first = subscribed(name=name, **values)
        for _ in range(number - 1):
            subscribed(name=name, organization=first.organization, **values)
        ADDRESSES[first.organization_id] = addresses
        return first

    return failing


def outcome():
    row = Notification.objects.get()
    return row.status, row.error


def test_slack_gets_a_message_with_escaped_text_and_no_link_from_a_name(failing, notify, receiver):
    webhook = failing(name="*R&D <!channel> https://evil.example.com*", slack=receiver.url)
    type(webhook.organization).objects.update(name="https://evil.example.com")

    notify()

    (request,) = receiver.received
    body = json.loads(request.body)
    assert request.headers["content-type"] == "application/json; charset=utf-8"
    assert body["text"] == f"Webhooks of {BROKEN}: Failing (1)"
    header, section, _footer = body["blocks"]
    assert header["text"] == {"type": "plain_text", "text": f"Webhooks of {BROKEN}: Failing (1)"}
    (field,) = section["fields"]
    assert field["text"].startswith(f"*\u2217R&amp;D &lt;!channel&gt; {BROKEN}\u2217*\nFailing since ")
    assert re.search(r"4 attempts in a row have failed since .*, the last: Timed out\.", field["text"])
    assert outcome() == ("sent", "")


def test_teams_gets_an_adaptive_card_and_no_link_from_a_name(failing, notify, receiver):
    webhook = failing(name="[Log in](https://evil.example.com)", teams=receiver.url)
    type(webhook.organization).objects.update(name="[Acme](https://evil.example.com)")

    notify()

    (attachment,) = json.loads(receiver.received[0].body)["attachments"]
    title, facts, _footer = attachment["content"]["body"]
    assert facts["facts"][0]["title"] == f"[Log in] ({BROKEN})"
    assert title["text"] == f"Webhooks of [Acme] ({BROKEN}): Failing (1)"


@pytest.mark.parametrize("channel, link", [("slack", "<{url}>"), ("teams", "[{url}]({url})")])
def test_a_chat_gets_the_link_to_the_page_of_the_webhook(failing, notify, receiver, settings_of_app, channel, link):
    settings_of_app(ADMIN_URL="https://tms.example.com/admin/")
    webhook = failing(**{channel: receiver.url})

    notify()

    url = f"https://tms.example.com/admin/tms_webhooks/webhook/{webhook.public_id}/overview/"
    assert link.format(url=url) in receiver.received[0].body.decode()


def test_slow_chats_hold_back_neither_mails_nor_the_next_run(failing, notify, receiver, clock, mailoutbox):
    for _ in range(3):
        failing(slack=receiver.url, email=["ann@example.com"])
    mails_before = []

    def slow(_request):
        mails_before.append(len(mailoutbox))
        clock.advance(seconds=20)
        return Answer()

    receiver.respond = slow

    notify()

    assert mails_before == [3, 3]
    assert Notification.objects.filter(channel="slack", status="pending").count() == 1
    notify()
    assert distinct(Notification, "status") == {"sent"}


def test_both_chats_and_the_contacts_get_a_message(failing, notify, receiver, mailoutbox):
    failing(slack=receiver.url, teams=receiver.url, email=["ann@example.com"])

    notify()

    assert len(receiver.received) == 2
    assert [one.to for one in mailoutbox] == [["ann@example.com"]]
    assert distinct(Notification, "channel", "recipients") == {
        ("slack", ""),
        ("teams", ""),
        ("email", "ann@example.com"),
    }


def test_a_chat_shows_ten_of_many_webhooks_and_counts_the_others(failing, notify, receiver):
    failing(12, slack=receiver.url)

    notify()

    _header, section, footer = json.loads(receiver.received[0].body)["blocks"]
    assert len(section["fields"]) == 10
    assert footer["elements"][0]["text"] == "Webhooks that are not shown: 2"


def test_an_internal_address_is_refused_when_it_connects_and_not_tried_again(
    failing, notify, receiver, settings_of_app
):
    failing(slack=receiver.url)
    settings_of_app(UNCHECKED_HOSTS=[])

    notify()

    assert receiver.received == []
    status, error = outcome()
    assert status == "failed"
    assert "127.0.0.1" in error or "address" in error
    assert "/hook" not in error


@pytest.mark.parametrize(
    "status, expected",
    [
        (404, ("failed", "HTTP 404")),
        (302, ("pending", "HTTP 302")),
        (429, ("pending", "HTTP 429")),
        (500, ("pending", "HTTP 500")),
    ],
)
def test_an_answer_that_may_pass_is_tried_again_and_another_one_is_not(failing, notify, receiver, status, expected):
    receiver.answers = [Answer(status, headers={"location": "https://elsewhere.example.com/"}, body=b"secret-answer")]
    failing(slack=receiver.url)

    notify()

    assert outcome() == expected


def test_an_address_that_was_removed_in_the_meantime_ends_the_message(failing, monkeypatch, notify, receiver):
    failing(slack=receiver.url)
    with monkeypatch.context() as patch:
        patch.setattr(notices, "send_due", lambda clock: None)
        notify()
    ADDRESSES.clear()

    notify()

    assert outcome() == ("failed", "The address was removed.")
