"""An event whose fan-out fails: it is tried five times alone, then set aside until a user has it tried again."""

import logging
from contextlib import contextmanager
from datetime import timedelta
from unittest import mock

import pytest
from django.db import IntegrityError, OperationalError, connection

from example_project.training.factories import OrganizationFactory
from tests.integration.delivery.rows import OCCURRED_AT, distinct, new_event, stored, subscribed, write_event
from tests.integration.delivery.trouble import Trouble
from tms_webhooks.manage.deliveries import try_again
from tms_webhooks.models import Delivery, Event, EventSequence, FanOutFailure
from tms_webhooks.outbox import fanout, feed, prune
from tms_webhooks.outbox.fanout import fan_out
from tms_webhooks.outbox.fanout_sql import NewEvent
from tms_webhooks.routing.filtered import Evaluation

pytestmark = pytest.mark.django_db(transaction=True)

# The seconds after which the next try may begin.
PAUSES = [1, 2, 4, 8]
REFUSAL = f"IntegrityError: {'tms_webhooks_delivery, ' if connection.vendor == 'postgresql' else ''}tms_refused"
TRIGGERS = {
    "sqlite": "SELECT RAISE(ABORT, 'Jane Doe: tms_refused');",
    "mysql": "IF NEW.event_id = {pk} THEN SIGNAL SQLSTATE '23000' "
    "SET MYSQL_ERRNO = 1452, MESSAGE_TEXT = 'Jane Doe: tms_refused'; END IF;",
}


@contextmanager
def refused(event):
    """Have the database refuse each delivery of an event."""
    table, pk = Delivery._meta.db_table, event.pk
    create = f"ALTER TABLE {table} ADD CONSTRAINT tms_refused CHECK (event_id <> {pk})"
    drop = f"ALTER TABLE {table} DROP CONSTRAINT tms_refused"
    if connection.vendor != "postgresql":
        when = f"WHEN NEW.event_id = {pk}" if connection.vendor == "sqlite" else ""
        body = TRIGGERS[connection.vendor].format(pk=pk)
        each = "FOR EACH ROW" if connection.vendor == "mysql" else ""
        create = f"CREATE TRIGGER tms_refused BEFORE INSERT ON {table} {each} {when} BEGIN {body} END"
        drop = "DROP TRIGGER tms_refused"
    with connection.cursor() as cursor:
        cursor.execute(create)
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute(drop)


def write_of_object(organization, subject_id):
    """Write an event of an object, which gets its number from the fan-out."""
    event = new_event(organization)
    event.subject_id, event.sequence, event.body = str(subject_id), None, '{"sequence":null}'
    event.save()
    return event


def try_until_set_aside(clock, work):
    """Let a new drain work once for each try."""
    work()
    for seconds in PAUSES:
        clock.advance(seconds=seconds)
        work()


def test_an_event_that_is_refused_is_set_aside_after_five_tries_and_sent_after_the_repair(clock, run, wire):
    webhook = subscribed(ordered=True)
    before, poisoned, after, other = (write_of_object(webhook.organization, key) for key in (7, 8, 8, 9))

    with refused(poisoned):
        run()
        # The first try: all others of the batch have their deliveries. The later event of its object waits for its turn.
        assert distinct(Delivery, "event_id", "status") == {
            (before.pk, "delivered"),
            (other.pk, "delivered"),
            (after.pk, "pending"),
        }
        tries = [stored(FanOutFailure.objects.get(), "tries")]
        for seconds in PAUSES:
            clock.advance(seconds=seconds)
            # A new drain continues to count.
            run()
            tries.append(stored(FanOutFailure.objects.get(), "tries"))
        assert tries == [1, 2, 3, 4, 5]
        assert stored(poisoned, "fanned_out_at") == clock.now
        assert stored(FanOutFailure.objects.get(), "error") == REFUSAL
        # From now on, nothing waits for it.
        run()
        assert distinct(Delivery, "event_id", "status") == {(one.pk, "delivered") for one in (before, after, other)}
        assert fan_out(clock.now + timedelta(days=1)) == 0

    assert try_again(Event.objects.all()) == 1
    run()

    assert stored(poisoned, "sequence") == 1
    assert [request.body for request in wire.requests] == [
        b'{"sequence":1}',
        b'{"sequence":1}',
        b'{"sequence":2}',
        b'{"sequence":1}',
    ]
    assert distinct(Delivery, "status") == {"delivered"}
    assert not FanOutFailure.objects.exists()
    assert try_again(Event.objects.all()) == 0


def test_no_try_begins_before_its_time_and_two_drains_count_it_once(clock):
    event = write_event(subscribed().organization)
    key = NewEvent(event.pk, event.type, event.subject_id, event.organization_id, None)

    with refused(event):
        # Both drains have read it before one of them failed.
        fanout._fan_out_apart([key], clock.now, 0.0)
        fanout._fan_out_apart([key], clock.now, 0.0)
        assert stored(FanOutFailure.objects.get(), "tries", "retry_at") == (1, clock.now + timedelta(seconds=1))
        with mock.patch.object(fanout, "_write") as write:
            fan_out(clock.now + timedelta(seconds=0.9))

    assert write.call_args is None
    assert fan_out(clock.now + timedelta(seconds=1)) == 1
    assert Delivery.objects.get().event_id == event.pk


def test_an_event_of_a_busy_organization_that_is_refused_takes_no_place(clock):
    busy = subscribed().organization
    poisoned, *others = (write_event(busy) for _ in range(4))
    write_event(subscribed().organization)

    with refused(poisoned):
        for _ in range(4):
            fan_out(clock.now, limit=2)

    assert not Event.objects.to_fan_out().exclude(pk=poisoned.pk).exists()
    assert {one.pk for one in others} < distinct(Delivery, "event_id")
    assert stored(FanOutFailure.objects.get(), "tries") == 1


def test_many_refused_events_do_not_keep_the_drain_from_sending(clock, monkeypatch):
    webhook = subscribed(happened=4)
    monkeypatch.setattr(fanout, "APART_SECONDS", 0.0)

    with mock.patch.object(fanout, "_write", side_effect=IntegrityError):
        done = [fan_out(clock.now) for _ in range(5)]

    # One at a time, and each time the drain has more to do.
    assert done == [2, 1, 1, 0, 0]
    assert distinct(FanOutFailure, "tries") == {1}
    assert FanOutFailure.objects.count() == 4
    assert not webhook.deliveries.exists()


def test_an_outage_of_the_database_counts_as_no_try(clock):
    event = write_event(subscribed().organization)

    for _ in range(6):
        with (
            connection.execute_wrapper(Trouble("INSERT", "tms_webhooks_delivery", times=1)),
            pytest.raises(OperationalError),
        ):
            fan_out(clock.now)

    assert not FanOutFailure.objects.exists()
    assert fan_out(clock.now) == 1
    assert Delivery.objects.get().event_id == event.pk


def test_an_error_of_a_condition_is_counted_and_logged_without_its_values(clock, monkeypatch, caplog):
    webhook = subscribed()
    webhook.subscriptions.update(filters={"class_ids": ["9"]})
    event = write_event(webhook.organization)
    monkeypatch.setattr(Evaluation, "verdict", mock.Mock(side_effect=TypeError("Jane Doe")))

    with caplog.at_level(logging.ERROR, "tms_webhooks"):
        try_until_set_aside(clock, lambda: fan_out(clock.now))

    assert stored(FanOutFailure.objects.get(), "error") == "TypeError"
    texts = [record.getMessage() for record in caplog.records]
    assert [text.partition("\n")[0] for text in texts] == [
        f"Event {event.pk} can't be fanned out, try {number} of 5: TypeError" for number in (1, 2, 3, 4, 5)
    ]
    # The lines of the code, for who mends it.
    assert all("in match" in text for text in texts)
    assert "Jane Doe" not in caplog.text


class Killed(BaseException):
    """A worker that is killed."""


def test_a_drain_that_is_killed_at_any_statement_does_not_try_for_ever(clock):
    event = write_event(subscribed().organization)
    Event.objects.update(sequence=None)
    tries = []

    def killing(number):
        """Kill the worker before its statement of this number."""
        left = [number]

        def execute(run, *args):
            left[0] -= 1
            if left[0] == 0:
                raise Killed
            return run(*args)

        return execute

    with refused(event):
        for number in range(1, 200):
            try:
                with connection.execute_wrapper(killing(number)):
                    fan_out(clock.now)
            except Killed:
                # Where it counts, it counts once.
                tries.append(FanOutFailure.objects.values_list("tries", flat=True).first() or 0)
                continue
            clock.advance(minutes=1)
            if stored(event, "fanned_out_at"):
                break

    # A try that was not counted before the kill is done again, and no count is lost.
    assert tries == sorted(tries)
    assert set(tries) <= {0, 1, 2, 3, 4, 5}
    assert stored(FanOutFailure.objects.get(), "tries", "error") == (5, REFUSAL)


def test_the_feed_shows_an_event_that_is_set_aside_as_soon_as_it_has_its_number(clock):
    webhook = subscribed()
    event = write_of_object(webhook.organization, 8)

    with refused(event):
        try_until_set_aside(clock, lambda: fan_out(clock.now))

    organizations = type(webhook.organization).objects.filter(pk=webhook.organization_id)
    page = feed.read(organizations, now=clock.now)
    assert [one.pk for one in page.events] == [event.pk]
    assert page.events[0].body == '{"sequence":1}'
    # After the repair it is not shown again.
    try_again(Event.objects.all())
    fan_out(clock.now)
    assert feed.read(organizations, now=clock.now, after=page.cursor).events == []


def test_an_event_whose_number_is_refused_is_in_the_feed_after_the_repair(clock):
    organization = subscribed().organization
    organizations = type(organization).objects.filter(pk=organization.pk)
    first = write_of_object(organization, 8)
    fan_out(clock.now)
    # Its next event gets the number that the first one has.
    EventSequence.objects.all().delete()
    event = write_of_object(organization, 8)
    Event.objects.filter(pk=event.pk).update(occurred_at=OCCURRED_AT)
    # No reader fails, and a reader that is the first to publish publishes the others.
    other = write_of_object(organization, 9)
    fan_out(clock.now)
    page = feed.read(organizations, now=clock.now)
    assert [one.pk for one in page.events] == [first.pk, other.pk]

    clock.advance(seconds=1)
    try_until_set_aside(clock, lambda: fan_out(clock.now))
    assert feed.keep_up(clock.now, seconds=1.0) == 0
    assert stored(event, "position", "sequence") == (0, None)
    assert stored(FanOutFailure.objects.get(), "error") == f"IntegrityError: {OF_NUMBER[connection.vendor]}"

    EventSequence.objects.update_or_create(
        subject_type="class", subject_id="8", defaults={"last": stored(first, "sequence")}
    )
    try_again(Event.objects.filter(pk=event.pk))
    assert fan_out(clock.now) == 1
    page = feed.read(organizations, now=clock.now, after=page.cursor)
    assert [(one.pk, one.sequence) for one in page.events] == [(event.pk, 2)]
    assert Delivery.objects.filter(event=event).count() == 1


OF_NUMBER = {
    "sqlite": ", ".join(
        f"tms_webhooks_event.{name}"
        for name in (
            "subject_type",
            "subject_id",
            "sequence",
            "snapshot_job",
            "organization_id",
            "numbered_by_owner",
        )
    ),
    "postgresql": "tms_event_sequence_once",
    "mysql": "tms_event_sequence_once",
}


def test_the_count_is_deleted_with_its_event(clock):
    event = write_event(OrganizationFactory())
    FanOutFailure.objects.create(pk=event.pk, tries=5, retry_at=clock.now)
    Event.objects.update(fanned_out_at=clock.now)

    for _batch in prune.rules(clock.now + timedelta(days=4_000))["events"]:
        pass

    assert not Event.objects.exists()
    assert not FanOutFailure.objects.exists()
