"""The page of a webhook: valid values, saved fields, enabling, disabling and deleting."""

from __future__ import annotations

import re
import uuid
from datetime import timedelta

import pytest
from cryptography.fernet import Fernet
from django.contrib.admin.models import LogEntry
from django.urls import reverse
from django.utils import timezone

from example_project.training.factories import OrganizationFactory
from example_project.training.models import Organization
from tests.factories import WebhookFactory
from tests.integration.admin.pages import form_of, named, shown_at, text_of, url
from tests.integration.delivery.rows import subscribed, write_delivery
from tms_webhooks.admin.form_parts import summaries_of
from tms_webhooks.admin.forms.events import EventRows
from tms_webhooks.choices import DisabledReason
from tms_webhooks.models import Delivery, Event, Job, Subscription, Webhook, WebhookSecret, WebhookState
from tms_webhooks.models.encryption import reveal


def messages_of(response) -> list[str]:
    return [str(message) for message in response.context["messages"]]


# Adding


def test_a_new_webhook_is_written_with_its_subscriptions(operator):
    organization = OrganizationFactory()
    form = form_of(
        organization=organization.pk,
        headers="Authorization=Basic hunter2\nX-Key=1",
        schedule="5, 60 300",
        subscriptions=[
            {"event_type": "class.cancelled"},
            {"event_type": "course_assignment.expiring", "more_than_days": "3", "less_than_days": "14"},
            {"event_type": "class.denied", "chosen": ""},
        ],
    )

    response = operator.post(url(Webhook, "add"), form, follow=True)

    webhook = Webhook.objects.get()
    assert response.redirect_chain == [(reverse("admin:tms_webhooks_webhook_secret", args=[webhook.public_id]), 302)]
    assert (webhook.organization, webhook.name, webhook.enabled) == (organization, "CRM", True)
    assert reveal(webhook.headers) == "Authorization=Basic hunter2\nX-Key=1"
    assert webhook.schedule == [5, 60, 300]
    assert list(webhook.subscriptions.values_list("event_type", "more_than_days", "less_than_days")) == [
        ("class.cancelled", None, None),
        ("course_assignment.expiring", 3.0, 14.0),
    ]


def test_a_webhook_may_begin_disabled(operator):
    operator.post(url(Webhook, "add"), form_of(organization=OrganizationFactory().pk, enabled=""))

    webhook = Webhook.objects.get()
    assert (webhook.enabled, webhook.disabled_reason) == (False, DisabledReason.ADMIN)
    assert timezone.now() - webhook.disabled_at < timedelta(minutes=1)


@pytest.mark.parametrize(
    ("text", "schedule"),
    [
        ("", ""),
        ("skillable", "skillable"),
        ("none", "none"),
        ("7", [7]),
        ("1.5, 2", [1.5, 2]),
        ("[5, 60]", [5, 60]),
        ("5;60\t300", [5, 60, 300]),
    ],
)
def test_a_schedule_is_a_name_or_a_list(operator, text, schedule):
    operator.post(url(Webhook, "add"), form_of(organization=OrganizationFactory().pk, schedule=text))

    assert Webhook.objects.get().schedule == schedule


def test_the_events_are_offered_by_noun(operator):
    OrganizationFactory()
    page = operator.get(url(Webhook, "add")).content.decode()

    assert '<span class="tms-group-title">Class</span>' in page
    for pattern in ("*", "class.*", "class.cancelled", "enrollment.enrolled", "webhook.failing"):
        assert f'data-tms-event="{pattern}"' in page
    assert "A class was cancelled: its status became Cancelled." in page


def test_the_page_has_its_parts(operator):
    webhook = WebhookFactory()

    response = operator.get(url(Webhook, "change", webhook.public_id))

    names = [str(fieldset.name) for fieldset in response.context["adminform"]]
    assert names == [
        "General",
        "Endpoint",
        "Events",
        "Retries and alerts",
        "Request",
        "Content",
        "Delivery",
        "Security",
    ]


# Changing


def test_only_changed_fields_are_saved(operator, monkeypatch):
    webhook = subscribed(headers="Authorization=Basic hunter2")
    save, written = Webhook.save, []

    def save_and_note(self, **kwargs):
        written.append(kwargs.get("update_fields"))
        # What a worker writes while the page is saved.
        WebhookState.objects.filter(pk=self.pk).update(failures=3, paused_until=timezone.now())
        save(self, **kwargs)

    monkeypatch.setattr(Webhook, "save", save_and_note)

    response = operator.post(url(Webhook, "change", webhook.public_id), form_of(webhook, name="LMS", max_retries="3"))

    assert response.status_code == 302
    assert [sorted(names) for names in written] == [["max_retries", "name", "updated_at"]]
    webhook.refresh_from_db()
    assert (webhook.name, webhook.max_retries, webhook.state.failures) == ("LMS", 3, 3)
    assert webhook.state.paused_until is not None


def test_a_webhook_can_not_be_given_to_another_organization(operator):
    webhook = subscribed()
    other = OrganizationFactory()

    operator.post(url(Webhook, "change", webhook.public_id), form_of(webhook, organization=other.pk))

    assert Webhook.objects.get().organization == webhook.organization


# Actions


def act(client, action: str, *webhooks: Webhook):
    data = {"action": action, "_selected_action": [webhook.public_id for webhook in webhooks]}
    return client.post(url(Webhook, "changelist"), data, follow=True)


def test_several_webhooks_are_disabled_and_enabled(operator):
    one, two, other = subscribed(), subscribed(), subscribed()

    response = act(operator, "disable_selected", one, two)

    assert messages_of(response) == ["2 webhooks are disabled."]
    assert set(Webhook.objects.filter(enabled=False)) == {one, two}

    response = act(operator, "enable_selected", one)

    assert messages_of(response) == ["1 webhook is enabled. Its missed events stay skipped until you send them."]
    assert set(Webhook.objects.filter(enabled=True)) == {one, other}
    assert [entry.get_change_message() for entry in LogEntry.objects.order_by("pk")] == ["Disabled."] * 2 + ["Enabled."]


def test_recent_actions_link_staff_to_the_webhook(staff):
    webhook = subscribed(name="CRM")
    client = staff("view_webhook", "change_webhook", "delete_webhook")
    act(client, "disable_selected", webhook)

    (link,) = re.findall(r'href="([^"]+)">CRM</a>', client.get(named("index")).content.decode())

    assert str(webhook.pk) not in link.split("/")
    assert text_of(client.get(link)).count("CRM") > 0
    assert "Disabled." in text_of(client.get(url(Webhook, "history", webhook.public_id)))

    client.post(url(Webhook, "delete", webhook.public_id), {"post": "yes"})

    assert {entry.object_id for entry in LogEntry.objects.all()} == {webhook.public_id}


# Deleting


def test_the_pages_that_confirm_a_deletion_say_what_ends_with_it(operator, clock):
    busy, idle = subscribed(name="CRM"), subscribed(name="LMS")
    for status in ("pending", "waiting"):
        write_delivery(busy, now=clock.now, status=status)
    write_delivery(busy, now=clock.now, status="delivered", due_at=None)
    for status in ("running", "finished"):
        Job.objects.create(kind="recover", webhook=busy, status=status, created_at=clock.now)
    effects = "2 queued deliveries are cancelled. 1 unfinished job ends."

    assert f"Webhooks: 1 Objects CRM {effects}" in shown_at(operator, url(Webhook, "delete", busy.public_id))
    assert "Webhooks: 1 Objects LMS No, take me back" in shown_at(operator, url(Webhook, "delete", idle.public_id))
    data = {"action": "delete_selected", "_selected_action": [busy.public_id, idle.public_id]}
    text = text_of(operator.post(url(Webhook, "changelist"), data))
    assert "Webhooks: 2 Objects" in text
    assert f"CRM {effects}" in text
    assert text.count("queued deliver") == 1
    operator.post(url(Webhook, "delete", busy.public_id), {"post": "yes"})
    assert list(operator.get(url(Webhook, "changelist")).context["cl"].result_list) == [idle]
    assert operator.get(url(Webhook, "change", busy.public_id)).status_code == 302


def test_an_organization_can_be_deleted_with_all_that_is_ours(operator, clock):
    webhook = subscribed()
    write_delivery(webhook, now=clock.now)
    address = url(Organization, "delete", webhook.organization_id)

    assert "your account doesn't have permission" not in shown_at(operator, address)
    operator.post(address, {"post": "yes"})

    assert not Organization.objects.filter(pk=webhook.organization_id).exists()
    assert (Webhook.objects.count(), Event.objects.count(), Delivery.objects.count()) == (0, 0, 0)


# What is shown


def test_the_health_shows_why_nothing_is_sent(operator):
    subscribed(name="A")
    subscribed(name="B", pauses=1, paused_until=timezone.now() + timedelta(hours=1))
    subscribed(name="C", enabled=False, disabled_reason="gone")

    rows = shown_at(operator, url(Webhook, "changelist"))

    for expected in ("A Idle receiver.example.com", "B Failing, paused until", "C Disabled: Gone"):
        assert expected in rows


def test_names_of_headers_are_shown_and_their_values_are_dots(operator):
    webhook = subscribed(headers="Authorization=Basic hunter2\nX-Key=s3cret")

    page = operator.get(url(Webhook, "change", webhook.public_id)).content.decode()

    assert "Authorization=••••\nX-Key=••••</textarea>" in page


def test_the_read_only_page_shows_the_names_of_headers(staff):
    webhook = subscribed(headers="Authorization=Basic hunter2")

    page = shown_at(staff("view_webhook"), url(Webhook, "change", webhook.public_id))

    assert "Current headers: Authorization" in page
    assert "hunter2" not in page


@pytest.mark.parametrize("stored", ["no equals sign", "X-Key=1\nX-Key=2"])
def test_invalid_stored_headers_are_reported(operator, stored):
    webhook = subscribed(headers=stored)

    page = shown_at(operator, url(Webhook, "change", webhook.public_id))

    assert "They are not name=value lines. Enter them again." in page
    assert stored.split("\n")[0] not in page


def test_headers_encrypted_with_another_key_are_reported(operator, settings):
    webhook = subscribed(headers="X-Key=s3cret")
    settings.TMS_WEBHOOKS = {**settings.TMS_WEBHOOKS, "ENCRYPTION_KEYS": [Fernet.generate_key().decode()]}

    page = shown_at(operator, url(Webhook, "change", webhook.public_id))

    assert "They can't be decrypted with the configured keys. Enter them again." in page
    assert "s3cret" not in page


def test_a_webhook_is_found_by_name_and_address(operator):
    wanted = subscribed("/findme", name="CRM")
    subscribed(name="LMS")

    for term in ("crm", "findme"):
        assert list(operator.get(url(Webhook, "changelist"), {"q": term}).context["cl"].result_list) == [wanted]


def test_the_log_of_one_webhook_is_a_click_away(operator, clock):
    one, other = subscribed(name="One"), subscribed(name="Other")
    for webhook in (one, other):
        write_delivery(webhook, now=clock.now)
    page = operator.get(url(Webhook, "changelist")).content.decode()
    link = f"{url(Delivery, 'changelist')}?webhook={one.public_id}"
    assert f'href="{link}"' in page

    found = operator.get(link).context["cl"].result_list

    assert [delivery.webhook for delivery in found] == [one]


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (1, "at most 1 request at a time; at most 1 request per second"),
        (2, "at most 2 requests at a time; at most 2 requests per second"),
    ],
)
def test_the_line_of_the_delivery_settings_has_one_request_in_the_singular(number, text):
    webhook = WebhookFactory.build(organization=None, max_in_flight=number, rate_limit_per_second=number)

    assert text in summaries_of(webhook)["delivery"]


# A form that is sent twice makes one webhook


def secret_page() -> str:
    return reverse("admin:tms_webhooks_webhook_secret", args=[Webhook.objects.get().public_id])


def test_every_form_has_a_key_of_its_own(operator):
    OrganizationFactory()

    keys = [
        re.search(r'name="form_key" value="([0-9a-f]{32})"', operator.get(url(Webhook, "add")).content.decode())
        for _ in range(2)
    ]

    assert keys[0].group(1) != keys[1].group(1)


def test_a_second_click_leads_to_the_webhook_of_the_first(operator):
    form = form_of(organization=OrganizationFactory().pk, form_key=uuid.uuid4().hex)

    answers = [operator.post(url(Webhook, "add"), form) for _ in range(2)]

    assert [answer.url for answer in answers] == [secret_page()] * 2
    assert (Subscription.objects.count(), WebhookSecret.objects.count()) == (1, 1)


def test_a_second_click_that_overtakes_the_first_makes_none_either(operator, monkeypatch):
    form = form_of(organization=OrganizationFactory().pk, form_key=uuid.uuid4().hex)
    operator.post(url(Webhook, "add"), form)
    # It looked before the first one had committed, and saw nothing.
    from tms_webhooks.admin.webhooks import WebhookAdmin

    seen, created_by = [], WebhookAdmin._created_by
    monkeypatch.setattr(
        WebhookAdmin, "_created_by", lambda self, request: created_by(self, request) if seen else seen.append(True)
    )

    answer = operator.post(url(Webhook, "add"), form)

    assert answer.url == secret_page()
    assert (Subscription.objects.count(), WebhookSecret.objects.count()) == (1, 1)


def test_two_forms_make_two_webhooks(operator):
    organization = OrganizationFactory()

    for _ in range(2):
        operator.post(url(Webhook, "add"), form_of(organization=organization.pk, form_key=uuid.uuid4().hex))

    assert Webhook.objects.count() == 2


@pytest.mark.parametrize("key", ["", "nonsense"])
def test_a_form_without_a_key_makes_a_webhook_each_time(operator, key):
    form = form_of(organization=OrganizationFactory().pk, form_key=key)

    for _ in range(2):
        operator.post(url(Webhook, "add"), form)

    assert list(Webhook.objects.values_list("form_key", flat=True)) == [None, None]


# The texts of the form


def test_fields_have_plain_names_with_their_units(operator):
    OrganizationFactory()

    text = shown_at(operator, url(Webhook, "add"))

    for label in ("Delay (seconds):", "Timeout (seconds):", "Max concurrent requests:"):
        assert label in text
    for label in ("Delay seconds", "Timeout seconds", "Max in flight"):
        assert label not in text


def test_the_help_is_true_and_says_where_passwords_belong(operator):
    OrganizationFactory()

    text = shown_at(operator, url(Webhook, "add"))

    assert "Each time a selected event occurs, the webhook is called at least once." in text
    assert "such as X-Tenant=north. For a password or a token, use Authentication below." in text
    assert "Authorization=" not in text
    assert "As own delays, write up to 15 numbers of seconds, such as 5, 60, 300." in text
    assert "The kind of actor that the webhook belongs to: a user, an administrator or an API key." in text


def test_the_search_of_the_list_says_what_it_finds(operator):
    text = shown_at(operator, url(Webhook, "changelist"))

    assert "Search by name. Webhooks that you may manage are also found by their URL." in text


@pytest.mark.parametrize(
    ("count", "sentence"),
    [
        (1, "1 selected event has errors. Correct it below."),
        (2, "2 selected events have errors. Correct them below."),
    ],
)
def test_wrong_events_are_counted_in_a_sentence(operator, count, sentence):
    rows = [{"event_type": f"class.{name}", "condition": "{"} for name in ("cancelled", "scheduled")[:count]]
    form = form_of(organization=OrganizationFactory().pk, subscriptions=rows)

    assert sentence in text_of(operator.post(url(Webhook, "add"), form))


def test_no_two_events_of_a_group_have_the_same_name():
    groups = {group.title: [row.label for row in group.rows] for group in EventRows(webhook=Webhook()).groups()}

    assert groups["Feedback"] == ["Class feedback created", "Course feedback created"]
    assert groups["Class"][0] == "Scheduled"
    assert {title: labels for title, labels in groups.items() if len(labels) != len(set(labels))} == {}


def test_filters_are_changed_where_there_are_some_and_added_elsewhere(operator):
    webhook = subscribed(events=["class.cancelled", "class.updated"])
    webhook.subscriptions.filter(event_type="class.updated").update(filters={"course": [301]})

    page = operator.get(url(Webhook, "change", webhook.public_id)).content.decode()

    buttons = {
        name: page.partition(f'data-tms-event="{name}"')[2].partition("</button>")[0]
        for name in ("class.cancelled", "class.updated")
    }
    assert buttons["class.cancelled"].endswith("Add filters")
    assert buttons["class.updated"].endswith("Change filters")
