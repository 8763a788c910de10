"""A change made by a view is recorded once: with a transaction around each request, without, and asynchronously."""

import pytest
from asgiref.sync import async_to_sync
from django.db import connections
from django.test import AsyncClient, Client

from tests.hosts.models import Meetup

pytestmark = pytest.mark.django_db(databases=["training", "default"], transaction=True)


@pytest.fixture(params=[False, True], ids=["autocommit", "ATOMIC_REQUESTS"])
def atomic_requests(request, monkeypatch):
    monkeypatch.setitem(connections.settings["training"], "ATOMIC_REQUESTS", request.param)
    return request.param


def test_a_view_that_ends_well_is_recorded_once(meetup, recorded, atomic_requests):
    assert Client().get("/rename/Renamed").status_code == 200

    (event,) = recorded()
    assert (event["type"], event["data"]["name"]) == ("class.updated", "Renamed")


def test_a_view_that_sends_tests_is_in_no_transaction_of_either_database(atomic_requests):
    assert Client().get("/outside").content == b""


def test_a_view_that_fails_is_recorded_as_far_as_its_change_stands(meetup, recorded, atomic_requests):
    assert Client(raise_request_exception=False).get("/rename/fail").status_code == 500

    # With a transaction around the request both are gone, without both are there.
    assert len(recorded()) == Meetup.objects.filter(title="fail").count() == (0 if atomic_requests else 1)


@pytest.mark.parametrize("way", ["arename", "aupdate"])
def test_an_asynchronous_view_is_recorded_once(meetup, recorded, way):
    response = async_to_sync(AsyncClient().get)(f"/{way}/Renamed")

    assert response.status_code == 200
    (event,) = recorded()
    assert (event["type"], event["data"]["name"]) == ("class.updated", "Renamed")


def test_the_asynchronous_verbs_are_recorded_once_each(meetup, recorded):
    async def change():
        one = await Meetup.objects.acreate(tenant_id=meetup.tenant_id, topic_id=meetup.topic_id, title="New")
        await Meetup.objects.abulk_create([Meetup(tenant_id=meetup.tenant_id, topic_id=meetup.topic_id, title="Bulk")])
        one.state = "off"
        await one.asave()
        await one.adelete()
        await Meetup.objects.filter(title="Bulk").adelete()

    async_to_sync(change)()

    assert [event["type"] for event in recorded()] == [
        "class.scheduled",
        "class.scheduled",
        "class.cancelled",
        "class.deleted",
        "class.deleted",
    ]
