"""The events of a webhook in its form: check boxes, and a line for each selected one, with its filters."""

import html
import re

import pytest

from example_project.training.factories import OrganizationFactory
from tests.integration.admin.browsing import untouched
from tests.integration.admin.pages import filters_of, form_of, text_of, url
from tests.integration.delivery.rows import subscribed
from tms_webhooks.admin.forms.events import groups_of, patterns
from tms_webhooks.admin.forms.subscription import FiltersForm, IdsField
from tms_webhooks.models import AuditEntry, Subscription, Webhook


@pytest.fixture
def save(operator):
    """Save the page of a webhook with these events; return the answer."""
    return lambda webhook, *events, **values: operator.post(
        url(Webhook, "change", webhook.public_id), form_of(webhook, events=list(events), **values)
    )


@pytest.fixture
def set_filters(save):
    """Save the filters of the webhook's only subscription, or those of another one of its event; return the answer."""

    def set_filters(webhook, *, another=False, **values):
        one = webhook.subscriptions.first()
        return save(
            webhook, one.event_type, **filters_of(f"{one.event_type}+2" if another else one.public_id, **values)
        )

    return set_filters


def lines_of(response):
    """Return the lines of the selected events, as a person reads them."""
    rows = re.findall(r'<tr id="line-[^"]+".*?</tr>', response.content.decode(), re.DOTALL)
    return [" ".join(html.unescape(re.sub(r"<[^>]+>", " ", row)).split()) for row in rows]


def asked():
    return list(Subscription.objects.order_by("pk").values_list("event_type", flat=True))


def test_an_event_that_stays_keeps_its_subscription_and_one_that_is_unchecked_goes(operator, save):
    webhook = subscribed(events=["class.cancelled", "user.updated"])
    webhook.subscriptions.filter(event_type="user.updated").update(filters={"actor_kind": ["api"]})
    before = webhook.subscriptions.values().get(event_type="user.updated")

    assert save(webhook, "user.updated", "voucher.redeemed", name="Renamed").status_code == 302

    assert asked() == ["user.updated", "voucher.redeemed"]
    assert webhook.subscriptions.values().get(event_type="user.updated") == before
    page = text_of(save(webhook, "class.canceled"))
    assert "Events : Select a valid choice. class.canceled is not one of the available choices." in page
    save(webhook)
    assert asked() == []


def test_filters_are_stored_as_the_model_has_them_and_shown_in_words(operator, set_filters):
    webhook = subscribed(events=["enrollment.*"])
    condition = '{"data.grade": {"gte": 50}}'

    set_filters(
        webhook, course="301, 302", status_to="20", first_occurrence="on", condition=condition, actor_kind="api"
    )

    row = Subscription.objects.get()
    expected = {"course": [301, 302], "status_to": [20], "first_occurrence": True, "actor_kind": ["api"]}
    assert (row.filters, row.condition) == (expected, {"data.grade": {"gte": 50}})
    page = text_of(operator.get(url(Webhook, "change", webhook.public_id)))
    for words in (
        "Course: 301 or 302",
        "Status after: Waitlist",
        "Caused by: API",
        "Condition: data.grade is at least 50",
    ):
        assert words in page
    set_filters(webhook, course="", condition="")
    assert webhook.subscriptions.values_list("filters", "condition").get() == ({}, None)


def test_the_fields_are_those_of_the_event():
    names = {name: [*FiltersForm(instance=Subscription(event_type=name)).fields] for name in patterns()}

    assert set(names["class.cancelled"]) == {
        *("course", "class", "organization", "status_from", "actor_kind", "first_occurrence", "condition")
    }
    assert "more_than_days" in names["course_assignment.expiring"]
    assert "more_than_days" not in names["class.cancelled"]
    assert "status_to" in names["enrollment.*"]
    # Of everything there is, a status means too many things.
    assert "status_to" not in names["*"]


def test_a_status_that_cannot_have_been_is_not_offered():
    def offered(event, name, **filters):
        form = FiltersForm(instance=Subscription(event_type=event, filters=filters))
        return [str(label) for _value, label in form.fields[name].choices] if name in form.fields else None

    before = offered("class.cancelled", "status_from")
    assert "Cancelled" not in before
    assert {"Scheduled", "None: it is new"} < set(before)
    for event, name in (
        ("class.requested", "status_to"),
        ("enrollment.enrolled", "status_to"),
        ("enrollment.completed", "completion_status"),
        ("course_assignment.started", "completion_status"),
        ("class.updated", "status_from"),
    ):
        assert offered(event, name) is None, event
    assert {"Cancelled", "None: it did not change"} < set(offered("class.*", "status_from"))
    # Without the box, a save would remove the filter, and the webhook would get more.
    assert "Cancelled" in offered("class.cancelled", "status_from", status_from=["Cancelled"])


def test_statuses_are_shown_however_they_were_written():
    filters = {"status_from": ["waitlist", None], "status_to": [60]}

    form = FiltersForm(instance=Subscription(event_type="enrollment.*", filters=filters))

    assert (form["status_from"].value(), form["status_to"].value()) == ([20, "none"], [60])


EXPIRING = "course_assignment.expiring"


@pytest.mark.parametrize(
    "event, values, field, message",
    [
        ("enrollment.*", {"condition": "{"}, "condition", "Enter a valid JSON."),
        ("enrollment.*", {"condition": "[" * 100_000}, "condition", "Enter a valid JSON."),
        ("enrollment.*", {"condition": '{"data.nonsense": 1}'}, "condition", "data.nonsense is not a field of these"),
        ("enrollment.*", {"condition": "[1]"}, "condition", ""),
        ("enrollment.*", {"course": ",".join(map(str, range(300)))}, "course", ""),
        ("enrollment.*", {"course": "7, Azure"}, "course", "No object can have these ids: Azure. Enter ids, not names."),
        ("enrollment.*", {"course-search": "Azure"}, "course", "“Azure” was not selected. Select an object in the search"),
        ("enrollment.*", {"status_to": "7"}, "status_to", "Select a valid choice. 7 is not one of the available choices."),
        ("enrollment.*", {"actor_kind": "robot"}, "actor_kind", "Select a valid choice. robot is not one of the available"),
        (EXPIRING, {"more_than_days": "14", "less_than_days": "14"}, "more_than_days", "More than days is 14, and less than"),
        (EXPIRING, {"more_than_days": "3"}, "less_than_days", "Less than days is empty; give the upper end of the window"),
        (EXPIRING, {"less_than_days": "nan"}, "less_than_days", "Enter a number."),
        ("*", {"more_than_days": "-1", "less_than_days": "7"}, "more_than_days", "-1 is not a number of days from 0 to 36,500."),
        (EXPIRING, {"less_than_days": "99999"}, "less_than_days", "99999 is not a number of days from 0 to 36,500."),
    ],
)  # fmt: skip
def test_an_invalid_value_is_reported_at_its_field_and_nothing_is_saved(set_filters, event, values, field, message):
    webhook = subscribed(events=[event])
    before = Subscription.objects.values().get()

    response = set_filters(webhook, **values)

    form = response.context["adminform"].form
    (row,) = [row for row in form.rows if row.form]
    assert list(row.form.errors) == [field]
    assert row.form.errors[field][0].startswith(message)
    assert [text.removeprefix(f"{event}: ") for text in form.errors["events"]] == list(row.form.errors[field])
    assert message in text_of(response)
    assert Subscription.objects.values().get() == before


def test_a_new_webhook_has_its_filters_from_the_beginning(operator):
    organization = OrganizationFactory()
    form = form_of(
        organization=organization.pk, events=["class.cancelled"], **filters_of("class.cancelled", course="7")
    )

    assert operator.post(url(Webhook, "add"), form).status_code == 302

    assert Webhook.objects.get().subscriptions.values_list("event_type", "filters").get() == (
        "class.cancelled",
        {"course": [7]},
    )


def test_two_equal_lines_are_refused(operator, save):
    webhook = subscribed(events=["class.*"])

    page = text_of(save(webhook, "class.*", **filters_of("class.*+2", course="")))

    assert "Another subscription of the webhook has the same event and the same filters: class.*." in page
    assert asked() == ["class.*"]


def test_an_event_has_several_subscriptions_that_differ(save, set_filters):
    webhook = subscribed(events=[EXPIRING])
    set_filters(webhook, less_than_days="30")

    repeated = set_filters(webhook, another=True, less_than_days="30")
    set_filters(webhook, another=True, less_than_days="7")

    assert "Another subscription of the webhook has the same event and the same filters" in text_of(repeated)
    assert sorted(Subscription.objects.values_list("less_than_days", flat=True)) == [7.0, 30.0]
    save(webhook, EXPIRING, removed=[webhook.subscriptions.get(less_than_days=30).public_id])
    assert Subscription.objects.get().less_than_days == 7
    save(webhook, EXPIRING, removed=[Subscription.objects.get().public_id])
    assert asked() == []


def test_the_filters_of_another_webhook_are_not_reached(operator, save):
    webhook, other = subscribed(events=["class.*"]), subscribed(events=["class.*"])
    one = other.subscriptions.get()

    address = url(Webhook, "filters_of", webhook.public_id)

    assert operator.get(address, {"filters": one.public_id}).status_code == 404
    assert operator.get(address, {"filters": "class.unheard"}).status_code == 404
    save(webhook, "class.*", **filters_of(one.public_id, condition='{"data.id": 1}'))
    assert not AuditEntry.objects.exists()


def test_a_webhook_without_events_is_warned_of(operator):
    form = form_of(organization=OrganizationFactory().pk, events=[])

    page = text_of(operator.post(url(Webhook, "add"), form, follow=True))

    assert "“CRM” has no events selected, so it receives nothing." in page


def test_an_event_that_no_longer_exists_is_reported_and_stays_until_it_is_unchecked(operator, save):
    webhook = subscribed(events=["class.cancelled"])
    Subscription.objects.update(event_type="host.gone")

    page = operator.get(url(Webhook, "change", webhook.public_id)).content.decode()
    assert 'data-tms-event="host.gone"' in page
    assert "This event no longer exists." in page
    save(webhook, "host.gone", name="HR")
    assert asked() == ["host.gone"]
    save(webhook)
    assert asked() == []


def test_ids_are_numbers_where_nothing_is_lost_by_it():
    text = "0, 7, 007,, A-7\n1234567890123456789012"

    assert IdsField().clean(text) == [0, 7, "007", "A-7", "1234567890123456789012"]


def test_the_read_only_page_shows_the_selected_events(staff):
    webhook = subscribed(events=["course_assignment.expiring", "enrollment.*", "*"])
    expiring, enrollments, _all = webhook.subscriptions.order_by("pk")
    expiring.less_than_days, expiring.filters, expiring.condition = 30, {"course": [301, "A-7"]}, {"data.id": 7}
    enrollments.filters = {"status_from": [None, "waitlist"], "actor_kind": ["api"], "first_occurrence": True}
    for one in (expiring, enrollments):
        one.save()

    response = staff("view_webhook").get(url(Webhook, "change", webhook.public_id))

    window = "Days before the date: more than 0 and less than 30"
    assert lines_of(response) == [
        f"All training events * {window}",
        f"Course assignment Expiring course_assignment.expiring {window} Course: 301 or A-7 Condition: data.id is 7",
        "Enrollment All events of this group enrollment.* "
        "Status before: nothing or Waitlist Caused by: API Only the first time for each object",
    ]
    assert "Save" not in text_of(response)


def test_no_two_events_of_a_group_have_the_same_name():
    groups = {title: [row.label for row in rows] for title, rows in groups_of(patterns(), []).items()}

    assert "Class feedback created" in groups["Feedback"]
    assert groups["Class"][:2] == ["All events of this group", "Scheduled"]
    assert {title: labels for title, labels in groups.items() if len(labels) != len(set(labels))} == {}


# Size


def test_the_page_of_200_subscriptions_is_short_takes_few_queries_and_is_saved_unchanged(
    operator, django_assert_max_num_queries
):
    webhook = subscribed(events=[])
    for number in range(200):
        webhook.subscriptions.create(event_type="enrollment.enrolled", filters={"course": [number]})
    before = list(webhook.subscriptions.order_by("pk").values())
    address = url(Webhook, "change", webhook.public_id)
    operator.get(address)

    # Some of them look for the names of the courses.
    with django_assert_max_num_queries(20):
        page = operator.get(address).content.decode()

    assert len(page) <= 300_000
    assert len(re.findall(">Course: ", page)) == 200
    assert operator.post(address, untouched(page, form="webhook_form")).status_code == 302
    assert list(webhook.subscriptions.order_by("pk").values()) == before


def test_the_new_page_is_short_and_takes_few_queries(operator, django_assert_max_num_queries):
    OrganizationFactory()
    operator.get(url(Webhook, "add"))

    with django_assert_max_num_queries(8):
        assert len(operator.get(url(Webhook, "add")).content) <= 110_000
