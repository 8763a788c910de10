"""Who names no days, as with a pattern, gets the default window: from 30 days to the end."""

import pytest

from example_project.training.factories import OrganizationFactory
from tests.integration.expiry.assignments import (
    DAY,
    EXPIRING,
    INSTANT,
    NOW,
    assign,
    details_of,
    events,
    keys,
    recorded,
    scan_at,
    subscribe,
)


@pytest.mark.parametrize("event_type", [EXPIRING, "course_assignment.*", "*"])
def test_empty_days_and_patterns_mean_the_last_thirty_days(event_type):
    organization = OrganizationFactory()
    subscription = subscribe(organization, event_type, window=None)
    last = assign(organization, expires_at=NOW + INSTANT)
    first = assign(organization, expires_at=NOW + 30 * DAY - INSTANT)
    assign(organization, expires_at=NOW + 30 * DAY)

    assert scan_at(NOW) == 2
    assert recorded(EXPIRING) == [("expiring", key) for key in keys([last, first])]
    assert {event.subscription_id for event in events()} == {subscription.pk}
    assert [details_of(event)["window"] for event in events()] == [{"more_than_days": 0, "less_than_days": 30}] * 2
