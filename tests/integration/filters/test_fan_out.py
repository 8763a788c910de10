"""A subscription with filters or a condition gets those of its events that meet them, and no others."""

import logging

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from example_project.training.factories import ClassEnrollmentFactory, CourseAssignmentFactory
from tests.factories import WebhookFactory
from tests.integration.audience.world import told_to
from tests.integration.delivery.rows import body_of, subscribed, write_event, write_events
from tms_webhooks.models import Delivery, Subscription
from tms_webhooks.outbox import fanout
from tms_webhooks.outbox.fanout import fan_out


def narrowed(webhook, event_type="enrollment.*", **values):
    subscription = Subscription(webhook=webhook, event_type=event_type, **values)
    subscription.full_clean()
    subscription.save()
    return subscription


@pytest.fixture
def enrollment():
    return ClassEnrollmentFactory()


@pytest.fixture
def webhook(enrollment):
    return WebhookFactory(organization=enrollment.training_class.organization)


def delivered(webhook):
    fan_out(timezone.now())
    return told_to(webhook)


@pytest.mark.parametrize(
    "filters, matches",
    [
        (lambda one: {"course": [one.training_class.course_id]}, True),
        (lambda one: {"course": [one.training_class.course_id + 1]}, False),
        (lambda one: {"status_from": ["Enroll"], "status_to": [10]}, True),
        (lambda one: {"actor_kind": ["user"]}, False),
    ],
)
def test_each_filter_decides(enrollment, webhook, filters, matches):
    narrowed(webhook, filters=filters(enrollment))

    enrollment.cancel()

    assert delivered(webhook) == (["enrollment.cancelled"] if matches else [])


def test_several_subscriptions_are_one_question_and_one_delivery(enrollment, webhook):
    for filters in ({"course": [0]}, {"status_to": [10]}, {"actor_kind": ["system"]}):
        narrowed(webhook, filters=filters)
    narrowed(webhook, "class.*", filters={"class": [0]})

    enrollment.cancel()

    assert delivered(webhook) == ["enrollment.cancelled"]
    assert Delivery.objects.count() == 1


def test_an_event_for_one_subscription_has_to_match_its_filters_and_no_others():
    webhook = subscribed(events=[])
    mine = narrowed(webhook, "course_assignment.expiring", filters={"course": [301]})
    other = narrowed(webhook, "course_assignment.expiring", filters={"course": [302]})
    for subscription in (mine, other):
        write_event(webhook.organization, "course_assignment.expiring", subscription=subscription)

    assert delivered(webhook) == ["course_assignment.expiring"]
    assert webhook.deliveries.get().event.subscription == mine


@pytest.mark.parametrize("body", ["not JSON", "[]", '{"data":[]}', '{"data":{"status":60}}', '{"changed":5}'])
def test_a_body_that_is_no_event_meets_no_filter_and_stops_no_other(webhook, body):
    narrowed(webhook, filters={"status_from": [20]})
    narrowed(webhook, filters={"status_to": [60]}, condition={"data.grade": {"gte": 5}})
    plain = subscribed(organization=webhook.organization)
    write_event(webhook.organization, "enrollment.enrolled", body=body)
    write_event(webhook.organization, "enrollment.enrolled")

    fan_out(timezone.now())

    assert len(told_to(plain)) == 2
    assert len(told_to(webhook)) == 1


@pytest.mark.parametrize(
    "broken",
    [
        {"filters": []},
        {"filters": {"planet": ["Mars"]}},
        {"filters": {"course": 7}},
        {"condition": {"data.no_such_field": 1}},
        {"condition": []},
        {"condition": "data.grade > 5"},
        {"filters": {"course": [301]}, "condition": {"data.status": 5}},
    ],
)
def test_an_invalid_filter_matches_nothing_and_does_not_stop_other_webhooks(webhook, broken, caplog):
    Subscription.objects.create(webhook=webhook, event_type="enrollment.*", **broken)
    plain = subscribed(organization=webhook.organization)
    write_event(webhook.organization, "enrollment.enrolled")

    with caplog.at_level(logging.ERROR, "tms_webhooks"):
        assert fan_out(timezone.now()) == 1

    assert (told_to(webhook), told_to(plain)) == ([], ["enrollment.enrolled"])


def test_a_type_that_the_catalogue_no_longer_has_meets_no_condition(webhook):
    Subscription.objects.create(webhook=webhook, event_type="*", condition={"actor.kind": "administrator"})
    write_event(webhook.organization, "room.painted", body=body_of("class.cancelled"))
    write_event(webhook.organization, "class.cancelled")

    assert delivered(webhook) == ["class.cancelled"]


def test_a_save_pays_nothing_for_filters(enrollment, webhook):
    def queries():
        enrollment.refresh_from_db()
        enrollment.grade = (enrollment.grade or 0) + 1
        with CaptureQueriesContext(connection) as captured:
            enrollment.save()
        return len(captured)

    WebhookFactory(organization=webhook.organization, events=["enrollment.*"])
    # MariaDB counts the first event of an object with one statement more.
    queries()
    before = queries()
    narrowed(webhook, filters={"course": [0]}, condition={"data.grade": {"gte": 50}})

    assert queries() == before


def test_a_batch_takes_few_queries_more_however_many_events_and_subscriptions_there_are(clock, monkeypatch):
    # However slow the machine is, the schema is looked at once.
    monkeypatch.setattr(fanout, "SCHEMA_CHECK_INTERVAL", 3600.0)
    monkeypatch.setattr(fanout, "_next_schema_check", {})
    organization = CourseAssignmentFactory().user.organization

    def queries(events):
        write_events(organization, events)
        with CaptureQueriesContext(connection) as captured:
            fan_out(clock.now)
        return len(captured)

    subscribed(organization=organization)
    queries(1)  # looks at the schema, too
    plain = queries(1)
    for course in range(20):
        narrowed(subscribed(organization=organization, events=[]), "class.*", filters={"course": [course, 301]})
    first, few = queries(1), queries(1)

    assert queries(50) == few
    # The candidates before and in the transaction, their subscriptions, their bodies, and their deliveries. Without filters,
    # PostgreSQL numbers and delivers events by one statement, which needs no BEGIN and COMMIT.
    assert few - plain == (8 if connection.vendor == "postgresql" else 5)
    # PostgreSQL reads the rules of new subscriptions by themselves.
    assert first - few == (connection.vendor == "postgresql")
    assert Delivery.objects.count() == 2 + 21 + 21 + 21 * 50
