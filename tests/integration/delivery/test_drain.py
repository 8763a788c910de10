"""One run of the drain: how it ends, what it holds meanwhile, and what it leaves."""

import threading
import time
from datetime import timedelta

import pytest
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext

from example_project.training.factories import TrainingClassFactory
from tests.integration.delivery.fake_transport import in_seconds
from tests.integration.delivery.rows import distinct, stored, subscribed, write_event
from tests.integration.delivery.wire import Gate, Wire, answer
from tests.patience import PATIENCE, until
from tests.threads import close_connections
from tms_webhooks.models import DeliveryAttempt, DrainSlot, WebhookState
from tms_webhooks.net.transports.client import ThreadTransport
from tms_webhooks.outbox.fanout import fan_out
from tms_webhooks.outbox.wake import waker
from tms_webhooks.queues.wakeup import wake_local
from tms_webhooks.tasks import finish_in_thread
from tms_webhooks.worker import drain
from tms_webhooks.worker.drain import Drain


@pytest.fixture
def drain_with(clock, wire):
    """Make a drain; ``probe`` is called on its every turn, in its thread."""

    def drain_with(probe=lambda: None, *, wire=wire):
        def look(now):
            probe()
            return fan_out(now)

        return Drain(fan_out=look, clock=clock, transport=ThreadTransport(wire), random=lambda: 0.5)

    return drain_with


def test_a_drain_without_wake_ups_finds_events_that_come_while_it_runs(monkeypatch, drain_with, wire):
    for name in ("DRAIN_REST", "DRAIN_POLL", "DRAIN_SLEEP"):
        monkeypatch.setattr(f"tms_webhooks.worker.drain.{name}", 0.03)
    webhook = subscribed()
    stop, turns = threading.Event(), []

    def probe():
        turns.append(None)
        if len(turns) in (2, 4):
            write_event(webhook.organization)
        if len(turns) == 12:
            stop.set()

    drain_with(probe).run(seconds=PATIENCE, stop=stop)

    assert len(wire.requests) == 2
    assert distinct(webhook.deliveries, "status") == {"delivered"}


@pytest.mark.django_db(transaction=True)
def test_a_drain_at_rest_is_woken_by_a_commit(monkeypatch, clock, wire):
    for name in ("DRAIN_REST", "DRAIN_SLEEP"):
        monkeypatch.setattr(drain, name, 4 * PATIENCE)
    training_class = TrainingClassFactory()
    subscribed(organization=training_class.organization)
    stop, looks = threading.Event(), []

    def look(now):
        looks.append(None)
        if len(looks) == 1:
            # Not before the drain listens.
            threading.Timer(0.1, waker.wake).start()
        fanned = fan_out(now)
        if len(looks) == 2:
            training_class.cancel()
        return fanned

    def received(request):
        stop.set()
        return answer(200)

    wire.otherwise = received

    # The second look is the wake-up's doing, and so is the third, at which the event is found.
    Drain(fan_out=look, clock=clock, transport=ThreadTransport(wire)).run(seconds=PATIENCE, stop=stop)

    assert len(wire.requests) == 1
    assert len(looks) < 10


@pytest.mark.skipif(
    connection.vendor == "mysql", reason="no wake-up of another host reaches a drain on MariaDB, so it polls"
)
@pytest.mark.parametrize("others", [0, 3])
def test_an_idle_drain_makes_at_most_one_statement_a_second(simulate, clock, monkeypatch, others):
    monkeypatch.setattr("tms_webhooks.models.drain.SEEN_LATELY", timedelta(hours=1))
    for number in range(1, others + 2):
        DrainSlot.objects.take(number, owner=str(number), now=clock.now, until=clock.now + timedelta(hours=1))
        DrainSlot.objects.see(number, now=clock.now)
    subscribed()

    with CaptureQueriesContext(connection) as statements:
        simulate().run(seconds=100, renew_slot=lambda _now: 1)

    assert len(statements) <= 100


@pytest.fixture
def written(monkeypatch):
    """The sizes of the writes of a drain."""
    written, write = [], Drain._write_some

    def noted(drain, limit):
        found = write(drain, limit)
        written.append(found)
        return found

    monkeypatch.setattr(Drain, "_write_some", noted)
    return written


def test_results_that_come_soon_after_each_other_are_written_together(simulate, written):
    for number in range(20):
        subscribed(f"/{number}", happened=1)
    simulation = simulate(lambda request: (0.1 + 0.001 * int(request.url.rpartition("/")[2]), answer()))

    simulation.run()

    assert written == [20]


def test_no_result_waits_for_long_however_many_more_come(simulate, written):
    for number in range(40):
        subscribed(f"/{number}", happened=1)
    # One each 0.0019 s, for 0.076 s.
    simulation = simulate(lambda request: (0.1 + 0.0019 * int(request.url.rpartition("/")[2]), answer()))

    simulation.run()

    assert len(written) == 2
    assert written[0] == pytest.approx(drain.RESULTS_LATEST / 0.0019, abs=2)


def test_a_failure_is_written_at_once_and_before_the_successes_of_others(simulate, written):
    """Its webhook gets no more before."""
    for number in range(10):
        subscribed(f"/{number}", happened=1)
    simulation = simulate(
        lambda request: (
            0.1 + 0.001 * int(request.url.rpartition("/")[2]),
            answer(500 if request.url.endswith("/5") else 200),
        )
    )

    tally = simulation.run()

    assert (tally.sent, tally.delivered) == (10, 9)
    assert written[0] == 1


def test_a_stopped_drain_finishes_requests_in_flight_and_returns_the_rest(drain_with, clock):
    webhook = subscribed(max_in_flight=1, happened=30)
    stop, gate, closed = threading.Event(), Gate(), []
    # A quick receiver first, so that the drain has reason to look ahead.
    wire = Wire(*[answer() for _ in range(9)], otherwise=gate)

    def probe():
        if gate.waiting:
            stop.set()

    def closing():
        closed.append(DeliveryAttempt.objects.count())
        gate.open()

    drain_with(probe, wire=wire).run(stop=stop, after_last_start=closing)

    assert len(closed) == 1
    assert closed[0] < 10
    assert len(wire.requests) == 10
    assert webhook.deliveries.filter(status="delivered").count() == 10
    rest = webhook.deliveries.exclude(status="delivered")
    assert distinct(rest, "status", "attempts") == {("pending", 0)}
    assert distinct(rest, "due_at") == {clock.now}
    assert DeliveryAttempt.objects.count() == 10


def test_a_drain_that_breaks_leaves_nothing_held_and_no_thread_behind(drain_with, run, wire):
    webhook = subscribed(max_in_flight=1, happened=5)

    before = set(threading.enumerate())

    def probe():
        if wire.requests:
            raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        drain_with(probe).run(until_idle=True)

    assert not WebhookState.objects.exclude(lease="").exists()
    assert wire.closed
    until(lambda: set(threading.enumerate()) <= before)
    run()
    assert webhook.deliveries.filter(status="delivered").count() == 5


@pytest.mark.parametrize("options", [{"until_idle": True}, {"seconds": 2.0}], ids=["at work", "ending"])
def test_a_drain_renews_its_leases_as_long_as_a_request_is_in_flight(simulate, clock, options):
    webhook = subscribed(happened=1)
    simulation = simulate(in_seconds(20.0))
    left = []
    for second in range(1, 20):
        simulation.time.after(second, lambda: left.append(stored(webhook, "state__leased_until") - clock.now))

    simulation.drain().run(**options)

    assert len(left) == 19
    assert min(left) > timedelta(seconds=10)
    assert webhook.deliveries.get().status == "delivered"


def test_hundreds_of_wake_ups_do_not_keep_results_waiting(simulate):
    subscribed(max_in_flight=20, happened=40)
    simulation = simulate(in_seconds(0.01))
    for turn in range(20):
        simulation.time.after(0.001 * turn, lambda: [wake_local("default") for _ in range(100)])

    assert simulation.run(seconds=2.0).delivered == 40


def test_a_drain_passes_on_the_wait_for_the_last_answers(drain_with):
    webhook = subscribed(happened=1)
    gate, stop, finishes = Gate(), threading.Event(), []
    drain = drain_with(lambda: gate.waiting and stop.set(), wire=Wire(otherwise=gate))

    drain.run(stop=stop, run_finish=finishes.append)

    assert webhook.deliveries.get().status == "pending"
    gate.open()
    (finish,) = finishes
    finish()
    assert webhook.deliveries.get().status == "delivered"
    assert drain.tally.delivered == 1


def test_finishing_in_a_thread_blocks_only_the_end_of_the_process():
    answered, finished = threading.Event(), threading.Event()

    def finish():
        answered.wait(2 * PATIENCE)
        finished.set()

    began = time.monotonic()
    finish_in_thread(finish)

    assert time.monotonic() - began < PATIENCE
    assert not finished.is_set()
    (thread,) = [one for one in threading.enumerate() if one.name == "webhook-last-answers"]
    assert not thread.daemon
    answered.set()
    thread.join(PATIENCE)
    assert finished.is_set()


@pytest.mark.django_db(transaction=True)
def test_a_slow_request_is_not_inside_a_transaction_of_the_drain(run):
    subscribed(happened=3)
    drains_own, always = connections["default"], []

    def slow(request):
        samples = []
        for _ in range(50):
            samples.append(drains_own.in_atomic_block)
            time.sleep(0.004)
        always.append(all(samples))
        return answer()

    run(wire=Wire(otherwise=slow))

    assert always == [False] * 3


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor != "postgresql", reason="PostgreSQL tells since when transactions are open")
def test_no_transaction_of_the_server_lasts_as_long_as_a_request(run):
    subscribed(happened=3)
    others = []

    def slow(request):
        with connection.cursor() as cursor:
            cursor.execute("SELECT clock_timestamp()")
            (began,) = cursor.fetchone()
            time.sleep(0.3)
            cursor.execute(
                "SELECT pid, state, query FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start < %s"
                " AND backend_type = 'client backend'",
                [began],
            )
            others.extend(cursor.fetchall())
        # This thread's own; the drain's is another.
        close_connections()
        return answer()

    wire = Wire(otherwise=slow)
    run(wire=wire)

    assert len(wire.requests) == 3
    assert others == []
