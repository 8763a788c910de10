"""Replay what was missed: what was skipped, and what a webhook asks for today and never got."""

from example_project.training.factories import OrganizationFactory
from tests.integration.delivery.jobs import DAY, EVERYTHING, HOUR, count
from tests.integration.delivery.rows import OCCURRED_AT, subscribed, write, write_event
from tms_webhooks.choices import JobKind, Priority
from tms_webhooks.delivery import replay
from tms_webhooks.models import Event
from tms_webhooks.outbox.fanout import fan_out


def test_skipped_deliveries_are_sent_and_no_others(do, finished, run, wire):
    webhook = subscribed()
    wanted = finished(webhook, "skipped", 2) + finished(webhook, "skipped", attempts=2, charged=2)
    for status in ("delivered", "exhausted", "failed", "cancelled"):
        finished(webhook, status)
    finished(subscribed("/other", organization=webhook.organization, events=["user.*"]), "skipped")
    assert count(JobKind.REPLAY_MISSED, webhook) == 3

    job = do(JobKind.REPLAY_MISSED, webhook)
    run()

    assert (job.total, job.done, job.status) == (3, 3, "finished")
    assert {request.headers["tms-delivery-id"] for request in wire.requests} == {one.public_id for one in wanted}
    assert len(wire.requests) == len(wanted)


def test_a_new_webhook_gets_events_from_before_it_was_created(do, run, wire, clock):
    organization = OrganizationFactory()
    events = [
        write_event(organization),
        write_event(organization, "class.completed"),
        write_event(organization, "user.updated"),
    ]
    write_event(OrganizationFactory())
    fan_out(clock.now)
    webhook = subscribed(organization=organization, events=["class.*"])
    write(webhook, created_at=OCCURRED_AT + HOUR)
    webhook.refresh_from_db()
    # Not without being asked: it may be much.
    assert count(JobKind.REPLAY_MISSED, webhook) == 0
    assert count(JobKind.REPLAY_MISSED, webhook, **EVERYTHING) == 2

    job = do(JobKind.REPLAY_MISSED, webhook, **EVERYTHING)
    run()

    assert (job.total, job.done) == (2, 2)
    assert {request.headers["webhook-id"] for request in wire.requests} == {event.public_id for event in events[:2]}
    delivery = webhook.deliveries.first()
    assert (delivery.priority, delivery.created_at, delivery.status) == (
        Priority.REPLAY,
        clock.now,
        "delivered",
    )


def test_a_changed_subscription_gets_events_that_did_not_match_before(do, run, wire, clock):
    webhook = subscribed(events=["user.*"])
    write(webhook, created_at=OCCURRED_AT - DAY)
    webhook.refresh_from_db()
    event = write_event(webhook.organization)
    run()
    assert count(JobKind.REPLAY_MISSED, webhook) == 0
    webhook.subscriptions.create(event_type="class.cancelled")

    assert count(JobKind.REPLAY_MISSED, webhook) == 1
    do(JobKind.REPLAY_MISSED, webhook)
    run()

    assert [request.headers["webhook-id"] for request in wire.requests] == [event.public_id]


def test_events_for_another_subscription_or_about_the_webhook_were_not_missed(clock):
    webhook, other = subscribed(), subscribed()
    other.organization = webhook.organization
    other.save()
    webhook.subscriptions.create(event_type="webhook.*")
    write_event(webhook.organization, subscription=other.subscriptions.get())
    about_itself = write_event(webhook.organization, "webhook.recovered")
    write(about_itself, subject_type="webhook", subject_id=webhook.public_id)
    about_another = write_event(webhook.organization, "webhook.recovered")
    Event.objects.update(fanned_out_at=clock.now)

    missed = replay.affected(JobKind.REPLAY_MISSED, webhook, **EVERYTHING, until=None)

    assert list(missed) == [about_another]


def test_events_without_a_fan_out_were_not_missed(do, clock, run, wire):
    webhook = subscribed(happened=1)

    assert do(JobKind.REPLAY_MISSED, webhook, **EVERYTHING).total == 0
    run()

    assert len(wire.requests) == 1


def test_for_an_ordered_webhook_new_deliveries_have_their_place_in_the_order(do, clock):
    organization = OrganizationFactory()
    event = write_event(organization)
    fan_out(clock.now)
    webhook = subscribed(organization=organization, ordered=True)

    do(JobKind.REPLAY_MISSED, webhook, **EVERYTHING)

    assert webhook.deliveries.get().order_key == event.subject_key
