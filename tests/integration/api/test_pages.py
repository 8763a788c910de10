"""Long lists come in pages: nothing is left out and nothing comes twice, whatever happens in between."""

from __future__ import annotations

import pytest
from django.core import signing
from django.utils import timezone

from tests.factories import WebhookFactory
from tests.integration.api.people import client_of, member_of
from tests.integration.delivery.rows import write_delivery
from tms_webhooks.models import Delivery, Webhook


@pytest.fixture
def names(acme) -> list[str]:
    """Webhooks, some of one name, and some whose names are the same to databases that don't look at the case."""
    for name in ("b", "a", "B", "a", "c", "a", "A", "d"):
        WebhookFactory(organization=acme, name=name)
    return [one.public_id for one in Webhook.objects.order_by("name", "pk")]


def walk(client, address: str, link: str = "next") -> list[list[str]]:
    pages = []
    while address:
        page = client.get(address).json()
        pages.append([row["id"] for row in page["results"]])
        address = page[link]
    return pages


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 9])
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


@pytest.mark.parametrize("ordering", ["created_at", "-created_at", "-name"])
def test_a_page_keeps_the_order_that_was_asked_for(client, names, ordering):
    pages = walk(client, f"/api/webhooks/?page_size=3&ordering={ordering}")

    field = {"created_at": ("created_at", "pk"), "-created_at": ("-created_at", "-pk"), "-name": ("-name", "-pk")}[
        ordering
    ]
    assert [pk for page in pages for pk in page] == [one.public_id for one in Webhook.objects.order_by(*field)]


def test_the_number_of_rows_is_the_settings(client, names, settings):
    settings.TMS_WEBHOOKS = {**settings.TMS_WEBHOOKS, "API_PAGE_SIZE": 4, "API_PAGE_LIMIT": 5}

    assert len(client.get("/api/webhooks/").json()["results"]) == 4
    assert len(client.get("/api/webhooks/?page_size=5").json()["results"]) == 5
    assert client.get("/api/webhooks/?page_size=6").status_code == 400


@pytest.fixture
def following(client, names) -> str:
    """The address of a second page."""
    return client.get("/api/webhooks/?page_size=2&enabled=true").json()["next"]


def test_a_cursor_can_be_read_with_another_page_size(client, following, names):
    page = client.get(following.replace("page_size=2", "page_size=3")).json()

    assert [row["id"] for row in page["results"]] == names[2:5]


@pytest.mark.parametrize(
    "change",
    [
        lambda address: address.replace("enabled=true", "enabled=false"),
        lambda address: address.replace("enabled=true&", ""),
        lambda address: address + "&ordering=-name",
        lambda address: address.replace("/webhooks/", "/audit/").replace("enabled=true&", ""),
        lambda address: address.replace("cursor=", "cursor=x"),
        lambda address: address.replace("&enabled", "x&enabled"),
    ],
)
def test_a_cursor_of_another_list_or_one_that_was_changed_is_refused(client, following, problem, change):
    address = change(following)
    if "audit" in address:
        address = address.replace("&enabled=true", "").replace("enabled=true", "")

    problem(client.get(address), "invalid-cursor")


def test_a_cursor_of_a_colleague_is_refused(acme, following, problem):
    problem(client_of(member_of(acme)).get(following), "invalid-cursor")


SIGNED_FOR_OTHERS = signing.dumps(["a", False, [1]], salt="other")


@pytest.mark.parametrize("cursor", ["", "x", "cD0x", "1", pytest.param(SIGNED_FOR_OTHERS, id="signed elsewhere")])
def test_an_invalid_cursor_is_rejected(client, problem, cursor):
    data = problem(client.get(f"/api/webhooks/?cursor={cursor}"), "invalid-cursor")

    assert data["errors"][0]["detail"] == "Use the complete URL in `next` or `previous`, or start without a cursor."


def test_the_attempts_of_a_delivery_come_in_pages_too(client, acme):
    now = timezone.now()
    delivery = write_delivery(WebhookFactory(organization=acme), now=now)
    for number in range(1, 6):
        delivery.attempt_log.create(number=number, started_at=now, duration_ms=5)

    address: str | None = f"/api/deliveries/{delivery.public_id}/attempts/?page_size=2"
    numbers = []
    while address:
        page = client.get(address).json()
        numbers += [row["number"] for row in page["results"]]
        address = page["next"]

    assert numbers == [1, 2, 3, 4, 5]
