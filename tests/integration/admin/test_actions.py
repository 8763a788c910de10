"""The actions on a webhook: confirmation, counts, permissions, and the audit log."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from example_project.training.factories import TrainingClassFactory
from example_project.training.models import User
from tests.integration.admin.browsing import untouched
from tests.integration.admin.pages import text_of
from tests.integration.admin.test_overview import overview
from tests.integration.delivery.rows import subscribed, write_delivery
from tms_webhooks.admin.actions import WEBHOOK_ACTIONS
from tms_webhooks.choices import DeliveryStatus
from tms_webhooks.delivery import replay
from tms_webhooks.models import AuditEntry, Delivery, Event, Job, Webhook

SLUGS = [act.slug for act in WEBHOOK_ACTIONS]


def act(webhook, slug):
    return reverse("admin:tms_webhooks_webhook_action", args=[webhook.public_id, slug])


def given_up(webhook, *, ago=timedelta(hours=1)):
    moment = timezone.now() - ago
    delivery = write_delivery(
        webhook, now=moment, status=DeliveryStatus.EXHAUSTED, due_at=None, finished_at=moment, attempts=1, charged=1
    )
    Event.objects.filter(pk=delivery.event_id).update(occurred_at=moment)
    return delivery


def entries():
    return list(AuditEntry.objects.order_by("pk").values_list("action", "actor_label", "target"))


def me():
    return str(User.objects.get(username="root"))


def local(moment):
    return timezone.localtime(moment).strftime("%Y-%m-%dT%H:%M")


def form_on(response):
    return untouched(response.content.decode(), form="tms-action")


@pytest.fixture
def webhook():
    return subscribed(events=["class.*", "enrollment.*"])


# Asking


@pytest.mark.parametrize("slug", SLUGS)
def test_opening_the_confirmation_page_changes_nothing(operator, slug):
    webhook = subscribed(failures=2)
    given_up(webhook)
    before = Webhook.objects.values().get(pk=webhook.pk)

    assert operator.get(act(webhook, slug)).status_code == 200

    assert Webhook.objects.values().get(pk=webhook.pk) == before
    assert not Job.objects.exists()
    assert entries() == []


def test_actions_that_do_not_apply_or_are_not_allowed_are_not_offered(operator, staff):
    webhook = subscribed()
    enabled = operator.get(overview(webhook)).content.decode()
    disabled = operator.get(overview(subscribed(enabled=False))).content.decode()

    assert ["/overview/enable/" in enabled, "/overview/disable/" in enabled] == [False, True]
    assert ["/overview/enable/" in disabled, "/overview/disable/" in disabled] == [True, False]
    assert ["/overview/snapshot/" in enabled, "/overview/snapshot/" in disabled] == [True, False]
    looking = staff("view_webhook", "view_delivery").get(overview(webhook)).content.decode()
    assert [slug for slug in SLUGS if f"/overview/{slug}/" in looking] == []


# Enabling and disabling


@pytest.mark.parametrize(
    "slug, message",
    [
        ("disable", "The webhook is disabled. Its queued deliveries are kept as skipped."),
        ("enable", "The webhook is enabled. Missed events stay skipped until you send them."),
    ],
)
def test_the_effect_of_a_switch_is_said(operator, slug, message):
    webhook = subscribed(enabled=slug == "disable")

    assert message in text_of(operator.post(act(webhook, slug), follow=True))


# Jobs


def test_a_recovery_counts_the_longest_range_by_default_and_starts_with_it(operator):
    webhook = subscribed()
    given_up(webhook)
    given_up(webhook, ago=timedelta(days=13, hours=22))
    given_up(webhook, ago=timedelta(days=14))

    page = operator.get(act(webhook, "recover"))
    operator.post(act(webhook, "recover"), {**form_on(page), "kinds": ["recover"]})

    assert "Resend failed deliveries 2 failed" in text_of(page)
    assert Job.objects.get().total == 2


def test_failed_and_missed_deliveries_are_recovered_by_one_confirmation(operator, webhook):
    given_up(webhook)
    for status in ("cancelled", "skipped", "skipped"):
        Delivery.objects.filter(pk=given_up(webhook).pk).update(status=status)
    write_delivery(webhook, now=timezone.now())

    page = operator.get(act(webhook, "recover"))
    text = text_of(page)
    for counted in (
        "Resend failed deliveries 1 failed Resends the failed",
        "Resend cancelled deliveries 1 cancelled Resends the deliveries",
        "Send missed events 2 skipped or never sent Sends the events",
        "Try queued deliveries now 1 queued Sends the queued",
        "Cancel queued deliveries 1 queued Cancels the deliveries",
    ):
        assert counted in text
    answer = operator.post(
        act(webhook, "recover"), {**form_on(page), "kinds": ["recover", "replay_missed"]}, follow=True
    )

    assert list(Job.objects.order_by("pk").values_list("kind", "total")) == [("recover", 1), ("replay_missed", 2)]
    assert "Started a job for 1 delivery. Started a job for 2 deliveries." in text_of(answer)


def test_a_number_above_the_limit_of_counting_is_shown_as_at_least_the_limit(operator, webhook, monkeypatch):
    monkeypatch.setattr(replay, "MAX_COUNTED", 1)
    given_up(webhook)
    given_up(webhook)

    page = operator.get(act(webhook, "recover"))
    answer = operator.post(act(webhook, "recover"), {**form_on(page), "kinds": ["recover"]}, follow=True)

    assert "Resend failed deliveries 1+ failed" in text_of(page)
    assert "Started a job for 1+ deliveries." in text_of(answer)
    assert "0 of 1+" in text_of(answer)


@pytest.mark.parametrize(
    "kinds, problem",
    [
        ([], "Select at least one of them."),
        (["recover", "cancel_pending"], "Select “Cancel queued deliveries” alone"),
        (["replay_missed", "recover"], "is still running for this webhook."),
    ],
)
def test_a_choice_that_can_not_be_started_starts_nothing(operator, webhook, kinds, problem):
    given_up(webhook)
    page = operator.get(act(webhook, "recover"))
    running = Job.objects.create(kind="replay_missed", webhook=webhook, created_at=timezone.now())

    answer = operator.post(act(webhook, "recover"), {**form_on(page), "kinds": kinds})

    assert problem in text_of(answer)
    assert list(Job.objects.all()) == [running]


def test_a_disabled_webhook_says_what_has_to_be_done_first(operator):
    webhook = subscribed(enabled=False)
    write_delivery(webhook, now=timezone.now())

    text = text_of(operator.get(act(webhook, "recover")))

    assert f"Resend failed deliveries Webhook {webhook.public_id} is disabled; enable it first." in text
    assert "Cancel queued deliveries 1 queued" in text


@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize(
    "data, expected",
    [
        ({"since": "yesterday", "until": ""}, "Enter a valid date/time."),
        ({"since": "", "until": ""}, "From is missing; a recovery takes a time range of at most 14 days."),
        ({"since": "9999-01-01T00:00", "until": ""}, "From is 9999-01-01 00:00, not before until"),
    ],
)
def test_an_invalid_range_is_reported_with_the_form(operator, method, data, expected):
    webhook = subscribed()
    given_up(webhook)

    response = getattr(operator, method)(act(webhook, "recover"), data)

    assert expected in text_of(response)
    assert "Yes, start" not in response.content.decode()
    assert f'value="{data["since"]}"' in response.content.decode() or not data["since"]
    assert not Job.objects.exists()


# The page of a job starts the selection that it shows and has counted, and no other


CHANGED = "You changed the selection. Check the new number, then confirm."


def test_a_range_that_is_changed_after_the_count_is_counted_again_and_starts_nothing(operator, webhook):
    given_up(webhook)
    given_up(webhook, ago=timedelta(days=3))
    page = operator.get(act(webhook, "recover"))
    assert "2 failed" in text_of(page)
    counted = text_of(operator.post(act(webhook, "recover"), {**form_on(page), "count": "1"}))
    assert "2 failed" in counted
    assert CHANGED not in counted

    since = local(timezone.now() - timedelta(days=1))
    answer = operator.post(act(webhook, "recover"), {**form_on(page), "kinds": ["recover"], "since": since})

    assert CHANGED in text_of(answer)
    assert "1 failed" in text_of(answer)
    assert not Job.objects.exists()
    assert form_on(answer)["kinds"] == ["recover"]
    started = operator.post(act(webhook, "recover"), form_on(answer), follow=True)
    job = Job.objects.get()
    assert (job.kind, job.total, job.requested_by) == ("recover", 1, me())
    assert "Started a job for 1 delivery." in text_of(started)


def test_kinds_of_objects_that_are_unticked_after_the_count_are_not_sent(operator, webhook):
    TrainingClassFactory(organization=webhook.organization)
    page = operator.get(act(webhook, "snapshot"))
    form = form_on(page)
    assert form["nouns"] == ["class", "enrollment"]

    answer = operator.post(act(webhook, "snapshot"), {**form, "nouns": ["class"]})

    assert CHANGED in text_of(answer)
    assert "1 object will be sent." in text_of(answer)
    assert not Job.objects.exists()
    operator.post(act(webhook, "snapshot"), form_on(answer))
    assert Job.objects.get().nouns == ["class"]


@pytest.mark.parametrize("button", [{}, {"count": "1"}], ids=["start", "count"])
def test_no_kind_of_object_is_refused(operator, webhook, button):
    form = form_on(operator.get(act(webhook, "snapshot")))
    del form["nouns"]

    answer = operator.post(act(webhook, "snapshot"), {**form, **button})

    assert "Select at least one kind of object." in text_of(answer)
    assert not Job.objects.exists()
