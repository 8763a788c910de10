"""Subscriptions and vouchers come near their dates as assignments do: once, within the window, while they are open."""

import pytest

from example_project.training.factories import (
    OrganizationFactory,
    SubscriptionAssignmentFactory,
    UserFactory,
    VoucherFactory,
)
from tests.integration.expiry.assignments import DAY, HOUR, NOW, details_of, scan_at, subscribe
from tms_webhooks.models import Event, Occurrence

EXPIRING = ("subscription.expiring", "voucher.expiring")
CLOSING = {"subscription.expiring": "cancelled_at", "voucher.expiring": "redeemed_at"}


def expiring_at(event_type, organization, moment, **values):
    if event_type == "voucher.expiring":
        return VoucherFactory(organization=organization, expires_at=moment, purchased_at=NOW - 80 * DAY, **values)
    user = UserFactory(organization=organization)
    return SubscriptionAssignmentFactory(user=user, expires_at=moment, created=NOW - 80 * DAY, **values)


@pytest.fixture
def organization(db):
    organization = OrganizationFactory()
    for event_type in (*EXPIRING, "subscription.expired"):
        subscribe(organization, event_type, None if event_type.endswith("expired") else (2.0, 7.0))
    scan_at(NOW - 30 * DAY)
    return organization


def recorded(*event_types):
    events = Event.objects.filter(type__in=event_types or (*EXPIRING, "subscription.expired")).order_by("pk")
    return [(event.type, int(event.subject_id)) for event in events]


@pytest.mark.parametrize("event_type", EXPIRING)
def test_it_is_recorded_once_when_it_comes_into_the_window(organization, event_type):
    one = expiring_at(event_type, organization, NOW + 5 * DAY)

    for moment in (NOW - 3 * DAY, NOW - HOUR, NOW, NOW + DAY):
        scan_at(moment)

    assert recorded() == [(event_type, one.pk)]
    details = details_of(Event.objects.get(type=event_type))
    assert details["window"] == {"more_than_days": 2, "less_than_days": 7}
    assert 4 < details["days_left"] < 7


@pytest.mark.parametrize("event_type", EXPIRING)
def test_what_is_closed_or_far_away_is_not_recorded(organization, event_type):
    expiring_at(event_type, organization, NOW + 5 * DAY, **{CLOSING[event_type]: NOW - DAY})
    expiring_at(event_type, organization, NOW + 50 * DAY)

    scan_at(NOW)

    assert recorded(*EXPIRING) == []


def test_a_subscription_that_ran_out_is_recorded_once_and_a_cancelled_one_never(organization):
    one = expiring_at("subscription.expiring", organization, NOW - HOUR)
    expiring_at("subscription.expiring", organization, NOW - HOUR, cancelled_at=NOW - DAY)

    for moment in (NOW, NOW + HOUR):
        scan_at(moment)

    assert recorded("subscription.expired") == [("subscription.expired", one.pk)]


def test_an_expired_voucher_has_no_event(organization):
    expiring_at("voucher.expiring", organization, NOW - HOUR)

    scan_at(NOW)

    assert recorded() == []
    assert not Occurrence.objects.exists()
