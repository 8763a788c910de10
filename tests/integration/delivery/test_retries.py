"""When a delivery that failed is tried again, and when it is given up: `tests/unit/delivery` has all the facts of the decision."""

from datetime import timedelta
from email.utils import format_datetime

import pytest

from tests.integration.delivery.rows import subscribed, write_event
from tests.integration.delivery.wire import Wire, answer, broken
from tests.receiver import Answer

STANDARD = [5, 60, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400]
SCHEDULE, PENALTY, RETRY_AFTER = "schedule", "timeout_penalty", "retry_after"


@pytest.fixture
def to_the_end(clock, run):
    """Fail, moving the clock to each next attempt, until the delivery is finished; return the moments of the attempts."""

    def to_the_end(what=None, **fields):
        webhook = subscribed(**fields, happened=1)
        moments, started_at = [], clock.now

        def fail(request):
            moments.append((clock.now - started_at).total_seconds())
            return what or answer(500)

        while True:
            run(wire=Wire(otherwise=fail))
            delivery = webhook.deliveries.get()
            if delivery.due_at is None:
                return delivery, moments
            clock.now = delivery.due_at

    return to_the_end


def deferring(value, status=429):
    return answer(status, {"retry-after": value})


def in_ten_minutes(now):
    return deferring(format_datetime(now + timedelta(minutes=10), usegmt=True))


@pytest.mark.parametrize(
    "said, random, delay, charged, reason",
    [
        (answer(404), 0.0, 4.0, 1, SCHEDULE),
        (broken("timeout"), 0.5, 66.0, 1, PENALTY),
        (deferring("120", 503), 0.0, 120.0, 0, RETRY_AFTER),
        (in_ten_minutes, 0.0, 600.0, 0, RETRY_AFTER),
        (deferring("120", 500), 0.5, 5.0, 1, SCHEDULE),
    ],
)
def test_a_failure_is_tried_again_after_this_delay(run, clock, said, random, delay, charged, reason):
    webhook = subscribed(happened=1)

    run(wire=Wire(said(clock.now) if said is in_ten_minutes else said), random=random)

    delivery = webhook.deliveries.get()
    assert (delivery.status, delivery.attempts, delivery.charged) == ("waiting", 1, charged)
    assert (delivery.due_at - clock.now).total_seconds() == pytest.approx(delay, abs=1e-6)
    attempt = delivery.attempt_log.get()
    assert (attempt.number, attempt.charged, attempt.delay_reason) == (1, bool(charged), reason)
    assert attempt.next_delay == pytest.approx(delay, abs=1e-6)
    assert (delivery.error_class, attempt.status_code) == (
        (said.error_class, None) if isinstance(said, Exception) else ("http_status", attempt.status_code)
    )


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_a_failure_that_is_not_followed(receiver, drain, status):
    webhook = subscribed(url=receiver.url, max_retries=3, happened=1)
    receiver.respond = lambda request: Answer(status, {"location": "http://127.0.0.1:1/elsewhere"})

    drain()

    assert [request.path for request in receiver.received] == ["/hook"]
    delivery = webhook.deliveries.get()
    attempt = delivery.attempt_log.get()
    assert (delivery.status, attempt.status_code) == ("waiting", status)
    assert attempt.message.endswith("Location: http://127.0.0.1")
    assert attempt.response_body.startswith("Location: http://127.0.0.1:1/elsewhere")


@pytest.mark.parametrize(
    "fields, delays",
    [
        ({}, STANDARD),
        ({"max_retries": 2}, STANDARD[:2]),
        ({"schedule": "skillable", "max_retries": 10}, [1, 2, 3, 4, 5]),
        ({"schedule": [0, 20.5]}, [0, 20.5]),
    ],
)
def test_a_webhooks_schedule_and_its_most_retries_say_how_often(settings_of_app, to_the_end, clock, fields, delays):
    # A webhook that fails so often in so short a time is paused as well, which is not what this is about.
    settings_of_app(PAUSE_AFTER_FAILURES=1_000)

    delivery, moments = to_the_end(**fields)

    assert moments == [float(sum(delays[:number])) for number in range(len(delays) + 1)]
    assert (delivery.status, delivery.finished_at) == ("exhausted", clock.now)
    assert delivery.attempts == delivery.charged == len(moments)
    log = delivery.attempt_log.order_by("number").values_list("number", "next_delay", "delay_reason")
    assert list(log) == [
        (number, delay, reason)
        for number, (delay, reason) in enumerate([*((delay, "schedule") for delay in delays), (None, "")], start=1)
    ]


def test_the_schedule_of_the_settings_is_the_standard_one(settings_of_app, to_the_end):
    settings_of_app(RETRY_DELAYS_SECONDS=[7])

    assert to_the_end()[1] == [0.0, 7.0]


@pytest.mark.parametrize("schedule", ["bogus", [-1], {"delays": []}])
def test_a_stored_schedule_that_breaks_a_rule_stops_nobody(run, schedule):
    # As a fixture or a write past the form may leave it.
    bent = subscribed("/bent", schedule=schedule)
    sound = subscribed("/sound", organization=bent.organization)
    write_event(bent.organization)

    run(wire=Wire(otherwise=lambda request: answer(500 if "/bent" in request.url else 200)))

    assert sound.deliveries.get().status == "delivered"
    assert bent.deliveries.get().attempts == 1
