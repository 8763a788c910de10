"""The log as a person reads it: objects by name, outcomes with their code, and when; names only where payloads are shown."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from tests.integration.admin.pages import shown_at, text_of, url
from tests.integration.delivery.rows import subscribed, write_delivery, write_event
from tms_webhooks.admin import events as search
from tms_webhooks.models import Delivery, DeliveryAttempt, Event, Webhook

pytestmark = pytest.mark.django_db

NAME = "Anna Larsen · Azure basics"


def named(webhook: Webhook | None = None, *, name: str = NAME, external_id: str = "ENR-9", **values) -> Delivery:
    """Write a delivery about an object with a name."""
    delivery = write_delivery(webhook or subscribed(name="CRM"), now=timezone.now(), **values)
    about = {"subject_name": name, "external_id": external_id, "occurred_at": timezone.now()}
    Event.objects.filter(pk=delivery.event_id).update(**about)
    delivery.event.refresh_from_db()
    return delivery


def failed(code: int | None, *, error: str = "http_status", number: int = 6, **values) -> Delivery:
    """Write a delivery that was given up, with its last attempt."""
    now = timezone.now()
    done = {"status": "exhausted", "due_at": None, "finished_at": now, "attempts": number, "error_class": error}
    delivery = named(**{**done, **values})
    DeliveryAttempt.objects.create(
        delivery=delivery, number=number, started_at=now, duration_ms=9, status_code=code, error_class=error
    )
    return delivery


def rows(client: Client, **query: object) -> str:
    """Return the text of the list's rows."""
    return shown_at(client, url(Delivery, "changelist"), query).partition("Attempts")[2]


def listed(client: Client, **query: object) -> list[Delivery]:
    return list(client.get(url(Delivery, "changelist"), query).context["cl"].result_list)


# What a row says


def test_a_row_has_the_object_the_event_the_webhook_the_outcome_and_the_attempts(operator):
    delivery = failed(404)

    text = rows(operator)

    subject = f"class:{delivery.event.subject_id}"
    assert f"{NAME} {subject} · ENR-9 class.cancelled CRM Gave up after all retries HTTP 404" in text
    assert "6 attempts" in text


@pytest.mark.parametrize(
    ("values", "outcome"),
    [
        ({"status": "delivered", "error": "", "code": 204}, "Delivered HTTP 204"),
        ({"status": "failed", "error": "blocked_address", "code": None}, "Can't be retried Blocked address"),
        ({"status": "exhausted", "error": "timeout", "code": None}, "Gave up after all retries Timed out"),
    ],
)
def test_the_outcome_is_the_code_or_the_kind_of_the_error(operator, values, outcome):
    code = values.pop("code")
    failed(code, **values)

    assert outcome in rows(operator)


def test_what_is_due_says_in_how_much_time(operator):
    named(due_at=timezone.now() + timedelta(minutes=30))

    assert "in 30 min" in rows(operator)


def test_what_is_finished_says_when_to_the_second(operator):
    delivery = failed(503)

    at = timezone.localtime(delivery.finished_at)
    assert f"{at:%H:%M:%S}" in rows(operator)


def test_times_are_in_the_time_zone_of_the_organization(operator, settings):
    settings.TMS_WEBHOOKS = {**settings.TMS_WEBHOOKS, "ORGANIZATION_FIELDS": {"time_zone": "name"}}
    delivery = failed(503)
    organization = delivery.webhook.organization
    organization.name = "Asia/Tokyo"
    organization.save()

    at = delivery.finished_at + timedelta(hours=9)
    assert f"{at:%H:%M:%S} JST" in rows(operator)


def test_the_list_refreshes_itself_only_while_a_delivery_is_open(operator):
    failed(503)
    page = operator.get(url(Delivery, "changelist")).content.decode()
    assert "data-tms-refresh" not in page

    named()

    assert (
        'data-tms-refresh="/admin/tms_webhooks/delivery/?webhook='
        in operator.get(
            url(Delivery, "changelist"), {"webhook": Delivery.objects.first().webhook.public_id}
        ).content.decode()
    )


def test_the_filters_are_selects_above_the_table(operator):
    failed(503)

    page = operator.get(url(Delivery, "changelist"), {"status__exact": "exhausted"}).content.decode()

    assert 'id="changelist-filter"' not in page
    assert '<option value="exhausted" selected>Gave up after all retries</option>' in page


# Who sees a name


def test_names_are_shown_only_to_users_who_may_view_payloads(operator, staff):
    delivery = named()
    assert NAME in rows(operator)
    assert NAME in shown_at(operator, url(Event, "changelist"))

    client = staff("view_delivery")

    text = rows(client)
    assert "Anna" not in text
    assert f"class:{delivery.event.subject_id} · ENR-9" in text
    assert "Anna" not in text_of(client.get(url(Delivery, "change", delivery.public_id)))


def test_names_are_searched_only_by_users_who_may_view_payloads(operator, staff):
    delivery = named()
    assert listed(operator, q="Anna") == [delivery]

    response = staff("view_delivery").get(url(Delivery, "changelist"), {"q": "Anna"})

    assert list(response.context["cl"].result_list) == []
    assert "event does" not in text_of(response)


def test_names_of_other_organizations_are_neither_found_nor_counted(alice):
    named()
    ours = named(subscribed(organization=alice.organization), name="Anna Ours")

    assert listed(alice, q="Anna") == [ours]
    response = alice.get(url(Delivery, "changelist"), {"q": "Larsen"})
    assert list(response.context["cl"].result_list) == []
    assert "event does" not in text_of(response)


# Searching


@pytest.mark.parametrize("term", ["Anna", "anna larsen", "Larsen Anna", "LARSEN", "azure anna", " Larsen · Azure "])
def test_they_are_found_by_the_name_of_the_learner_or_the_class(operator, term):
    wanted = named()
    named(name="Bob Jones · Networks", external_id="")

    assert listed(operator, q=term) == [wanted]


@pytest.mark.parametrize("term", ["Zoë", "Utrecht", "A", "Anna Jones", "%", "_nna", "100%"])
def test_payloads_wildcards_and_single_letters_find_nothing(operator, term):
    named()

    assert listed(operator, q=term) == []


def test_a_name_is_searched_as_long_as_it_is_kept(operator):
    delivery = named()
    Event.objects.filter(pk=delivery.event_id).update(occurred_at=timezone.now() - timedelta(days=29))
    assert listed(operator, q="Anna") == [delivery]
    Event.objects.filter(pk=delivery.event_id).update(occurred_at=timezone.now() - timedelta(days=31))

    response = operator.get(url(Delivery, "changelist"), {"q": "Anna"})

    assert (
        "No delivery of the last 90 days matches “Anna”. Names are found only in events of the last 30 days"
        in text_of(response)
    )
    assert "Possible reasons: no webhook has this event selected, or the object belongs to another" in text_of(response)
    assert f'<a href="{url(Webhook, "changelist")}">Check the webhooks</a>' in response.content.decode()


def test_a_search_by_name_that_takes_too_long_says_how_far_it_came(operator, monkeypatch):
    delivery = named()
    Event.objects.filter(pk=delivery.event_id).update(occurred_at=timezone.now() - timedelta(days=29))
    monkeypatch.setattr(search, "MAX_NAME_SECONDS", -1.0)

    response = operator.get(url(Delivery, "changelist"), {"q": "Anna"})

    assert list(response.context["cl"].result_list) == []
    assert "were not searched. Search for an id to find older ones." in text_of(response)


def test_many_matches_end_with_the_newest(operator, monkeypatch):
    monkeypatch.setattr(search, "MAX_EVENTS", 2)
    found = [named() for _ in range(4)]

    assert listed(operator, q="Anna") == [found[3], found[2]]


@pytest.mark.parametrize("term", ["404", "HTTP 404", "http 404"])
def test_they_are_found_by_the_code_of_the_last_attempt(operator, term):
    wanted = failed(404)
    failed(503)
    delivered = failed(404, number=1, status="delivered", error="")

    assert listed(operator, q=term) == [wanted]
    assert delivered not in listed(operator, q=term)


@pytest.mark.parametrize("term", ["class.cancelled", "class.*"])
def test_they_are_found_by_the_event_type(operator, term):
    wanted = named()
    Event.objects.filter(pk=named().event_id).update(type="user.updated")

    assert listed(operator, q=term) == [wanted]


def test_a_name_that_has_events_but_no_delivery_leads_to_the_events(operator):
    webhook = subscribed()
    event = write_event(webhook.organization)
    Event.objects.filter(pk=event.pk).update(subject_name=NAME, occurred_at=timezone.now())

    response = operator.get(url(Delivery, "changelist"), {"q": "Anna"})

    assert "matches “Anna”. 1 event does. See why it was not sent" in text_of(response)
    assert f'href="{url(Event, "changelist")}?q=Anna"' in response.content.decode()
    assert list(operator.get(url(Event, "changelist"), {"q": "Anna"}).context["cl"].result_list) == [event]
