"""A page of deliveries and a page of the feed are read from indexes, in their order, whatever else is in the tables."""

import re

import pytest
from django.db import connection

from tests.integration.test_query_plans import DELIVERIES, EVENTS, analyze, clock, explained, history, moment, plans
from tests.patience import PATIENCE
from tms_webhooks.choices import JobKind
from tms_webhooks.models import Delivery, Event, Job, Webhook
from tms_webhooks.outbox import feed

pytestmark = plans

__all__ = ["clock", "history", "moment"]

SORTS = ("USE TEMP B-TREE FOR ORDER BY", "Sort Key")


@pytest.fixture
def own(history, acme, clock):
    """One webhook of twelve is the caller's."""
    webhook = history[5]
    Event.objects.filter(organization=webhook.organization).update(organization=acme)
    Webhook.objects.filter(pk=webhook.pk).update(organization=acme)
    feed.publish_all(clock.now, seconds=PATIENCE)
    analyze()
    return webhook


def gathered(statements, table):
    """Return the plans that gather rows and sort them; others walk in the order of the page, and stop at its end."""
    return [plan for _sql, plan in statements.of(table) if any(sort in plan for sort in SORTS)]


def test_a_page_of_a_webhooks_deliveries_is_the_end_of_an_index(client, own):
    with explained() as statements:
        answer = client.get(f"/api/deliveries/?webhook={own.public_id}&page_size=20")

    assert len(answer.json()["results"]) == 20
    assert statements.whole_scans(DELIVERIES) == []
    assert gathered(statements, DELIVERIES) == []
    assert statements.uses("tms_delivery_by_webhook") or statements.uses(f"{DELIVERIES}_pkey")


def test_a_page_of_the_feed_is_read_from_its_index(client, own):
    first = client.get("/api/events/?page_size=20").json()

    with explained() as statements:
        answer = client.get("/api/events/", {"after": first["cursor"], "page_size": 20})

    assert len(answer.json()["results"]) == 20
    assert statements.whole_scans(EVENTS) == []
    assert statements.uses("tms_event_feed")


@pytest.fixture
def one_object(own):
    """The object of three of the caller's events, as the value of each filter."""
    keys = list(Event.objects.filter(deliveries__webhook=own).order_by("pk").values_list("pk", flat=True)[:3])
    for sequence, key in enumerate(keys):
        Event.objects.filter(pk=key).update(subject_id="about-one", sequence=sequence, external_id="ACME-1")
    analyze()
    return {"subject": "class:about-one", "external_id": "ACME-1"}


@pytest.mark.parametrize("name", ["subject", "external_id"])
@pytest.mark.parametrize("address", ["deliveries/", "events/", "webhooks/{}/events/"])
def test_the_rows_of_an_object_are_read_by_the_keys_of_its_events(client, own, one_object, address, name):
    with explained() as statements:
        response = client.get(f"/api/{address}".format(own.public_id), {name: one_object[name]})

    assert len(response.json()["results"]) == 3
    assert statements.whole_scans(EVENTS) == statements.whole_scans(DELIVERIES) == []
    by_object = "subject_id=" if connection.vendor == "sqlite" else "tms_event_sequence_once"
    assert statements.uses(by_object if name == "subject" else "tms_event_by_external_id")
    # A range of positions, or of keys, would be all events of the organization, or all deliveries of the webhook.
    walks = [plan for _sql, plan in statements.plans if re.search(r"(position|rowid)>|tms_delivery_by_webhook", plan)]
    assert walks == []


@pytest.mark.parametrize("status", ["exhausted", "failed", "skipped", "cancelled"])
def test_the_few_deliveries_that_went_wrong_are_read_by_their_index(client, own, status):
    finished = own.deliveries.filter(status="delivered").values_list("pk", flat=True)
    Delivery.objects.filter(pk__in=list(finished[3:5])).update(status=status)
    analyze()

    with explained() as statements:
        response = client.get("/api/deliveries/", {"status": status, "page_size": 20})

    assert len(response.json()["results"]) == 2
    assert statements.whole_scans(DELIVERIES) == []
    assert statements.uses("tms_delivery_unsuccessful")


LISTED = {"pending": 11, "waiting": 1, "merged": 2}


@pytest.fixture
def merged(own):
    """Two of the caller's deliveries were merged into a third one."""
    first, *others = own.deliveries.filter(status="delivered").values_list("pk", flat=True)[:3]
    Delivery.objects.filter(pk__in=[first, *others]).update(quiet_period=first)
    Delivery.objects.filter(pk__in=others).update(status="merged")
    analyze()


@pytest.mark.parametrize("status", LISTED)
def test_the_few_deliveries_that_are_open_or_merged_are_read_by_an_index(client, own, merged, status):
    with explained() as statements:
        response = client.get("/api/deliveries/", {"status": status})

    assert len(response.json()["results"]) == LISTED[status]
    assert statements.whole_scans(DELIVERIES) == []
    # Nor in the order of the primary key, until the page is full.
    walks = rf"rowid>|Index Scan Backward using {DELIVERIES}_pkey"
    assert [plan for _sql, plan in statements.of(DELIVERIES) if re.search(walks, plan)] == []


def test_the_progress_of_a_job_is_counted_in_the_index_of_its_deliveries(client, own):
    job = Job.objects.create(kind=JobKind.RECOVER, webhook=own, created_at=own.created_at)
    keys = list(Delivery.objects.filter(webhook=own, status="delivered").values_list("pk", flat=True)[:5])
    Delivery.objects.filter(pk__in=keys).update(job=job.pk)
    analyze()

    with explained() as statements:
        answer = client.get(f"/api/jobs/{job.public_id}/")

    assert answer.json()["deliveries"] == {
        "delivered": 5,
        "failed": 0,
        "skipped": 0,
        "cancelled": 0,
        "waiting": 0,
    }
    assert statements.whole_scans(DELIVERIES) == []
    assert all("tms_delivery_of_job" in plan for _sql, plan in statements.of(DELIVERIES))
