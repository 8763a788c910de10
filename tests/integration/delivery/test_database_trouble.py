"""A database that refuses a step of the drain: the step is repeated, ever later, and no request is sent twice."""

import logging
from contextlib import ExitStack
from functools import partial
from itertools import pairwise

import pytest
from django.db import DataError, InterfaceError, OperationalError, connection

from tests.integration.delivery.fake_transport import by_path, in_seconds, quick
from tests.integration.delivery.rows import distinct, subscribed, write_delivery, write_event
from tests.integration.delivery.trouble import Trouble
from tests.integration.delivery.wire import answer
from tms_webhooks.models import Delivery, DeliveryAttempt, Event, WebhookState
from tms_webhooks.net.transports.client import ThreadTransport
from tms_webhooks.outbox.fanout import fan_out
from tms_webhooks.queues.wakeup import wake_local
from tms_webhooks.worker import drain
from tms_webhooks.worker.drain import Drain
from tms_webhooks.worker.leases import Leases

pytestmark = pytest.mark.django_db(transaction=True)

ATTEMPTS = DeliveryAttempt._meta.db_table
DELIVERIES = Delivery._meta.db_table
EVENTS = Event._meta.db_table
STATES = WebhookState._meta.db_table


REFUSED, WORKS_AGAIN = "The database refuses to work", "The database works again."


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch, request):
    if "simulate" not in request.fixturenames:
        monkeypatch.setattr(drain, "FIRST_PAUSE", 0.001)
        monkeypatch.setattr(drain, "LONGEST_PAUSE", 0.001)


def lines(caplog):
    """What the drain itself logged."""
    return [record.message for record in caplog.records if record.name == drain.__name__]


@pytest.mark.parametrize("error", [OperationalError, InterfaceError])
@pytest.mark.parametrize("times, status", [(1, 200), (5, 200), (2, 500)])
def test_a_result_that_cant_be_written_is_written_again_and_the_request_not_sent_again(
    run, wire, caplog, times, status, error
):
    webhook = subscribed(happened=2)
    wire.otherwise = answer(status)
    trouble = Trouble("INSERT", ATTEMPTS, times=times, error=error)

    with connection.execute_wrapper(trouble):
        tally = run()

    assert trouble.refused == times
    assert (len(wire.requests), tally.sent) == (2, 2)
    assert distinct(webhook.deliveries, "status", "attempts", "charged") == {
        ("delivered" if status == 200 else "waiting", 1, 1)
    }
    assert list(DeliveryAttempt.objects.values_list("number", "status_code")) == [(1, status)] * 2
    assert REFUSED in caplog.text


def postgresql(code):
    """Make an error with this code of PostgreSQL, as Django wraps it."""

    def error(text):
        made, cause = OperationalError(text), Exception(text)
        cause.sqlstate = code
        made.__cause__ = cause
        return made

    return error


@pytest.mark.parametrize(
    "error",
    [
        *(pytest.param(partial(OperationalError, code), id=str(code)) for code in (1213, 1205, 1020)),
        *(pytest.param(postgresql(code), id=code) for code in ("40P01", "40001", "55P03")),
    ],
)
@pytest.mark.parametrize("verb, table", [("INSERT", ATTEMPTS), ("UPDATE", DELIVERIES)])
def test_after_a_deadlock_or_a_lock_timeout_a_step_is_repeated_quietly(run, wire, caplog, verb, table, error):
    caplog.set_level(logging.DEBUG, logger=drain.__name__)
    subscribed(happened=1)
    trouble = Trouble(verb, table, times=2, error=error)

    with connection.execute_wrapper(trouble):
        tally = run()

    assert (trouble.refused, len(wire.requests), tally.delivered) == (2, 1, 1)
    said = [record for record in caplog.records if record.name == drain.__name__]
    assert [(record.levelno, record.exc_info) for record in said] == [(logging.DEBUG, None)] * 2


def test_a_failure_after_a_conflict_is_logged(run, caplog):
    subscribed(happened=1)
    conflict = Trouble("INSERT", ATTEMPTS, times=1, error=partial(OperationalError, 1213))

    with connection.execute_wrapper(Trouble("INSERT", ATTEMPTS, times=1)), connection.execute_wrapper(conflict):
        run()

    assert [line[: len(REFUSED)] for line in lines(caplog)] == [REFUSED, WORKS_AGAIN[: len(REFUSED)]]


@pytest.mark.parametrize(
    "verb, table", [("SELECT", DELIVERIES), ("UPDATE", DELIVERIES), ("SELECT", EVENTS), ("UPDATE", EVENTS)]
)
def test_a_drain_that_cant_poll_polls_again(run, wire, verb, table):
    webhook = subscribed(happened=1)
    trouble = Trouble(verb, table, times=2)

    with connection.execute_wrapper(trouble):
        tally = run()

    assert trouble.refused == 2
    assert tally.delivered == 1
    assert [request.headers["tms-attempt"] for request in wire.requests] == ["1"]
    assert webhook.deliveries.get().status == "delivered"


def test_leases_that_cant_be_released_expire(wire, clock, caplog):
    subscribed(happened=1)
    trouble = Trouble("UPDATE", STATES, times=0)

    def closing():
        trouble.left = 100

    with connection.execute_wrapper(trouble):
        tally = Drain(fan_out=fan_out, clock=clock, transport=ThreadTransport(wire)).run(
            until_idle=True, after_last_start=closing
        )

    assert trouble.refused > 0
    assert tally.delivered == 1
    assert REFUSED in caplog.text


@pytest.fixture
def outage():
    """Let the database be away from second ``begin`` of a simulation to second ``end``; return when it was asked."""
    with ExitStack() as stack:

        def outage(simulation, begin, end):
            asked_at, started_at = [], simulation.time()

            def refuse(execute, *arguments):
                if not begin <= simulation.time() - started_at < end:
                    return execute(*arguments)
                asked_at.append(simulation.time())
                raise OperationalError("the connection was lost")

            stack.enter_context(connection.execute_wrapper(refuse))
            return asked_at

        yield outage


def test_a_database_that_is_away_is_asked_ever_less_often_and_each_outage_is_two_lines_in_the_log(
    simulate, outage, caplog
):
    simulation = simulate()
    outage(simulation, 1.0, 30.0)
    asked_at = outage(simulation, 50.0, 170.0)

    simulation.run(seconds=180.0)

    assert [line[: len(REFUSED)] for line in lines(caplog)] == [REFUSED, WORKS_AGAIN[: len(REFUSED)]] * 2

    pauses = [later - earlier for earlier, later in pairwise(asked_at)]
    # At least every ten seconds.
    assert pauses == pytest.approx([0.2, 0.4, 0.8, 1.6, 3.2, 6.4, *[10.0] * (len(pauses) - 6)], abs=0.01)
    assert 15 < len(pauses) < 20


def test_what_was_sent_before_an_outage_is_kept_for_ten_minutes_and_written_and_nothing_is_lost_or_doubled(
    simulate, outage, monkeypatch
):
    subscribed("/slow", max_in_flight=8, happened=12)
    subscribed("/quick", happened=40)
    simulation = simulate(lambda request: in_seconds(2.0)(request) if "/slow" in request.url else quick(request))
    asked_at = outage(simulation, 1.0, 600.0)
    done, renew, write = [], Leases.renew, Drain._write_some

    def renewed(leases):
        found = renew(leases)
        done.append("renewed")
        return found

    def written(drain, limit):
        found = write(drain, limit)
        done.append("written")
        return found

    simulation.time.after(1.5, done.clear)
    monkeypatch.setattr(Leases, "renew", renewed)
    monkeypatch.setattr(Drain, "_write_some", written)
    tally = simulation.run(seconds=650.0)

    assert asked_at
    assert done[0] == "renewed"
    assert "written" in done
    assert (len(simulation.transport.started), tally.delivered) == (52, 52)
    assert distinct(Delivery, "status", "attempts") == {("delivered", 1)}
    assert distinct(DeliveryAttempt, "number", "status_code") == {(1, 200)}
    assert DeliveryAttempt.objects.count() == 52


def test_an_event_of_which_a_drain_was_told_goes_out_as_soon_as_the_database_is_back(simulate, monkeypatch):
    for name in ("DRAIN_REST", "DRAIN_SLEEP"):
        monkeypatch.setattr(f"tms_webhooks.worker.drain.{name}", 300.0)
    webhook = subscribed()
    simulation = simulate()
    trouble = Trouble("SELECT", EVENTS, times=0)

    def write():
        write_event(webhook.organization)
        trouble.left = 1
        wake_local("default")

    simulation.time.after(5.0, write)
    with connection.execute_wrapper(trouble):
        simulation.run(seconds=10.0)

    assert trouble.refused == 1
    assert simulation.transport.to("/hook") == [pytest.approx(1_005.2, abs=0.05)]


def test_answers_of_a_drain_that_ends_are_kept_while_the_database_is_away(simulate, outage):
    subscribed(happened=2)
    simulation = simulate(in_seconds(5.0))
    outage(simulation, 3.0, 60.0)

    tally = simulation.drain().run(seconds=2.0)

    assert tally.delivered == 2
    assert distinct(Delivery, "status") == {"delivered"}


def test_more_attempts_than_a_small_number_holds_can_be_written(alice, wire, clock):
    # A receiver that says "429, Retry-After: 1" for two days gets here.
    webhook = subscribed()
    for attempts in (32_767, 65_535):
        write_delivery(webhook, now=clock.now, status="waiting", attempts=min(attempts, _most()))
    wire.otherwise = answer(429, {"retry-after": "1"})

    assert len(alice.work()) == 2

    assert not WebhookState.objects.exclude(lease="").exists()
    assert DeliveryAttempt.objects.count() == 2


def _most():
    limits = connection.ops.integer_field_range(Delivery._meta.get_field("attempts").get_internal_type())
    return limits[1] or 65_535


def test_a_read_that_the_database_refuses_leaves_alone_what_is_in_flight(simulate):
    subscribed("/slow", happened=1)
    other = subscribed("/other")
    simulation = simulate(by_path({"/slow": in_seconds(2.0)}))
    trouble = Trouble("SELECT", DELIVERIES, times=0)

    def write():
        write_event(other.organization)
        trouble.left = 1
        wake_local("default")

    simulation.time.after(1.0, write)
    with connection.execute_wrapper(trouble):
        simulation.run()

    assert (trouble.refused, len(simulation.transport.started)) == (1, 2)
    assert distinct(Delivery, "status", "attempts") == {("delivered", 1)}


# A result that the database will never take must not keep the others from being written

POISON = "what no database takes"
NOT_KEPT = "not kept: the database refused it"


@pytest.mark.parametrize(
    "texts, written",
    # Its outcome is kept without the texts; what is refused even so is free again, for another worker or another day.
    [((POISON,), [("HTTP 200 OK", "")] * 4 + [(NOT_KEPT, "")]), ((POISON, NOT_KEPT), [("HTTP 200 OK", "")] * 4)],
)
def test_a_result_that_is_always_refused_stops_no_other_and_nothing_is_sent_again(run, wire, caplog, texts, written):
    webhook = subscribed(max_in_flight=1, happened=5)
    wire.answers = [200, 200, answer(200, body=POISON.encode())]

    with ExitStack() as stack:
        for text in texts:
            trouble = Trouble("INSERT", ATTEMPTS, times=1_000, only=text, error=DataError)
            stack.enter_context(connection.execute_wrapper(trouble))
        tally = run()

    assert len(wire.requests) == 5
    assert tally.sent == 5
    rows = webhook.deliveries.values_list("status", "attempts")
    delivered = len(written)
    assert sorted(rows) == [("delivered", 1)] * delivered + [("pending", 0)] * (5 - delivered)
    assert sorted(DeliveryAttempt.objects.values_list("message", "response_body")) == written
    assert "The database refused" in caplog.text
    assert POISON not in caplog.text
