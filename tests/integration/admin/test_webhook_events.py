"""The events of a webhook on its page: check boxes, filters, and rows that keep who they are."""

from __future__ import annotations

import html
import json
import re

import pytest
from django.test import Client
from django.urls import reverse

from example_project.training.factories import OrganizationFactory
from tests.integration.admin.browsing import untouched
from tests.integration.admin.pages import errors_at, form_of, text_of, url
from tests.integration.delivery.rows import subscribed
from tms_webhooks.admin.forms.events import EventRows, patterns
from tms_webhooks.admin.forms.subscription import IdsField
from tms_webhooks.catalogue import all_types
from tms_webhooks.models import AuditEntry, Subscription, Webhook


@pytest.fixture
def save(operator):
    """Save the page of a webhook with these rows; return the answer."""

    def save(webhook: Webhook, *rows: dict, **values):
        return operator.post(
            url(Webhook, "change", webhook.public_id), form_of(webhook, subscriptions=list(rows), **values)
        )

    return save


def filters_at(client: Client, webhook: Webhook | None, pattern: str, subscription: str = "") -> str:
    """Return the filters of an event, as the form's script loads them."""
    end = "_of" if webhook else ""
    address = reverse(f"admin:tms_webhooks_webhook_filters{end}", args=[webhook.public_id] if webhook else [])
    response = client.get(address, {"event_type": pattern, "number": "7", "subscription": subscription})
    assert response.status_code == 200
    return html.unescape(response.content.decode())


def asked() -> list[str]:
    return list(Subscription.objects.order_by("pk").values_list("event_type", flat=True))


def test_a_row_that_stays_keeps_its_key_and_one_that_is_unchecked_goes(save):
    webhook = subscribed(events=["class.cancelled", "user.updated"])
    one, other = webhook.subscriptions.order_by("pk")

    response = save(
        webhook,
        {"event_type": "user.updated", "key": other.public_id},
        {"event_type": "class.cancelled", "key": one.public_id, "chosen": ""},
        {"event_type": "voucher.redeemed"},
    )

    assert response.status_code == 302
    assert asked() == ["user.updated", "voucher.redeemed"]
    assert webhook.subscriptions.get(event_type="user.updated").pk == other.pk


def test_filters_are_stored_as_the_model_has_them(save):
    webhook = subscribed(events=[])

    save(
        webhook,
        {
            "event_type": "enrollment.*",
            "course": "301, 302",
            "class": "",
            "status_to": "20",
            "first_occurrence": "on",
            "condition": '{"data.grade": {"gte": 50}}',
        },
    )

    row = Subscription.objects.get()
    assert row.filters == {"course": [301, 302], "status_to": [20], "first_occurrence": True}
    assert row.condition == {"data.grade": {"gte": 50}}


def test_filters_are_shown_again_and_saving_them_changes_nothing(operator, save):
    webhook = subscribed(events=["enrollment.*"])
    filters = {"course": [301, "A-7"], "actor_kind": ["api"]}
    webhook.subscriptions.update(filters=filters, condition=None)
    row = webhook.subscriptions.get()

    page = text_of(operator.get(url(Webhook, "change", webhook.public_id)))
    assert "Courses: 301, A-7 Caused by: API Change filters" in page
    assert 'value="301, A-7"' in filters_at(operator, webhook, "enrollment.*", row.public_id)
    shown = {"event_type": "enrollment.*", "key": row.public_id, "course": "301, A-7", "actor_kind": "api"}
    save(webhook, shown)

    assert Subscription.objects.values_list("pk", "filters").get() == (row.pk, filters)
    assert not AuditEntry.objects.exists()


def test_a_closed_row_keeps_its_filters(save):
    webhook = subscribed(events=["enrollment.*"])
    webhook.subscriptions.update(filters={"course": [301]}, condition={"data.id": 7})
    before = webhook.subscriptions.values().get()

    save(webhook, {"event_type": "enrollment.*", "key": webhook.subscriptions.get().public_id}, name="Renamed")

    assert webhook.subscriptions.values().get() == before


def test_an_open_row_without_values_has_no_filters(save):
    webhook = subscribed(events=["enrollment.*"])
    webhook.subscriptions.update(filters={"course": [301]}, condition={"data.id": 7})
    row = {f"events-0-{name}": "" for name in ("course", "class", "organization", "condition")}

    save(webhook, {"event_type": "enrollment.*", "key": webhook.subscriptions.get().public_id}, **row)

    assert webhook.subscriptions.values_list("filters", "condition").get() == ({}, None)


def test_the_filters_of_an_event_can_be_opened_without_a_script(operator, save):
    webhook = subscribed(events=["class.cancelled"])
    webhook.subscriptions.update(filters={"course": [301]})
    stored = {"event_type": "class.cancelled", "key": webhook.subscriptions.get().public_id}
    new = {"event_type": "course_assignment.expiring", "more_than_days": "5", "less_than_days": "30"}

    response = save(webhook, stored, new, **{"events-open": ["0", "1"]}, name="Renamed")

    page = response.content.decode()
    assert "Nothing was saved yet. Fill in the row and save." in page
    assert 'name="events-0-course" id="id_events-0-course" value="301"' in page
    opened = response.context["adminform"].form.events.selected[1]
    assert [field.value() for field in opened.days] == ["5", "30"]
    assert asked() == ["class.cancelled"]


def test_the_filters_of_an_event_are_those_that_it_has():
    rows = [EventRows(webhook=Webhook()).opened(0, pattern, "") for pattern in patterns()]
    names = {row.pattern: [field.name for field in (*row.days, *row.filter_boxes)] for row in rows}

    assert names["class.cancelled"] == [
        "course",
        "class",
        "organization",
        "status_from",
        "actor_kind",
        "first_occurrence",
    ]
    assert "more_than_days" in names["course_assignment.expiring"]
    assert "more_than_days" not in names["class.cancelled"]
    assert "status_to" in names["enrollment.*"]
    # Of everything there is, a status means too many things.
    assert "status_to" not in names["*"]


def test_statuses_are_shown_however_they_were_written():
    webhook = subscribed(events=["enrollment.*"])
    webhook.subscriptions.update(filters={"status_from": ["waitlist", None], "status_to": [60]})

    row = EventRows(webhook=webhook).opened(0, "enrollment.*", webhook.subscriptions.get().public_id)

    assert (row["status_from"].value(), row["status_to"].value()) == ([20, "none"], [60])


@pytest.mark.parametrize(
    ("row", "field"),
    [
        ({"condition": "{"}, "condition"),
        ({"condition": '{"data.nonsense": 1}'}, "condition"),
        ({"course": ",".join(str(number) for number in range(300))}, "course"),
        ({"condition": "[1]"}, "condition"),
        ({"status_to": "7"}, "status_to"),
        ({"actor_kind": "robot"}, "actor_kind"),
    ],
)
def test_an_invalid_filter_is_reported_at_its_field_and_nothing_is_saved(save, row, field):
    webhook = subscribed(events=["user.updated"])

    errors = errors_at(save(webhook, {"event_type": "enrollment.*", **row}, name="Renamed"))

    assert errors[f"events-0-{field}"]
    assert errors["__all__"] == ["1 selected event has errors. Correct it below."]
    assert asked() == ["user.updated"]
    assert Webhook.objects.get().name != "Renamed"


def test_an_event_can_be_selected_twice(operator, save):
    webhook = subscribed(events=["course_assignment.expiring"])
    first = {
        "event_type": "course_assignment.expiring",
        "key": webhook.subscriptions.get().public_id,
        "less_than_days": "30",
    }

    response = save(webhook, first, **{"events-another": "course_assignment.expiring"})

    text = text_of(response)
    assert "Nothing was saved yet. Fill in the row and save." in text
    assert "Please correct the error" not in text
    rows = list(response.context["adminform"].form.events.selected)
    assert [row.pattern for row in rows] == ["course_assignment.expiring"] * 2
    assert Subscription.objects.get().less_than_days is None
    save(webhook, first, {"event_type": "course_assignment.expiring", "less_than_days": "7"})
    assert sorted(Subscription.objects.values_list("less_than_days", flat=True)) == [7.0, 30.0]


def test_a_webhook_without_events_is_warned_of(operator):
    form = form_of(organization=OrganizationFactory().pk, subscriptions=[])

    page = text_of(operator.post(url(Webhook, "add"), form, follow=True))

    assert "“CRM” has no events selected, so it receives nothing." in page


def test_the_key_of_another_webhooks_row_is_worth_nothing(save):
    webhook, other = subscribed(events=["class.*"]), subscribed(events=["class.*"])
    theirs = other.subscriptions.get()

    save(webhook, {"event_type": "class.*", "key": theirs.public_id, "condition": '{"data.id": 1}'})

    theirs.refresh_from_db()
    assert (theirs.webhook, theirs.condition) == (other, None)
    assert webhook.subscriptions.get().condition == {"data.id": 1}


def test_the_history_names_changed_events(operator, save):
    webhook = subscribed(events=["class.*"])

    save(webhook, {"event_type": "user.updated"})

    history = text_of(operator.get(url(Webhook, "history", webhook.public_id)))
    assert "Added subscription “user.updated”. Deleted subscription “class.*”." in history


def test_ids_are_numbers_where_nothing_is_lost_by_it():
    text = "0, 7, 007, A-7, 1234567890123456789012"

    assert IdsField().clean(text) == [0, 7, "007", "A-7", "1234567890123456789012"]


def test_an_id_with_a_comma_stands_in_quotation_marks():
    assert IdsField().clean('"A,7", 301, B"7", " C ", "D""", "", "E') == ["A,7", 301, 'B"7"', " C ", 'D"', '"E']


def test_the_days_window_is_a_sentence_that_shows_the_default(operator):
    OrganizationFactory()

    page = operator.get(url(Webhook, "add")).content.decode()

    sentences = re.findall(r"Send when more than <input ([^>]*)> and fewer than <input ([^>]*)> days remain", page)
    assert len(sentences) == len([one for one in all_types() if one.has_window])
    for more, less in sentences:
        assert 'placeholder="0"' in more
        assert 'aria-label="More than days"' in more
        assert 'placeholder="30"' in less


def test_the_read_only_page_shows_the_selected_events(staff):
    webhook = subscribed(events=["course_assignment.expiring", "enrollment.*", "*"])
    expiring, enrollments, _all = webhook.subscriptions.order_by("pk")
    expiring.less_than_days, expiring.filters, expiring.condition = 30, {"course": [301, "A,7"]}, {"data.id": 7}
    enrollments.filters = {"status_from": [None, "waitlist"], "actor_kind": ["api"], "first_occurrence": True}
    for one in (expiring, enrollments):
        one.save()

    page = text_of(staff("view_webhook").get(url(Webhook, "change", webhook.public_id)))

    assert 'Days before the date: more than 0 and less than 30 Courses: 301, "A,7" Condition: { "data.id": 7 }' in page
    assert "Status before: None: it did not change, Waitlist Caused by: API Only the first time for each object" in page
    assert "Days before the date: more than 0 and less than 30, the default" in page
    assert "Save" not in page


# Size


def many(count: int) -> list[dict[str, str]]:
    """Return rows of one event for so many courses."""
    return [{"event_type": "enrollment.enrolled", "course": str(number), "condition": ""} for number in range(count)]


def test_the_page_is_short_and_takes_few_queries(operator, django_assert_max_num_queries):
    OrganizationFactory()
    operator.get(url(Webhook, "add"))

    with django_assert_max_num_queries(8):
        page = operator.get(url(Webhook, "add")).content

    assert len(page) <= 100_000


def test_the_page_of_200_subscriptions_with_filters_takes_as_many_queries(operator, django_assert_max_num_queries):
    webhook = subscribed(events=[])
    for number in range(200):
        webhook.subscriptions.create(event_type="enrollment.enrolled", filters={"course": [number]})
    operator.get(url(Webhook, "change", webhook.public_id))

    with django_assert_max_num_queries(12):
        page = operator.get(url(Webhook, "change", webhook.public_id)).content

    assert len(page) <= 300_000


def test_200_subscriptions_are_saved_as_the_script_sends_them(save):
    webhook = subscribed(events=[])
    form = form_of(webhook, subscriptions=many(200))
    pairs = [[name, value] for name, value in form.items() if name.startswith("events-")]
    short = {name: value for name, value in form.items() if not name.startswith("events-")}

    response = save(webhook, **short, **{"events": json.dumps(pairs), "events-TOTAL": "200"})

    assert response.status_code == 302
    assert webhook.subscriptions.count() == 200
    assert webhook.subscriptions.filter(filters={"course": [199]}).exists()


def test_the_saved_page_of_200_subscriptions_is_sent_without_a_script_too(operator):
    webhook = subscribed(events=[])
    for number in range(200):
        webhook.subscriptions.create(event_type="enrollment.enrolled", filters={"course": [number]})
    address = url(Webhook, "change", webhook.public_id)
    before = list(webhook.subscriptions.order_by("pk").values())

    response = operator.post(address, untouched(operator.get(address).content.decode(), form="webhook_form"))

    assert response.status_code == 302
    assert list(webhook.subscriptions.order_by("pk").values()) == before


@pytest.mark.parametrize(
    ("total", "packed"),
    [("", ""), ("nonsense", "[1]"), ("-1", "{}"), ("", '[["events-TOTAL", 1]]'), ("", "[" * 100_000)],
)
def test_a_form_without_its_events_removes_none(operator, total, packed):
    webhook = subscribed(events=["class.*"])
    form = {**form_of(webhook, subscriptions=[]), "events-TOTAL": total, "events": packed}

    errors = errors_at(operator.post(url(Webhook, "change", webhook.public_id), form))

    assert errors == {"__all__": ["The list of events is incomplete. Open the page again."]}
    assert asked() == ["class.*"]
