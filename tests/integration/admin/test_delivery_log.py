"""The delivery log: found by keys, read page by page, and sent again."""

from datetime import timedelta

import pytest
from django.utils import timezone

from tests.integration.admin.pages import text_of, url
from tests.integration.delivery.rows import subscribed, write_delivery
from tms_webhooks.admin import deliveries as page
from tms_webhooks.admin import logs
from tms_webhooks.choices import Priority
from tms_webhooks.models import Delivery, Event, Webhook
from tms_webhooks.outbox.wake import waker


def finished(webhook):
    now = timezone.now()
    return write_delivery(webhook, now=now, status="exhausted", due_at=None, finished_at=now, attempts=1)


def listed(client, **query):
    response = client.get(url(Delivery, "changelist"), query)
    assert response.status_code == 200
    return list(response.context["cl"].result_list)


def messages_of(response):
    return [str(message) for message in response.context["messages"]]


def resend(client, *chosen, **data):
    data = {
        "action": "resend_selected",
        "_selected_action": [one.public_id for one in chosen],
        "confirmed": "yes",
        **data,
    }
    data = {name: value for name, value in data.items() if value is not None}
    return client.post(url(Delivery, "changelist"), data, follow=True)


# Finding


def test_the_filter_offers_webhooks_that_exist_and_not_too_many(operator, monkeypatch):
    monkeypatch.setattr(logs, "MAX_WEBHOOKS", 2)
    for name in ("C", "A", "B"):
        subscribed(name=name)
    subscribed(name="AA", deleted_at=timezone.now())

    response = operator.get(url(Delivery, "changelist"))

    (webhooks, *_others) = response.context["cl"].filter_specs
    assert [name for _pk, name in webhooks.lookup_choices] == ["A", "B"]


@pytest.mark.parametrize("term", ["CRM", "evt_123", "9" * 19, "evt_" + "g" * 32, "' OR 1=1", "²"])
def test_a_term_that_is_no_key_finds_nothing_and_is_reported(operator, term):
    finished(subscribed(name="CRM"))

    response = operator.get(url(Delivery, "changelist"), {"q": term})

    assert list(response.context["cl"].result_list) == []
    assert (
        f"Nothing matches “{term}”. Names are found only in events of the last 30 days, and only where you may view payloads. "
        "Possible reasons: no webhook has this event selected, or the object belongs to another organization (see Audience "
        "in the webhook). Check the webhooks"
    ) in text_of(response)
    assert f'<a href="{url(Webhook, "changelist")}">Check the webhooks</a>' in response.content.decode()


# Sending again


@pytest.fixture
def wake_ups(monkeypatch):
    """The wake-ups so far."""
    calls = []
    monkeypatch.setattr(waker, "wake", lambda: calls.append(True))
    return calls


def test_selected_deliveries_are_sent_by_their_state_and_refusals_are_reported(
    operator, wake_ups, django_capture_on_commit_callbacks
):
    webhook, later = subscribed(), timezone.now() + timedelta(hours=1)
    fine, pruned = finished(webhook), finished(webhook)
    waiting = write_delivery(webhook, now=timezone.now(), status="waiting", attempts=1, charged=1, due_at=later)
    Event.objects.filter(pk=pruned.event_id).update(body="")
    assert "3 deliveries are sent immediately" in text_of(resend(operator, fine, pruned, waiting, confirmed=None))

    with django_capture_on_commit_callbacks(execute=True):
        response = resend(operator, fine, pruned, waiting)

    notices = messages_of(response)
    assert notices[0].startswith(f"Delivery {pruned.public_id}: its payload is no longer kept")
    assert notices[1:] == ["2 deliveries are sent now."]
    assert wake_ups
    waiting.refresh_from_db()
    assert (waiting.priority, waiting.due_at < later) == (Priority.MANUAL, True)


def test_too_many_selected_deliveries_are_not_resent(operator, monkeypatch):
    monkeypatch.setattr(page, "MAX_RESENDS", 3)
    webhook = subscribed()
    several = [finished(webhook) for _ in range(4)]

    response = resend(operator, several[0], select_across="1")

    assert messages_of(response) == ["Select at most 3 deliveries. Nothing was sent."]
    assert not Delivery.objects.exclude(status="exhausted").exists()


def test_resending_needs_the_permission_to_change_deliveries(staff):
    delivery = finished(subscribed())
    client, page = staff("view_delivery"), url(Delivery, "change", delivery.public_id)

    assert "resend_selected" not in client.get(url(Delivery, "changelist")).content.decode()
    assert url(Delivery, "resend", delivery.public_id) not in client.get(page).content.decode()
    resend(client, delivery)

    delivery.refresh_from_db()
    assert delivery.status == "exhausted"
