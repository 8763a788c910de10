"""Long lists come in pages: nothing is left out and nothing comes twice, whatever happens in between."""

import pytest
from django.utils import timezone

from tests.factories import WebhookFactory
from tests.integration.api.people import client_of, member_of
from tests.integration.delivery.rows import write_delivery
from tms_webhooks.models import Delivery, Webhook


@pytest.fixture
def names(acme):
    """The ids of eight webhooks, the newest first."""
    WebhookFactory.create_batch(8, organization=acme)
    return [one.public_id for one in Webhook.objects.order_by("-pk")]


def walk(client, address, link="next"):
    pages = []
    while address:
        page = client.get(address).json()
        pages.append([row["id"] for row in page["results"]])
        address = page[link]
    return pages


@pytest.mark.parametrize("size", [1, 3, 7, 8])
def test_the_pages_hold_each_row_once_and_in_order(client, names, size):
    pages = walk(client, f"/api/webhooks/?page_size={size}")

    assert [pk for page in pages for pk in page] == names
    assert {len(page) for page in pages[:-1]} <= {size}


def test_the_way_back_is_the_same(client, names):
    address = "/api/webhooks/?page_size=3"
    there = walk(client, address)
    page = client.get(address).json()
    while page["next"]:
        page = client.get(page["next"]).json()

    back = [[row["id"] for row in page["results"]]]
    while page["previous"]:
        page = client.get(page["previous"]).json()
        back.append([row["id"] for row in page["results"]])

    assert [pk for page in reversed(back) for pk in page] == [pk for page in there for pk in page]
    assert client.get(address).json()["previous"] is None


def test_what_comes_and_goes_in_between_moves_nothing_else(client, acme):
    webhook = WebhookFactory(organization=acme)
    old = [write_delivery(webhook, now=timezone.now()).public_id for _ in range(6)]
    first = client.get("/api/deliveries/?page_size=2").json()
    write_delivery(webhook, now=timezone.now())
    Delivery.objects.get(Delivery.by_public_id(old[4])).delete()

    rest = walk(client, first["next"])

    assert [row["id"] for row in first["results"]] == [old[5], old[4]]
    assert [pk for page in rest for pk in page] == old[3::-1]


def test_the_second_page_of_a_colleague_is_the_same(client, acme, names):
    following = client.get("/api/webhooks/?page_size=2&enabled=true").json()["next"]

    assert walk(client_of(member_of(acme)), following) == walk(client, following)


@pytest.mark.parametrize("change", [lambda url: url.replace("cursor=", "cursor=x"), lambda _url: "/api/jobs/?cursor=1"])
def test_an_invalid_cursor_is_rejected(client, names, problem, change):
    data = problem(client.get(change(client.get("/api/webhooks/?page_size=2").json()["next"])), "invalid-cursor")

    assert data["errors"][0]["detail"] == "Use the complete URL in `next` or `previous`, or start without a cursor."
