"""Transactions commit in another order than that in which their events got their keys; the feed skips none of them."""

import random
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection, transaction
from django.utils import timezone

from example_project.training.factories import OrganizationFactory
from tests.integration.delivery.rows import OCCURRED_AT
from tests.integration.feed.rows import keys, loop, page, write
from tests.patience import PATIENCE
from tests.threads import Beside, at_once, close_connections, several
from tms_webhooks.models import Event, FeedEnds
from tms_webhooks.outbox import feed
from tms_webhooks.outbox.fanout import fan_out

pytestmark = [pytest.mark.django_db(transaction=True), several]


class Transaction:
    """A transaction in a thread and a connection of its own, which ends when it is told to."""

    def __init__(self):
        self.is_open = True
        self._pool = ThreadPoolExecutor(max_workers=1)
        self._atomic = transaction.atomic()
        self._run(self._atomic.__enter__)

    def write(self, organization):
        """Write an event and return its key."""
        return self._run(lambda: write(organization)[0].pk)

    def do(self, call):
        self._run(call)

    def commit(self):
        self._run(lambda: self._atomic.__exit__(None, None, None))
        self.close()

    def roll_back(self):
        self._run(lambda: transaction.set_rollback(True))
        self.commit()

    def close(self):
        self.is_open = False
        self._run(close_connections)
        self._pool.shutdown()

    def _run(self, call):
        future = self._pool.submit(call)
        return future.result(20)


@pytest.fixture
def acme():
    return OrganizationFactory.create()


@pytest.fixture
def early(acme):
    """A transaction that begins first and commits last."""
    opened = Transaction()
    yield opened
    if opened.is_open:
        opened.roll_back()


def test_an_event_that_committed_late_comes_after_those_that_were_read_before(acme, early):
    late = early.write(acme)
    prompt = write(acme, 3)
    assert late < prompt[0].pk
    seen, cursor = loop(acme)
    assert seen == keys(prompt)

    early.commit()

    assert loop(acme, after=cursor)[0] == [late]
    assert loop(acme)[0] == [*keys(prompt), late]  # for whoever reads it from the beginning, too


def test_interleaved_transactions_are_read_in_the_order_in_which_they_were_published(acme):
    first, second, third = Transaction(), Transaction(), Transaction()
    a, b, c = first.write(acme), second.write(acme), third.write(acme)
    d, e = first.write(acme), second.write(acme)
    third.commit()
    seen, cursor = loop(acme)
    assert seen == [c]

    first.commit()
    second.roll_back()

    assert loop(acme, after=cursor)[0] == [a, d]
    assert {b, e}.isdisjoint(loop(acme)[0])


def test_a_transaction_that_never_ends_holds_back_nothing_but_its_own(acme, early):
    stuck = early.write(acme)
    written = [*write(acme, 2), *write(OrganizationFactory.create()), *write(acme, 2)]

    assert feed.publish(timezone.now()) == 5
    assert loop(acme)[0] == [event.pk for event in written if event.organization_id == acme.pk]
    early.roll_back()
    assert stuck not in loop(acme)[0]


def test_a_publisher_that_is_stuck_stops_neither_readers_nor_fan_out(acme, early):
    """A worker may be suspended at any point, and its connection stays open."""
    seen = write(acme)
    assert loop(acme)[0] == keys(seen)
    early.do(FeedEnds.objects.locked)
    new = write(acme)
    Event.objects.filter(pk=new[0].pk).update(fanned_out_at=None)

    assert fan_out(timezone.now()) == 1
    assert loop(acme)[0] == keys(seen)

    early.roll_back()
    assert loop(acme)[0] == keys([*seen, *new])


def test_a_feed_that_stands_still_is_told_of_by_the_sweep(acme, early, caplog):
    write(acme)
    feed.publish(timezone.now())
    early.do(FeedEnds.objects.locked)
    (event,) = write(acme)

    feed.keep_up(event.occurred_at + feed.LATE, seconds=PATIENCE)
    assert caplog.messages == []
    feed.keep_up(event.occurred_at + 2 * feed.LATE, seconds=PATIENCE)

    (message,) = caplog.messages
    assert message.startswith(f"The catch-up feed is stuck: event {event.public_id} of {OCCURRED_AT.isoformat()}")
    early.roll_back()
    caplog.clear()
    assert feed.keep_up(event.occurred_at + 2 * feed.LATE, seconds=PATIENCE) == 1
    assert caplog.messages == []


def test_an_event_that_a_stuck_fan_out_holds_lets_the_others_pass(acme, early):
    held, free = write(acme, 2)
    early.do(lambda: list(Event.objects.select_for_update().filter(pk=held.pk)))
    seen, cursor = loop(acme)
    assert seen == [free.pk]

    early.roll_back()

    assert loop(acme, after=cursor)[0] == [held.pk]


@pytest.fixture
def _repeatable_reads(monkeypatch):
    name = "SESSION CHARACTERISTICS AS TRANSACTION" if connection.vendor == "postgresql" else "SESSION TRANSACTION"
    with connection.cursor() as cursor:
        cursor.execute(f"SET {name} ISOLATION LEVEL REPEATABLE READ")
        if connection.vendor == "mysql":
            # Set by the one who connects.
            monkeypatch.setattr(connection, "isolation_level", "repeatable read")
        yield
        cursor.execute(f"SET {name} ISOLATION LEVEL READ COMMITTED")


@pytest.mark.usefixtures("_repeatable_reads")
def test_a_reader_in_a_transaction_with_an_old_snapshot_skips_nothing(acme):
    """A host may have ATOMIC_REQUESTS and REPEATABLE READ: what others publish meanwhile is not to be seen."""
    write(acme, 2)
    with transaction.atomic():
        assert Event.objects.count() == 2  # which takes the snapshot
        assert at_once(lambda: [write(acme, 3), feed.publish(timezone.now())]) == []
        write(acme)
        found = page(acme)
        assert Event.objects.count() == 3

    seen = keys(found.events) + loop(acme, after=found.cursor)[0]
    assert seen == loop(acme)[0]
    assert len(seen) == 6


def test_writers_publishers_and_a_reader_at_once_lose_nothing_and_tell_nothing_twice(acme):
    writers, each = 4, 12
    done = threading.Event()
    seen = []

    def write_slowly(seed):
        dice = random.Random(seed)

        def run():
            for _ in range(each):
                with transaction.atomic():
                    write(acme)
                    threading.Event().wait(dice.random() * 0.02)

        return run

    def publish():
        while not done.is_set():
            feed.publish(timezone.now())

    def read_on():
        cursor, after = "", 0
        while not done.is_set() or after:
            more, cursor = loop(acme, after=cursor, limit=5)
            seen.extend(more)
            after = len(more)

    reader, publisher = Beside(read_on), Beside(publish)
    try:
        errors = at_once(*[write_slowly(seed) for seed in range(writers)])
    finally:
        done.set()
        publisher.finish()
        reader.finish()
    seen += loop(acme)[0][len(seen) :]

    assert errors == []
    assert len(seen) == writers * each
    assert seen == loop(acme)[0]
    assert sorted(seen) == list(Event.objects.order_by("pk").values_list("pk", flat=True))
