"""The customers' site in a real browser: an outage is mended by the keyboard alone, and names of any length fit."""

import pytest
from django.utils import timezone

from tests.acceptance.browser import NARROW, Desk
from tests.acceptance.test_browser_log import failed
from tests.factories import WebhookFactory
from tests.integration.delivery.rows import subscribed, write_event
from tms_webhooks.models import Webhook
from tms_webhooks.outbox.fanout import fan_out
from tms_webhooks.tasks import work_on_jobs
from tms_webhooks.worker.drain import Drain

LONG_NAME = "Data warehouse " + "of the northern region " * 6
SHAPES = ("CRM", LONG_NAME[:150], "مستودع البيانات للموارد البشرية", "🎓 LMS 🚀")
SITE = "/customers/tms_webhooks"


@pytest.fixture
def desk(chromium, world, live_server, one_request_at_a_time):
    """The administrator of an organization who is no staff, and finds no error in the browser's console."""
    desk = Desk(chromium, live_server.url)
    desk.remember(world.tenants[0].people.customer)
    yield desk
    desk.close()
    assert desk.complaints == []


@pytest.fixture
def organization(world):
    return world.tenants[0].organization


def test_failed_deliveries_are_sent_again_after_an_outage_by_the_keyboard_alone(desk, organization, receiver):
    webhook = WebhookFactory(organization=organization, name="HR system", url=receiver.url, events=["class.*"])
    failed(webhook)
    failed(webhook)

    page = desk.open(f"{SITE}/webhook/{webhook.public_id}/overview/")
    page.focus("text=Resend failed deliveries")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=2 deliveries match.")
    page.focus("input[value='Yes, resend them']")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    page.keyboard.press("Enter")
    page.wait_for_selector("text=Started a job for 2 deliveries.")
    work_on_jobs()
    Drain(fan_out=fan_out).run(until_idle=True)
    receiver.wait_for(2)

    page.wait_for_selector("text=2 delivered, 0 failed, 0 waiting")


def test_names_of_any_length_and_script_fit_every_page_in_every_look(desk, organization):
    for name in SHAPES:
        failed(subscribed(name=name, organization=organization, failures=3, failing_since=timezone.now()), name * 3)
    event = write_event(organization, "class.cancelled")
    for path in (
        "webhook/dashboard/",
        f"webhook/{Webhook.objects.get(name=SHAPES[1]).public_id}/overview/",
        f"event/{event.public_id}/change/",
        "webhook/",
    ):
        desk.open(f"{SITE}/{path}")
        desk.inspect(f"names-{path.replace('/', '-')}")
        assert LONG_NAME[:30] in desk.page.content()

    desk.looks(width=NARROW)
    box = desk.page.locator("#result_list tbody th >> nth=1").bounding_box()
    assert box["width"] < NARROW
