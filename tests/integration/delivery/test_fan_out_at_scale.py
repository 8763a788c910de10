"""Fanning out many events, and by several workers at once."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from example_project.training.factories import OrganizationFactory
from tests.integration.delivery.rows import subscribed, write_event, write_events
from tests.threads import one_writer
from tms_webhooks.models import Delivery, Event
from tms_webhooks.outbox import fanout
from tms_webhooks.outbox.fanout import fan_out


@pytest.fixture(autouse=True)
def _nobody_else_writes(monkeypatch):
    """Batches are smaller for a second after another connection has written, as one of the test before may have."""
    monkeypatch.setattr(fanout, "others_write", lambda: False)


def fan_out_all(now):
    """Fan out until nothing is left; return the sizes of the batches."""
    sizes = []
    while size := fan_out(now):
        sizes.append(size)
    return sizes


def test_ten_thousand_of_one_organization_don_t_hold_up_what_just_happened_in_another(clock):
    busy, quiet = subscribed(), subscribed()
    write_events(busy.organization, 600)
    event = write_event(quiet.organization)
    write_events(busy.organization, 300)

    assert fan_out(clock.now, limit=200) == 200

    assert quiet.deliveries.get().event == event
    assert busy.deliveries.count() == 199


@pytest.mark.parametrize("events, first", [([300, 300], [50, 50]), ([300, 300, 2], [49, 49, 2])])
def test_organizations_share_a_batch_and_what_one_leaves_of_its_share_goes_to_the_others(clock, events, first):
    webhooks = [subscribed(happened=number) for number in events]

    assert fan_out(clock.now, limit=100) == 100
    assert [webhook.deliveries.count() for webhook in webhooks] == first
    fan_out_all(clock.now)
    assert [webhook.deliveries.count() for webhook in webhooks] == events


def test_of_each_organization_the_oldest_events_come_first(clock):
    first, second = subscribed(), subscribed()
    for _ in range(2):
        for webhook in (first, second):
            write_events(webhook.organization, 5)

    assert fan_out(clock.now, limit=10) == 10

    for webhook in (first, second):
        keys = list(Event.objects.filter(organization=webhook.organization).order_by("pk").values_list("pk", flat=True))
        assert sorted(webhook.deliveries.values_list("event_id", flat=True)) == keys[:5]


@pytest.mark.parametrize("others", [0, 30], ids=["alone", "beside another backlog"])
def test_however_many_events_wait_those_of_no_organization_are_fanned_out(clock, others):
    webhook = subscribed(happened=others)
    write_events(None, 30)

    assert fan_out(clock.now, limit=10) == 10
    assert Event.objects.to_fan_out().filter(organization=None).count() == (25 if others else 20)
    assert webhook.deliveries.count() == (5 if others else 0)

    fan_out_all(clock.now)
    assert not Event.objects.to_fan_out().exists()


@pytest.mark.parametrize("limit", [1, 2, 5])
def test_where_more_organizations_wait_than_fit_a_batch_each_gets_its_turn(clock, monkeypatch, limit):
    monkeypatch.setattr(fanout, "_rotation", fanout._Rotation())
    monkeypatch.setattr(fanout, "ORGANIZATIONS", 2)
    webhooks = [subscribed() for _ in range(6)]
    for webhook in webhooks:
        write_events(webhook.organization, 10)
    while Delivery.objects.count() < 12:
        fan_out(clock.now, limit=limit)

    assert [webhook.deliveries.count() > 0 for webhook in webhooks] == [True] * 6


@one_writer
def test_batches_that_are_cut_short_go_on_with_the_next_organization(clock, monkeypatch):
    monkeypatch.setattr(fanout, "_rotation", fanout._Rotation())
    monkeypatch.setattr(fanout, "DELIVERIES_OF_ONE_WRITER", 2)
    webhooks = [subscribed() for _ in range(5)]
    for webhook in webhooks:
        write_events(webhook.organization, 3)

    for _ in range(5):
        fan_out(clock.now)

    assert [webhook.deliveries.count() for webhook in webhooks] == [2] * 5


@one_writer
@pytest.mark.parametrize(
    "others, limit", [(False, "DELIVERIES_OF_ONE_WRITER"), (True, "DELIVERIES_WITH_OTHER_WRITERS")]
)
def test_where_all_wait_for_one_writer_a_batch_is_limited_by_the_deliveries_of_the_batch_before(
    clock, monkeypatch, others, limit
):
    monkeypatch.setattr(fanout, "_rotation", fanout._Rotation())
    monkeypatch.setattr(fanout, limit, 10)
    monkeypatch.setattr(fanout, "others_write", lambda: others)
    wide = subscribed()
    for _ in range(3):
        subscribed(organization=wide.organization)
    write_events(wide.organization, 5)

    assert fan_out_all(clock.now) == [2, 2, 1]

    assert Delivery.objects.count() == 4 * 5


@one_writer
def test_an_event_with_more_deliveries_than_are_made_at_once_gets_them_all_the_same(clock, monkeypatch):
    monkeypatch.setattr(fanout, "DELIVERIES_OF_ONE_WRITER", 1)
    wide, narrow = subscribed(), subscribed()
    subscribed(organization=wide.organization)
    write_events(wide.organization, 2)
    write_event(narrow.organization)

    assert fan_out_all(clock.now) == [2, 1]

    assert Delivery.objects.count() == 5


def queries_for_a_batch(*, webhooks, events, now):
    organization = OrganizationFactory()
    for _ in range(webhooks):
        subscribed(organization=organization)
    write_events(organization, events)
    with CaptureQueriesContext(connection) as queries:
        assert fan_out(now) == events
    assert Delivery.objects.filter(webhook__organization=organization).count() == webhooks * events
    return len(queries)


def test_the_number_of_queries_depends_neither_on_webhooks_nor_on_events(clock, monkeypatch):
    # A body that is looked into every now and then is a query, too.
    monkeypatch.setattr(fanout, "_check_schemas", lambda groups: None)
    monkeypatch.setattr(fanout, "DELIVERIES_OF_ONE_WRITER", 20 * 20)
    # The first batch of all also writes the row that is locked while numbers are given.
    queries_for_a_batch(webhooks=1, events=1, now=clock.now)
    few = queries_for_a_batch(webhooks=1, events=1, now=clock.now)
    many = queries_for_a_batch(webhooks=20, events=20, now=clock.now)

    assert many == few <= 12


def test_nothing_to_do_costs_one_query(clock, django_assert_num_queries):
    subscribed()

    with django_assert_num_queries(1):
        assert fan_out(clock.now) == 0
