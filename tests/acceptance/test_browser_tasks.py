"""What an organization's administrator has to do, in a real browser: as staff with the rights of the ready group, and as a
customer who is no staff."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from tests.acceptance.browser import NARROW, Desk
from tests.acceptance.test_browser_log import NAME, failed
from tests.factories import WebhookFactory
from tests.integration.delivery.rows import subscribed, write_delivery, write_event
from tests.receiver import Answer
from tms_webhooks.choices import NoticeChannel, NoticeKind, NoticeStatus
from tms_webhooks.models import Delivery, Notification, Webhook, WebhookState
from tms_webhooks.outbox.fanout import fan_out
from tms_webhooks.tasks import work_on_jobs
from tms_webhooks.worker.drain import Drain

LONG_NAME = "Data warehouse " + "of the northern region " * 6
SHAPES = ("CRM", LONG_NAME[:150], "مستودع البيانات للموارد البشرية", "🎓 LMS 🚀")


@pytest.fixture(params=["staff", "customer"])
def site(request):
    """The address of the administrator's site."""
    return {"staff": "/admin/", "customer": "/customers/"}[request.param]


@pytest.fixture
def webhooks(site):
    """The list of webhooks."""
    return f"{site}tms_webhooks/webhook/"


@pytest.fixture
def desk(chromium, world, live_server, one_request_at_a_time, site):
    """The administrator of an organization, who finds no error in the browser's console."""
    desk, people = Desk(chromium, live_server.url), world.tenants[0].people
    desk.sign_in((people.administrator if site == "/admin/" else people.customer).username, at=site)
    yield desk
    desk.close()
    assert desk.complaints == []


@pytest.fixture
def organization(world):
    """Return the organization of the administrator."""
    return world.tenants[0].organization


@pytest.fixture
def webhook(organization, receiver):
    """A webhook whose receiver is there."""
    return WebhookFactory(organization=organization, name="HR system", url=receiver.url, events=["class.*"])


def deliver():
    """Work on the jobs, and send what is due, as a worker does."""
    work_on_jobs()
    Drain(fan_out=fan_out).run(until_idle=True)


def overview(webhooks, webhook):
    return f"{webhooks}{webhook.public_id}/overview/"


def test_they_never_got_it_is_answered_from_the_page_of_the_event(desk, site, organization):
    other = subscribed(name="Finance", organization=organization, events=["voucher.*"])
    event = write_event(organization, "class.cancelled")
    Webhook.objects.update(created_at=timezone.now() - timedelta(days=1))

    page = desk.open(f"{site}tms_webhooks/event/")
    desk.follow("#result_list tbody th a")
    desk.follow("text=All checks")
    page.wait_for_url(f"**/{other.public_id}/explain/?event={event.public_id}")

    assert "does not match" in page.inner_text("#tms-verdict")
    assert "voucher.* does not include this event type." in page.inner_text(".tms-clauses >> nth=-1")


def test_a_waiting_delivery_is_tried_now_from_the_overview(desk, webhooks, webhook, receiver):
    now = timezone.now()
    write_delivery(webhook, now=now, status="waiting", due_at=now + timedelta(hours=3), attempts=2, charged=2)

    page = desk.open(overview(webhooks, webhook))
    desk.follow("text=Try now")
    assert "1 delivery matches." in page.inner_text(".tms-count")
    assert "can't be undone" in page.inner_text(".tms-question")
    desk.follow("text=Yes, try them now")
    page.wait_for_selector(".messagelist .success")
    deliver()
    receiver.wait_for(1)

    page.wait_for_selector("text=1 of 1")
    assert Delivery.objects.get().status == "delivered"


def test_failed_deliveries_are_sent_again_after_an_outage_by_the_keyboard_alone(desk, webhooks, webhook, receiver):
    failed(webhook)
    failed(webhook)

    page = desk.open(overview(webhooks, webhook))
    page.focus("text=Resend failed deliveries")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=2 deliveries match.")
    page.focus("input[value='Yes, resend them']")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    page.keyboard.press("Enter")
    page.wait_for_selector("text=Started a job for 2 deliveries.")
    deliver()
    receiver.wait_for(2)

    page.wait_for_selector("text=2 delivered, 0 failed, 0 waiting")


def test_a_receiver_that_is_gone_gets_one_request_and_the_pages_say_what_became_of_the_others(
    desk, site, webhooks, webhook, receiver
):
    Webhook.objects.filter(pk=webhook.pk).update(max_in_flight=1)
    for _ in range(12):
        failed(webhook)
    receiver.answers = [Answer(410)]

    page = desk.open(overview(webhooks, webhook))
    desk.follow("text=Resend failed deliveries")
    desk.follow("text=Yes, resend them")
    deliver()
    work_on_jobs()

    page.wait_for_selector("text=Not delivered")
    results = "0 delivered, 1 failed, 0 waiting, 11 skipped because the webhook was disabled"
    assert f"12 of 12 processed · {results}" in page.inner_text(".tms-job")
    assert len(receiver.received) == 1
    page.reload()
    desk.inspect(f"gone-overview-{site.strip('/')}")
    desk.open(f"{site}tms_webhooks/job/")
    row = page.inner_text("#result_list tbody tr")
    assert ("Not delivered" in row, results in row) == (True, True)
    desk.inspect(f"gone-jobs-{site.strip('/')}")


def test_an_outage_and_its_mails_are_seen_on_the_dashboard_and_the_overview(desk, webhooks, webhook):
    now = timezone.now()
    since = now - timedelta(hours=9)
    WebhookState.objects.update(failures=1_234, failing_since=since, pauses=2, paused_until=now + timedelta(minutes=20))
    Notification.objects.create(
        webhook=webhook,
        kind=NoticeKind.FAILING,
        channel=NoticeChannel.EMAIL,
        recipients="ops@example.com",
        status=NoticeStatus.SENT,
        since=since,
        created_at=now,
        finished_at=now,
    )
    failed(webhook, code=503)

    page = desk.open(f"{webhooks}dashboard/")
    assert page.inner_text("#tms-attention") == "1 webhook needs attention"
    desk.follow("section >> text=HR system")
    page.wait_for_url(f"**{overview(webhooks, webhook)}")

    assert page.inner_text("#tms-health") == "Failing"
    assert "1,234 attempts in a row have failed since" in page.inner_text(".tms-health")
    latest = page.inner_text("#tms-latest")
    assert NAME in latest
    assert "HTTP 503" in latest
    assert "ops@example.com" in page.inner_text("section:has(#tms-notifications)")


def test_names_of_any_length_and_script_fit_every_page_in_every_look(desk, site, webhooks, organization):
    now = timezone.now()
    for name in SHAPES:
        webhook = subscribed(name=name, organization=organization, failures=3, failing_since=now)
        failed(webhook, name * 3)
    event = write_event(organization, "class.cancelled")
    pages = {
        "webhooks": webhooks,
        "dashboard": f"{webhooks}dashboard/",
        "overview": overview(webhooks, Webhook.objects.get(name=SHAPES[1])),
        "event": f"{site}tms_webhooks/event/{event.public_id}/change/",
    }
    if site == "/admin/":
        pages["organization"] = f"/admin/training/organization/{organization.pk}/change/"
    for name, path in pages.items():
        desk.open(path)
        desk.inspect(f"names-{site.strip('/')}-{name}")
        assert LONG_NAME[:30] in desk.page.content()

    desk.open(pages["webhooks"])
    desk.looks(width=NARROW)
    box = desk.page.locator("#result_list tbody th >> nth=1").bounding_box()
    assert box["width"] < NARROW
