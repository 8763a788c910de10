"""Each subscription has its own window and gets the events of that window only."""

import pytest

from example_project.training.factories import OrganizationFactory
from tests.factories import WebhookFactory
from tests.integration.expiry.assignments import (
    DAY,
    EXPIRED,
    NOW,
    assign,
    recorded_for,
    scan_at,
    subscribe,
)
from tms_webhooks.models import Delivery, Event
from tms_webhooks.outbox.fanout import fan_out


def deliveries():
    """Return for each delivery the subscription that its event is for, and the webhook."""
    fan_out(NOW)
    return sorted(Delivery.objects.values_list("event__subscription_id", "webhook_id"))


@pytest.mark.parametrize(
    "windows, dates, recorded",
    [
        pytest.param([(0, 30), (2, 7)], [5], [[0], [0]], id="that overlap"),
        pytest.param([(7, 30), (0, 7)], [20, 3], [[0], [1]], id="one after the other"),
        pytest.param([(2, 7), (2, 7)], [3], [[0], [0]], id="that are the same"),
        pytest.param([(0, 1), (300, 301)], [0.5, 150, 300.5], [[0], [2]], id="far apart"),
    ],
)
@pytest.mark.parametrize("is_one_webhook", [True, False])
def test_two_windows_get_what_is_in_each(windows, dates, recorded, is_one_webhook):
    organization = OrganizationFactory()
    webhook = WebhookFactory(organization=organization)
    subscriptions = [subscribe(webhook if is_one_webhook else organization, window=window) for window in windows]
    assigned = [assign(organization, expires_at=NOW + days * DAY) for days in dates]

    assert scan_at(NOW) == 2
    assert [recorded_for(one) for one in subscriptions] == [[assigned[n].pk for n in numbers] for numbers in recorded]
    assert deliveries() == [(one.pk, one.webhook_id) for one in subscriptions]


def test_an_expired_assignment_is_one_event_for_all_subscriptions():
    organization = OrganizationFactory()
    first, second = (subscribe(organization, EXPIRED) for _ in range(2))
    scan_at(NOW)
    assign(organization, expires_at=NOW + DAY)

    assert scan_at(NOW + 2 * DAY) == 1
    assert deliveries() == [(None, first.webhook_id), (None, second.webhook_id)]


def test_a_subscription_that_is_gone_before_the_fan_out_leaves_no_event_for_others():
    organization = OrganizationFactory()
    week, month = subscribe(organization, window=(0, 7)), subscribe(organization, window=(7, 30))
    assign(organization, expires_at=NOW + 3 * DAY)
    scan_at(NOW)

    week.delete()

    assert deliveries() == []
    assert Event.objects.filter(fanned_out_at__isnull=False).count() == 1
    assert recorded_for(month) == []
