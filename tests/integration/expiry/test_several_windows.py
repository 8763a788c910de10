"""Each subscription has its own window and gets the events of that window only."""

from __future__ import annotations

from example_project.training.factories import OrganizationFactory
from tests.factories import WebhookFactory
from tests.integration.expiry.assignments import (
    DAY,
    EXPIRED,
    EXPIRING,
    NOW,
    assign,
    data_of,
    events,
    recorded,
    recorded_for,
    scan_at,
    subscribe,
    subscribed_organization,
)
from tms_webhooks.models import Delivery, Event
from tms_webhooks.outbox.fanout import fan_out


def deliveries() -> list[tuple[int | None, int]]:
    """Return for each delivery the subscription that its event is for, and the webhook."""
    fan_out(NOW)
    return sorted(Delivery.objects.values_list("event__subscription_id", "webhook_id"))


def test_two_windows_of_one_webhook_are_recorded_one_after_the_other():
    webhook = WebhookFactory()
    month, week = subscribe(webhook, window=(7, 30)), subscribe(webhook, window=(0, 7))
    assignment = assign(webhook.organization, expires_at=NOW + 20 * DAY)

    for day in range(21):
        scan_at(NOW + day * DAY)

    assert recorded_for(month) == recorded_for(week) == [assignment.pk]
    assert [data_of(event)["days_left"] for event in events()] == [20, 6]
    assert [event.occurred_at for event in events()] == [NOW, NOW + 14 * DAY]


def test_two_windows_that_overlap_are_both_recorded_at_once():
    webhook = WebhookFactory()
    wide, narrow = subscribe(webhook, window=(0, 30)), subscribe(webhook, window=(2, 7))
    assignment = assign(webhook.organization, expires_at=NOW + 5 * DAY)

    assert scan_at(NOW) == 2
    assert recorded_for(wide) == recorded_for(narrow) == [assignment.pk]
    assert deliveries() == [(wide.pk, webhook.pk), (narrow.pk, webhook.pk)]


def test_a_webhook_gets_nothing_of_the_window_of_another():
    organization = OrganizationFactory()
    month, week = (subscribe(organization, window=window) for window in ((7, 30), (0, 7)))
    far = assign(organization, expires_at=NOW + 20 * DAY)
    near = assign(organization, expires_at=NOW + 3 * DAY)

    assert scan_at(NOW) == 2
    assert (recorded_for(month), recorded_for(week)) == ([far.pk], [near.pk])
    assert deliveries() == [(month.pk, month.webhook_id), (week.pk, week.webhook_id)]


def test_one_window_of_two_webhooks_is_recorded_for_both():
    organization = OrganizationFactory()
    first, second = (subscribe(organization, window=(2, 7)) for _ in range(2))
    assign(organization, expires_at=NOW + 3 * DAY)

    assert scan_at(NOW) == 2
    assert deliveries() == [(first.pk, first.webhook_id), (second.pk, second.webhook_id)]


def test_an_expired_assignment_is_one_event_for_all_subscriptions():
    organization = OrganizationFactory()
    first, second = (subscribe(organization, EXPIRED) for _ in range(2))
    scan_at(NOW)
    assign(organization, expires_at=NOW + DAY)

    assert scan_at(NOW + 2 * DAY) == 1
    assert deliveries() == [(None, first.webhook_id), (None, second.webhook_id)]


def test_the_same_window_of_two_organizations_keeps_them_apart():
    harborview, cedar_point = subscribed_organization(EXPIRING, EXPIRED), subscribed_organization(EXPIRING, EXPIRED)
    theirs = {
        organization.pk: assign(organization, expires_at=NOW + 3 * DAY) for organization in (harborview, cedar_point)
    }

    for day in range(5):
        scan_at(NOW + day * DAY)

    found = {(event.organization_id, event.type, int(event.subject_id)) for event in events()}
    assert found == {(key, kind, one.pk) for key, one in theirs.items() for kind in (EXPIRING, EXPIRED)}
    assert len(events()) == 4


def test_an_organization_without_a_subscription_gets_no_event():
    subscribed_organization(EXPIRING, EXPIRED)
    other = OrganizationFactory()
    assign(other, expires_at=NOW + 3 * DAY)

    assert [scan_at(NOW + day * DAY) for day in range(5)] == [0] * 5


def test_windows_far_apart_are_both_read():
    organization = OrganizationFactory()
    late, early = subscribe(organization, window=(0, 1)), subscribe(organization, window=(300, 301))
    near = assign(organization, expires_at=NOW + DAY / 2)
    assign(organization, expires_at=NOW + 150 * DAY)
    far = assign(organization, expires_at=NOW + 300.5 * DAY)

    assert scan_at(NOW) == 2
    assert (recorded_for(late), recorded_for(early)) == ([near.pk], [far.pk])


def test_a_subscription_that_is_gone_before_the_fan_out_leaves_no_event_for_others():
    organization = OrganizationFactory()
    week, month = subscribe(organization, window=(0, 7)), subscribe(organization, window=(7, 30))
    assign(organization, expires_at=NOW + 3 * DAY)
    scan_at(NOW)

    week.delete()

    assert deliveries() == []
    assert Event.objects.filter(fanned_out_at__isnull=False).count() == 1
    assert recorded_for(month) == []


def test_a_deleted_webhook_gets_no_event():
    organization = OrganizationFactory()
    subscription = subscribe(organization, "course_assignment.*")
    subscription.webhook.deleted_at = NOW
    subscription.webhook.save()
    assign(organization, expires_at=NOW + 3 * DAY)

    assert [scan_at(NOW + day * DAY) for day in range(5)] == [0] * 5
    assert recorded() == []
