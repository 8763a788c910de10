"""The events of a webhook on its page: check boxes, filters, and rows that keep who they are."""

from __future__ import annotations

import pytest

from example_project.training.factories import OrganizationFactory
from tests.integration.admin.pages import errors_at, form_of, text_of, url
from tests.integration.delivery.rows import subscribed
from tms_webhooks.catalogue import all_types
from tms_webhooks.models import AuditEntry, Subscription, Webhook

pytestmark = pytest.mark.django_db


@pytest.fixture
def save(operator):
    """Save the page of a webhook with these rows; return the answer."""

    def save(webhook: Webhook, *rows: dict, **values):
        return operator.post(
            url(Webhook, "change", webhook.public_id), form_of(webhook, subscriptions=list(rows), **values)
        )

    return save


def asked() -> list[str]:
    return list(Subscription.objects.order_by("pk").values_list("event_type", flat=True))


def test_every_event_is_offered_once_with_its_description(operator):
    OrganizationFactory()

    page = operator.get(url(Webhook, "add")).content.decode()

    for event_type in all_types():
        assert page.count(f'data-tms-event="{event_type.name}"') == event_type.offered
    assert "0 events selected" in page


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

    page = operator.get(url(Webhook, "change", webhook.public_id)).content.decode()
    assert 'value="301, A-7"' in page
    shown = {"event_type": "enrollment.*", "key": row.public_id, "course": "301, A-7", "actor_kind": "api"}
    save(webhook, shown)

    assert Subscription.objects.values_list("pk", "filters").get() == (row.pk, filters)
    assert not AuditEntry.objects.exists()


def test_the_filters_of_an_event_are_those_that_it_has(operator):
    OrganizationFactory()
    rows = operator.get(url(Webhook, "add")).context["adminform"].form.events.rows
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


def test_statuses_are_shown_however_they_were_written(operator):
    webhook = subscribed(events=["enrollment.*"])
    webhook.subscriptions.update(filters={"status_from": ["waitlist", None], "status_to": [60]})

    (row,) = operator.get(url(Webhook, "change", webhook.public_id)).context["adminform"].form.events.selected

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
    assert errors["__all__"] == ["Correct 1 event."]
    assert asked() == ["user.updated"]
    assert Webhook.objects.get().name != "Renamed"


def test_unselected_rows_are_not_validated(save):
    webhook = subscribed(events=[])

    save(webhook, {"event_type": "class.*"}, {"event_type": "enrollment.*", "chosen": "", "condition": "{"})

    assert asked() == ["class.*"]


def test_an_event_can_be_selected_twice(operator, save):
    webhook = subscribed(events=["course_assignment.expiring"])
    first = {
        "event_type": "course_assignment.expiring",
        "key": webhook.subscriptions.get().public_id,
        "less_than_days": "30",
    }

    response = save(webhook, first, **{"events-another": "course_assignment.expiring"})

    assert "Nothing was saved yet. Fill in the added row." in text_of(response)
    rows = [row for row in response.context["adminform"].form.events.rows if row.event_types]
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


def test_history_and_audit_log_record_changed_events(operator, save):
    webhook = subscribed(events=["class.*"])

    save(webhook, {"event_type": "user.updated"})

    history = text_of(operator.get(url(Webhook, "history", webhook.public_id)))
    assert "Added subscription “user.updated”. Deleted subscription “class.*”." in history
    entries = AuditEntry.objects.order_by("pk").values_list("action", "changes__event_type")
    assert list(entries) == [
        ("subscription.created", {"from": None, "to": "user.updated"}),
        ("subscription.deleted", "class.*"),
    ]


def test_the_audit_log_records_the_old_value_of_a_filter(save):
    webhook = subscribed(events=["course_assignment.expiring"])
    webhook.subscriptions.update(less_than_days=30)
    row = {"event_type": "course_assignment.expiring", "key": webhook.subscriptions.get().public_id}

    save(webhook, {**row, "less_than_days": "7", "course": "301"})

    entry = AuditEntry.objects.get()
    assert (entry.action, entry.changes) == (
        "subscription.updated",
        {"less_than_days": {"from": 30.0, "to": 7.0}, "filters": {"from": {}, "to": {"course": [301]}}},
    )


def test_ids_are_numbers_where_nothing_is_lost_by_it(save):
    webhook = subscribed(events=[])

    save(webhook, {"event_type": "enrollment.*", "course": "0, 7, 007, A-7, 1234567890123456789012"})

    assert Subscription.objects.get().filters == {"course": [0, 7, "007", "A-7", "1234567890123456789012"]}


def test_an_id_with_a_comma_stands_in_quotation_marks(save):
    webhook = subscribed(events=[])

    save(webhook, {"event_type": "enrollment.*", "course": '"A,7", 301, B"7", " C ", "D""", "", "E'})

    assert Subscription.objects.get().filters == {"course": ["A,7", 301, 'B"7"', " C ", 'D"', '"E']}


def test_the_form_names_the_window_that_empty_days_mean(operator):
    OrganizationFactory()

    rows = operator.get(url(Webhook, "add")).context["adminform"].form.events.rows

    assert {row.pattern for row in rows if row.default_window} == {
        row.pattern for row in rows if any(one.name.endswith(".expiring") for one in row.event_types)
    }
    assert {row.default_window for row in rows} == {
        "",
        "With both days empty: more than 0 and less than 30 days before the date.",
    }


def test_the_read_only_page_names_the_default_window(staff):
    webhook = subscribed(events=["*"])

    page = text_of(staff("view_webhook").get(url(Webhook, "change", webhook.public_id)))

    assert "Days before the date: more than 0 and less than 30, the default" in page


def test_the_read_only_page_shows_the_selected_events(staff):
    webhook = subscribed(events=["course_assignment.expiring", "enrollment.*"])
    expiring, enrollments = webhook.subscriptions.order_by("pk")
    expiring.less_than_days, expiring.filters, expiring.condition = 30, {"course": [301, "A,7"]}, {"data.id": 7}
    enrollments.filters = {"status_from": [None, "waitlist"], "actor_kind": ["api"], "first_occurrence": True}
    for one in (expiring, enrollments):
        one.save()

    page = text_of(staff("view_webhook").get(url(Webhook, "change", webhook.public_id)))

    assert 'Less than days: 30 Courses: 301, "A,7" Condition: { "data.id": 7 }' in page
    assert "Status before: None: it did not change, Waitlist Caused by: API Only the first time for each object" in page
    assert "Save" not in page


def test_a_form_with_everything_in_it_is_no_longer_than_django_takes(operator, settings):
    OrganizationFactory()

    page = operator.get(url(Webhook, "add")).content.decode()

    boxes = page.count('type="checkbox"')
    assert page.count('name="') - boxes < settings.DATA_UPLOAD_MAX_NUMBER_FIELDS * 0.7


@pytest.mark.parametrize("total", ["", "nonsense", "-1"])
def test_a_form_without_its_events_removes_none(operator, total):
    webhook = subscribed(events=["class.*"])
    form = {**form_of(webhook, subscriptions=[]), "events-TOTAL": total}

    errors = errors_at(operator.post(url(Webhook, "change", webhook.public_id), form))

    assert errors == {"__all__": ["The list of events is incomplete. Open the page again."]}
    assert asked() == ["class.*"]
