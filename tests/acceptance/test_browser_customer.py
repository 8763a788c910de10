"""A customer at the customers' site, who is no staff: from the login to a webhook and its log."""

import re

import pytest

from tests.acceptance.browser import Desk
from tms_webhooks.admin import customer_link

pytestmark = pytest.mark.slow

SITE = "/customers/"


@pytest.fixture
def customer(chromium, world, live_server, one_request_at_a_time):
    """A browser without a session, which finds no error in its console."""
    desk = Desk(chromium, live_server.url)
    yield desk
    desk.close()
    assert desk.complaints == []


def test_a_customer_makes_a_webhook_and_reads_its_log(customer, world):
    tenant = world.tenants[0]
    customer.sign_in(tenant.people.customer.username, at=SITE)
    page = customer.page
    assert page.url.endswith(SITE)

    customer.follow("#content .model-webhook th a")
    customer.follow("text=Add webhook")
    page.select_option("#id_organization", str(tenant.organization.pk))
    page.fill("#id_name", "HR system")
    page.fill("#tms-event-search", "class was cancelled")
    page.get_by_label("Cancelled class.cancelled").check()
    page.fill("#id_url", "https://hr.example.com/hook")
    customer.save()
    page.wait_for_url(re.compile(r"/customers/.*/secret/$"))
    assert page.inner_text("#tms-secret").startswith("whsec_")
    customer.follow("text=I have copied it: continue")
    customer.follow(".tms-tabs a:text-is('Overview')")
    customer.follow(".tms-tabs a:text-is('Delivery log')")
    assert page.url.partition("?")[0].endswith("/customers/tms_webhooks/delivery/")

    customer.follow("text=Log out")
    assert "/login/" in customer.open(SITE).url


def test_a_link_for_another_user_asks_before_it_signs_the_browser_out(customer, world):
    people, organization = world.tenants[0].people, world.tenants[0].organization
    customer.sign_in(people.administrator.username)
    page = customer.open(customer_link(people.customer, organization, path="tms_webhooks/webhook/"))
    assert "You are signed in as another user" in page.inner_text("#content h1")
    customer.inspect("customer-link-of-another-user")

    customer.follow("text=Sign out and continue")

    assert customer.page.url.endswith("/customers/tms_webhooks/webhook/")
