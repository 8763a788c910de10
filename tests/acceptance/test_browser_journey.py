"""From the form to a verified request, in a real browser and with a real receiver."""

import re

import pytest

from tests.receiver import Answer
from tms_webhooks.models import Webhook
from tms_webhooks.outbox.fanout import fan_out
from tms_webhooks.worker.drain import Drain

LOG = "/admin/tms_webhooks/delivery/"


@pytest.fixture
def deliver():
    """Send what is due, as a worker does."""
    return lambda: Drain(fan_out=fan_out).run(until_idle=True)


def add_webhook(desk, organization, url):
    """Fill in the form; return the secret that the page shows."""
    page = desk.open("/admin/tms_webhooks/webhook/add/")
    page.select_option("#id_organization", str(organization.pk))
    page.fill("#id_name", "HR system")
    page.fill("#tms-event-search", "class was cancelled")
    page.get_by_label("Cancelled class.cancelled").check()
    page.fill("#id_url", url)
    desk.unfold("request", "retries")
    page.fill("#id_headers", "Authorization=Basic aHVudGVyMg==")
    page.fill("#id_max_retries", "0")
    desk.save()
    page.wait_for_url(re.compile(r"/secret/$"))
    desk.inspect("secret")
    return page.inner_text("#tms-secret")


def test_a_webhook_from_the_form_to_its_rotation(desk, world, receiver, deliver):
    tenant = world.tenants[0]
    training_class = tenant.classes.training_class

    secret = add_webhook(desk, tenant.organization, receiver.url)

    # A class is cancelled, and the receiver is told.
    training_class.cancel()
    deliver()
    (request,) = receiver.wait_for(1)
    request.verify(secret)
    assert request.headers["authorization"] == "Basic aHVudGVyMg=="
    assert (request.event["type"], request.event["data"]["id"]) == ("class.cancelled", training_class.pk)
    page = desk.open(LOG)
    assert "Delivered" in page.inner_text("#result_list")

    # The receiver breaks.
    receiver.respond = lambda _request: Answer(status=503, body=b"down for repair")
    training_class.schedule()
    training_class.cancel()
    deliver()
    receiver.wait_for(2)
    page = desk.open(LOG)
    assert "Failed, no retry" in page.inner_text("#result_list tbody tr:first-child")
    desk.follow("#result_list tbody tr:first-child th a")
    assert "503" in page.inner_text("#content")

    # It is mended, and what it missed is sent again.
    receiver.respond = None
    desk.follow("text=Resend")
    desk.follow("text=Yes, send")
    page.wait_for_selector(".messagelist .success")
    deliver()
    again = receiver.wait_for(3)[2]
    again.verify(secret)
    assert again.headers["webhook-id"] == receiver.received[1].headers["webhook-id"]
    assert "Failed, no retry" not in desk.open(LOG).inner_text("#result_list")

    # A new secret, with the old one beside it.
    page = desk.open(f"/admin/tms_webhooks/webhook/{Webhook.objects.get().public_id}/change/")
    desk.unfold("security")
    desk.follow("text=Rotate it…")
    desk.follow("text=Yes, rotate it")
    new = page.inner_text("#tms-secret")
    training_class.schedule()
    training_class.cancel()
    deliver()
    last = receiver.wait_for(4)[3]
    assert new != secret
    for one in (new, secret):
        last.verify(one)
