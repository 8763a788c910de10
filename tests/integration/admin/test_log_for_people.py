"""The log as a person reads it: objects by name, outcomes with their code, and when; names only where payloads are shown."""

import uuid
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.utils import timezone

from example_project.training.factories import ClassEnrollmentFactory, OrganizationFactory
from tests.integration.admin.pages import shown_at, text_of, url
from tests.integration.delivery.rows import name_event, subscribed, write_delivery, write_event
from tests.integration.test_query_plans import analyze, explained
from tms_webhooks.admin import events as search
from tms_webhooks.choices import Action
from tms_webhooks.models import Delivery, DeliveryAttempt, Event, Webhook
from tms_webhooks.models.event import subject_key
from tms_webhooks.outbox.fanout import fan_out

NAME = "Anna Larsen · Azure basics"


def named(webhook=None, *, name=NAME, external_id="ENR-9", **values):
    """Write a delivery about an object with a name."""
    delivery = write_delivery(webhook or subscribed(name="CRM"), now=timezone.now(), **values)
    name_event(delivery.event, name, external_id=external_id, occurred_at=timezone.now())
    return delivery


def failed(code, *, error="http_status", number=6, **values):
    """Write a delivery that was given up, with its last attempt."""
    now = timezone.now()
    done = {"status": "exhausted", "due_at": None, "finished_at": now, "attempts": number, "error_class": error}
    delivery = named(**{**done, **values})
    DeliveryAttempt.objects.create(
        delivery=delivery, number=number, started_at=now, duration_ms=9, status_code=code, error_class=error
    )
    return delivery


def rows(client, **query):
    """Return the text of the list's rows."""
    return shown_at(client, url(Delivery, "changelist"), query).partition("When")[2]


def listed(client, **query):
    return list(client.get(url(Delivery, "changelist"), query).context["cl"].result_list)


# What a row says


def test_a_row_has_the_object_the_event_the_webhook_the_outcome_and_the_attempts(operator):
    delivery = failed(404)

    text = rows(operator)

    subject = f"class:{delivery.event.subject_id}"
    assert f"{NAME} {subject} · ENR-9 class.cancelled CRM Gave up after all retries HTTP 404 · 6 attempts" in text
    assert f"{timezone.localtime(delivery.finished_at):%H:%M:%S %b %-d, %Y}" in text
    named(due_at=timezone.now() + timedelta(minutes=30))
    assert "in 30 min" in rows(operator)


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


# Who sees a name


def test_names_are_shown_and_found_only_where_the_user_may_view_payloads(operator, staff, alice):
    delivery, ours = named(), named(subscribed(organization=alice.organization), name="Anna Ours")
    for page in (url(Delivery, "changelist"), url(Event, "changelist")):
        assert NAME in shown_at(operator, page)
    assert listed(operator, q="Anna") == [ours, delivery]

    client = staff("view_delivery")

    assert "Anna" not in rows(client)
    assert f"class:{delivery.event.subject_id} · ENR-9" in rows(client)
    assert "Anna" not in text_of(client.get(url(Delivery, "change", delivery.public_id)))
    for visitor, term in ((client, "Anna"), (alice, "Larsen")):
        response = visitor.get(url(Delivery, "changelist"), {"q": term})
        assert list(response.context["cl"].result_list) == []
        assert "event matches" not in text_of(response)
    assert listed(alice, q="Anna") == [ours]


def test_names_are_not_found_in_an_organization_whose_payloads_the_user_may_not_view(alice, deny):
    named(subscribed(organization=OrganizationFactory(parent=alice.organization)))
    assert len(listed(alice, q="Anna")) == 1

    deny(Action.VIEW_PAYLOAD, below=True)

    assert listed(alice, q="Anna") == []


# Searching


@pytest.mark.parametrize("term", ["Anna", "gomez anna", "GÓMEZ", "basica anna", " Gómez · Azure ", "ANNÁ azüre bäsic"])
def test_they_are_found_by_words_of_their_names_in_any_order_and_without_accents(operator, term):
    wanted = named(name="Anna Gómez · Azure Básica")
    named(name="Bob Jones · Networks", external_id="")

    assert listed(operator, q=term) == [wanted]


@pytest.mark.parametrize("term", ["Zoë", "Utrecht", "A", "Anna Jones", "%", "_nna", "100%", "´´", "\\%"])
def test_payloads_wildcards_and_single_letters_find_nothing(operator, term):
    named()

    assert listed(operator, q=term) == []


def test_a_name_is_searched_as_long_as_it_is_kept(operator):
    delivery = named()
    Event.objects.filter(pk=delivery.event_id).update(occurred_at=timezone.now() - timedelta(days=29))
    assert listed(operator, q="Anna") == [delivery]
    Event.objects.filter(pk=delivery.event_id).update(occurred_at=timezone.now() - timedelta(days=31))

    response = operator.get(url(Delivery, "changelist"), {"q": "Anna"})

    assert "Nothing matches “Anna”. Names are found only in events of the last 30 days" in text_of(response)
    assert "Possible reasons: no webhook has this event selected, or the object belongs to another" in text_of(response)
    assert f'<a href="{url(Webhook, "changelist")}">Check the webhooks</a>' in response.content.decode()


def test_a_search_by_name_that_takes_too_long_says_how_far_it_came(operator, monkeypatch):
    delivery = named()
    Event.objects.filter(pk=delivery.event_id).update(occurred_at=timezone.now() - timedelta(days=29))
    monkeypatch.setattr(search, "MAX_NAME_SECONDS", -1.0)

    response = operator.get(url(Delivery, "changelist"), {"q": "Anna"})

    assert list(response.context["cl"].result_list) == []
    assert "were not searched. Search for an id to find older ones." in text_of(response)


def test_a_name_that_has_events_but_no_delivery_leads_to_the_events(operator):
    webhook = subscribed()
    event = write_event(webhook.organization)
    name_event(event, NAME, occurred_at=timezone.now())

    response = operator.get(url(Delivery, "changelist"), {"q": "Anna"})

    assert "1 event matches. See why it was not sent" in text_of(response)
    assert f'href="{url(Event, "changelist")}?q=Anna"' in response.content.decode()
    assert list(operator.get(url(Event, "changelist"), {"q": "Anna"}).context["cl"].result_list) == [event]


# Found by ids and filters, through indexes, and only those of the user's organizations


def delivery_of(webhook=None, *, at=None, **event):
    delivery = write_delivery(webhook or subscribed(), now=at or timezone.now())
    if event:
        Event.objects.filter(pk=delivery.event_id).update(**event)
    return delivery


# Searching

KEY = uuid.UUID(int=0x7001)


@pytest.mark.parametrize(
    "term, about",
    [
        ("enrollment:7001", {"subject_id": "7001"}),
        ("7001", {"subject_id": "7001"}),
        (" ENR-70031 ", {"external_id": "ENR-70031"}),
        ("SAP:0042", {"external_id": "SAP:0042"}),
        (str(KEY), {"subject_id": subject_key(KEY)}),
        (f"enrollment:{KEY}", {"subject_id": subject_key(KEY)}),
        (KEY.hex.upper(), {"subject_id": subject_key(KEY)}),
        ("user.updated", {"type": "user.updated"}),
        ("user.*", {"type": "user.updated"}),
        (f"  EVT_{KEY.hex} ", {"uid": KEY}),
        (f"evt_{KEY}", {"uid": KEY}),
        (KEY.hex, {"uid": KEY}),
    ],
)
def test_they_are_found_by_the_object_its_id_or_its_external_id(operator, term, about):
    wanted = delivery_of(**{"subject_type": "enrollment", **about})
    delivery_of(subject_type="enrollment", subject_id="7002", external_id="ENR-7003")

    assert listed(operator, q=term) == [wanted]


def test_they_are_found_by_their_own_id_and_not_by_their_number(operator):
    webhook = subscribed()
    delivery_of(webhook)
    wanted = delivery_of(webhook)

    assert listed(operator, q=wanted.public_id) == [wanted]
    assert listed(operator, q="dlv_" + "9" * 64) == []
    # The number would show how many deliveries all organizations have.
    assert listed(operator, q=wanted.pk) == []


def test_an_event_keeps_the_external_id_of_its_object():
    enrollment = ClassEnrollmentFactory(external_id="ENR-9")
    webhook = subscribed(organization=enrollment.training_class.organization)
    enrollment.enrollment_status_id = 10
    enrollment.save()
    fan_out(timezone.now())

    event = Event.objects.get(type="enrollment.cancelled")
    assert event.external_id == "ENR-9"
    assert Event.objects.with_external_id("ENR-9").filter(deliveries__webhook=webhook).exists()


@pytest.mark.skipif(connection.vendor == "mysql", reason="MariaDB decides by other rules")
@pytest.mark.parametrize("term", ["enrollment:7001", "7001", "ENR-1", "evt_" + "0" * 32, "Anna"])
def test_a_search_reads_no_table_from_end_to_end(operator, term):
    webhook = subscribed()
    delivery_of(webhook, subject_type="enrollment", subject_id="7001", external_id="ENR-1", searched_name="anna")
    for _ in range(300):
        delivery_of(webhook)
    analyze()
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            # Of so few rows it may find it quicker to read them all.
            cursor.execute("SET LOCAL enable_seqscan = off")

    with explained() as statements:
        listed(operator, q=term)

    for table in (Event._meta.db_table, Delivery._meta.db_table):
        # But for the newest and the oldest key.
        assert [scan for scan in statements.whole_scans(table) if "LIMIT 1\n" not in scan] == []


# Filtering


def test_they_are_filtered(operator):
    now, noon = timezone.now(), datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
    new = delivery_of(at=now - timedelta(minutes=5), type="user.updated")
    old = delivery_of(at=now - timedelta(days=3))
    range_of = {"since": "2026-01-01T12:00", "until": "2026-01-01T13:00"}
    for minutes in (-1, 0, 60):
        delivery_of(old.webhook, at=noon + timedelta(minutes=minutes))
    last = Delivery.objects.get(created_at=noon)
    Delivery.objects.filter(pk=old.pk).update(status="failed", error_class="timeout", due_at=None, finished_at=now)

    for query, expected in (
        ({"type": "user.updated"}, [new]),
        ({"type": "no.such"}, []),
        ({"organization": new.webhook.organization_id}, [new]),
        ({"organization": "999999"}, []),
        ({"organization": "' OR 1=1"}, []),
        ({"webhook": new.webhook.public_id}, [new]),
        ({"status__exact": "failed"}, [old]),
        ({"error_class__exact": "timeout", "status__exact": "pending"}, []),
        ({"period": "hour"}, [new]),
        ({"period": "week"}, [old, new]),
        (range_of, [last]),
        # The other selects are sent, too, and select nothing.
        ({"status__exact": "failed", "type": "", "webhook": "", "period": "", "since": "", "until": ""}, [old]),
    ):
        assert listed(operator, **query) == expected, query
    page = operator.get(url(Delivery, "changelist"), {**range_of, "status__exact": "failed"}).content.decode()
    assert '<option value="failed" selected>' in page
    assert '<input type="datetime-local" name="since" value="2026-01-01T12:00">' in page


def test_a_range_that_ends_before_it_begins_is_reported(operator):
    delivery_of()

    response = operator.get(url(Delivery, "changelist"), {"since": "2026-01-01T14:00", "until": "2026-01-01T14:00"})

    assert list(response.context["cl"].result_list) == []
    assert "From must be before Until." in text_of(response)


# Whose


@pytest.mark.parametrize(
    "query",
    [
        lambda theirs: {},
        lambda theirs: {"q": theirs.pk},
        lambda theirs: {"q": theirs.event.public_id},
        lambda theirs: {"q": "ENR-THEIRS"},
        lambda theirs: {"q": f"class:{theirs.event.subject_id}"},
        lambda theirs: {"organization": theirs.webhook.organization_id},
        lambda theirs: {"webhook": theirs.webhook.public_id},
        lambda theirs: {"webhook__organization__id__exact": theirs.webhook.organization_id},
        lambda theirs: {"status__exact": "pending"},
        lambda theirs: {"type": "class.cancelled"},
        lambda theirs: {"period": "day"},
    ],
)
def test_others_are_found_by_no_filter_and_no_search(alice, query):
    theirs = delivery_of(external_id="ENR-THEIRS")
    ours = delivery_of(subscribed(organization=alice.organization))

    response = alice.get(url(Delivery, "changelist"), query(theirs), follow=True)

    assert theirs not in response.context["cl"].result_list
    assert theirs.event.public_id not in response.content.decode().replace(response.context["cl"].query, "")
    assert set(response.context["cl"].result_list) <= {ours}
