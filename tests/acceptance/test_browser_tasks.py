"""The customers' site in a real browser: an outage is mended by the keyboard alone, and names of any length fit."""

import json

import pytest
from django.utils import timezone

from example_project.training.factories import TrainingClassFactory
from tests.acceptance.browser import NARROW, Desk
from tests.acceptance.test_browser_log import failed
from tests.factories import WebhookFactory
from tests.integration.delivery.rows import name_event, subscribed, write_delivery, write_event
from tms_webhooks.comparison import Comparison
from tms_webhooks.models import Webhook
from tms_webhooks.outbox.fanout import fan_out
from tms_webhooks.tasks import work_on_jobs
from tms_webhooks.worker.drain import Drain

pytestmark = pytest.mark.slow

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
    page.focus(".tms-menu > summary")
    page.keyboard.press("Enter")
    page.focus("a:text-is('Recover')")
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.matches('.tms-menu:not([open]) > summary')")
    page.keyboard.press("Enter")
    desk.inspect("menu")
    page.click("h1")
    assert not page.is_visible("a:text-is('Recover')")
    page.focus(".tms-menu > summary")
    page.keyboard.press("Enter")
    page.focus("a:text-is('Recover')")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=2 failed")
    desk.inspect("recover")
    page.focus("input[value=recover]")
    page.keyboard.press("Space")
    page.focus("input[value='Yes, start']")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    page.keyboard.press("Enter")
    page.wait_for_selector("text=Started a job for 2 deliveries.")
    work_on_jobs()
    Drain(fan_out=fan_out).run(until_idle=True)
    receiver.wait_for(2)

    page.wait_for_selector("text=2 of 2, 2 delivered")
    desk.open(f"{SITE}/job/")
    desk.follow("text=2 of 2, 2 delivered")
    assert page.locator("#result_list tbody tr").count() == 2
    assert "Resend failed deliveries" in page.inner_text("select[name=job]")
    desk.inspect("log-of-job")


def test_a_copy_is_compared_and_what_it_lacks_is_sent(desk, organization, receiver, tmp_path):
    webhook = WebhookFactory(organization=organization, name="Data warehouse", url=receiver.url, events=["class.*"])
    lost = TrainingClassFactory(organization=organization, name="Azure basics")
    others = [one for one in Comparison(webhook, "class").objects(None, limit=100).objects if one.id != str(lost.pk)]
    copy = tmp_path / "copy.csv"
    copy.write_text("".join(f"{one.id},{one.digest}\n" for one in others) + f"{LONG_NAME},{'0' * 32}\n")

    page = desk.open(f"{SITE}/webhook/{webhook.public_id}/overview/")
    page.click(".tms-menu > summary")
    desk.follow("text=Compare a copy")
    page.fill("#id_copy", "12;7")
    desk.follow("button:has-text('Compare')")
    page.wait_for_selector("text=Line 1 is not an id and a digest of 32 hexadecimal digits: 12;7")
    desk.inspect("comparison-error")
    page.set_input_files("#id_file", copy)
    desk.follow("button:has-text('Compare')")
    page.wait_for_selector("text=2 differences")
    assert page.inner_text("#tms-kind-1 ~ ul").startswith("Azure basics")
    desk.inspect("comparison")
    desk.follow("input[value='Send only these']")
    page.wait_for_selector("text=Started a job for 1 delivery.")
    work_on_jobs()
    Drain(fan_out=fan_out).run(until_idle=True)

    first, *_last = receiver.wait_for(2)
    assert json.loads(first.body)["data"]["name"] == "Azure basics"


def test_a_missing_cancellation_is_explained_by_the_name_of_the_class(desk, organization):
    webhook = WebhookFactory(organization=organization, name="CRM", events=[])
    wanted = TrainingClassFactory(organization=organization, course__name="Azure Administrator").course
    webhook.subscriptions.create(event_type="class.*", filters={"course": [wanted.pk]})
    for name in ("class.cancelled", "class.scheduled"):
        event = write_event(organization, name)
        name_event(event, "Kubernetes in May", occurred_at=timezone.now())

    page = desk.open(f"{SITE}/delivery/?webhook={webhook.public_id}")
    page.fill("#searchbar", "kubernetes may")
    desk.follow("#changelist-search button >> nth=0")
    desk.inspect("log-empty")
    desk.follow("text=See why it was not sent")
    assert page.locator(".tms-health").count() == 2
    assert "Not met: course is Azure Administrator; this event's course is" in page.inner_text(".tms-health >> nth=0")
    desk.inspect("explain-object")
    desk.follow(".tms-health >> nth=0 >> text=All checks")
    desk.inspect("explain-event")
    desk.follow("text=Change the filter")
    assert page.inner_text(".field-course .tms-chip").strip() == "Azure Administrator"
    desk.inspect("form-filter-opened")


def test_the_list_of_webhooks_says_how_to_begin_and_its_deletion_says_what_ends_and_what_stays(desk, organization):
    page = desk.open(f"{SITE}/webhook/")
    assert page.inner_text("#tms-first") == "No webhook yet"
    desk.inspect("webhooks-empty")
    desk.follow("a.button:text-is('Add a webhook')")
    assert page.url.endswith(f"{SITE}/webhook/add/")

    webhook = WebhookFactory(organization=organization, name="HR system", events=["class.*"])
    failed(webhook)
    write_delivery(webhook, now=timezone.now())
    desk.open(f"{SITE}/webhook/")
    bottoms = "all => all.map((one) => Math.round(one.getBoundingClientRect().bottom))"
    assert len(set(page.eval_on_selector_all("#searchbar, .tms-selects select", bottoms))) == 1
    assert page.inner_text("#result_list td.field-owner") == str(organization)
    page.fill("#searchbar", "hr")
    desk.follow("#changelist-search button")
    assert page.locator("#result_list tbody tr").count() == 1

    desk.open(f"{SITE}/webhook/{webhook.public_id}/delete/")
    assert page.inner_text(".tms-details > div >> nth=0").split("\n") == ["Queued deliveries", "1"]
    desk.follow("text=Yes, delete it")
    page.wait_for_selector("#tms-first")
    assert desk.open(f"{SITE}/delivery/").locator("#result_list tbody tr").count() == 2


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
