"""The number of a scan's queries goes by what is new, not by what was recorded before nor by the number of subscriptions."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from example_project.training.factories import OrganizationFactory
from tests.integration.expiry.assignments import DAY, EXPIRED, EXPIRING, HOUR, NOW, assign, scan_at, subscribe


def queries_of_scan(now):
    with CaptureQueriesContext(connection) as queries:
        assert scan_at(now) == 0
    return len(queries)


def test_rows_that_were_recorded_cost_no_queries():
    organization = OrganizationFactory()
    subscribe(organization)
    subscribe(organization, EXPIRED)
    assign(organization, expires_at=NOW + 6 * DAY)
    scan_at(NOW)
    few = queries_of_scan(NOW + HOUR)

    for number in range(25):
        assign(organization, expires_at=NOW + 5 * DAY + number * HOUR / 10)
    assert scan_at(NOW + 2 * HOUR) == 25

    assert queries_of_scan(NOW + 3 * HOUR) == few


def test_more_subscriptions_cost_no_queries():
    organization = OrganizationFactory()
    subscribe(organization)
    assign(organization, expires_at=NOW + 6 * DAY)
    scan_at(NOW)
    few = queries_of_scan(NOW + HOUR)

    for _ in range(8):
        subscribe(organization)
        subscribe(OrganizationFactory(), window=(1, 6))
    scan_at(NOW + 2 * HOUR)

    assert queries_of_scan(NOW + 3 * HOUR) == few


def test_without_a_subscription_no_assignment_is_read():
    organization = OrganizationFactory()
    subscribe(organization, "course_assignment.completed")
    assign(organization, expires_at=NOW + 6 * DAY)
    scan_at(NOW)

    with CaptureQueriesContext(connection) as queries:
        scan_at(NOW + HOUR)

    assert not [query for query in queries if "training_courseassignment" in query["sql"].partition("WHERE")[0]]


@pytest.mark.parametrize("event_type", [EXPIRING, EXPIRED])
def test_each_event_costs_a_fixed_number_of_queries(event_type):
    organization = OrganizationFactory()
    subscribe(organization, event_type)
    scan_at(NOW)
    left = 4 * DAY if event_type == EXPIRING else -HOUR / 2

    def queries_for(count):
        now = NOW + count * HOUR
        for _ in range(count):
            assign(organization, expires_at=now + left)
        with CaptureQueriesContext(connection) as queries:
            assert scan_at(now) == count
        return len(queries)

    one, three, five = (queries_for(count) for count in (1, 3, 5))

    assert three - one == five - three
    assert (three - one) / 2 <= 10
