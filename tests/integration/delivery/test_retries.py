"""When a delivery that failed is tried again, and when it is given up."""

from __future__ import annotations

from datetime import timedelta
from email.utils import format_datetime

import pytest

from tests.integration.delivery.rows import subscribed, write_event
from tests.integration.delivery.wire import Wire, answer, broken
from tests.receiver import Answer
from tms_webhooks import signals
from tms_webhooks.choices import DelayReason, DeliveryStatus, ErrorClass
from tms_webhooks.models import Delivery, Webhook

STANDARD = [5, 60, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400]
HOUR = 3_600.0


@pytest.fixture
def failed(clock, run):
    """Send one event to a webhook with these fields, over a wire that answers this; return its delivery."""

    def failed(*answers, random: float = 0.5, **fields) -> Delivery:
        webhook = subscribed(**fields)
        write_event(webhook.organization)
        run(wire=Wire(*answers), random=random)
        return webhook.deliveries.get()

    return failed


@pytest.fixture
def to_the_end(clock, run):
    """Fail, moving the clock to each next attempt, until the delivery is finished; return the moments of the attempts."""

    def to_the_end(what=None, **fields) -> tuple[Delivery, list[float]]:
        webhook = subscribed(**fields)
        write_event(webhook.organization)
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


def delay_of(delivery: Delivery, clock) -> float:
    return (delivery.due_at - clock.now).total_seconds()


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_any_2xx_is_delivered(failed, clock, status):
    delivery = failed(answer(status))

    assert (delivery.status, delivery.due_at, delivery.finished_at) == (DeliveryStatus.DELIVERED, None, clock.now)
    assert (delivery.attempts, delivery.charged, delivery.error_class) == (1, 1, "")
    assert delivery.attempt_log.get().status_code == status


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 408, 409, 422, 425, 429, 500, 501, 502, 503, 504, 599])
def test_4xx_and_5xx_are_tried_again_on_the_schedule(failed, clock, status):
    delivery = failed(answer(status))

    assert (delivery.status, delay_of(delivery, clock)) == (DeliveryStatus.WAITING, 5.0)
    assert (delivery.attempts, delivery.charged, delivery.error_class) == (1, 1, "http_status")
    assert delivery.finished_at is None


@pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308])
def test_a_redirect_is_a_failure_that_is_not_followed(receiver, drain, status):
    webhook = subscribed(max_retries=3)
    Webhook.objects.filter(pk=webhook.pk).update(url=receiver.url)
    write_event(webhook.organization)
    receiver.respond = lambda request: Answer(status, {"location": "http://127.0.0.1:1/elsewhere"})

    drain()

    assert [request.path for request in receiver.received] == ["/hook"]
    delivery = webhook.deliveries.get()
    assert delivery.status == DeliveryStatus.WAITING
    attempt = delivery.attempt_log.get()
    assert attempt.status_code == status
    assert attempt.message.endswith("Location: http://127.0.0.1")
    assert attempt.response_body.startswith("Location: http://127.0.0.1:1/elsewhere")


@pytest.mark.parametrize(
    "error_class",
    [
        ErrorClass.DNS_ERROR,
        ErrorClass.CONNECTION_REFUSED,
        ErrorClass.CONNECTION_RESET,
        ErrorClass.NETWORK_UNREACHABLE,
        ErrorClass.TLS_ERROR,
        ErrorClass.OTHER,
    ],
)
def test_what_the_network_does_is_tried_again_and_its_class_kept(failed, clock, error_class):
    delivery = failed(broken(error_class))

    assert (delivery.status, delay_of(delivery, clock)) == (DeliveryStatus.WAITING, 5.0)
    assert delivery.error_class == error_class
    attempt = delivery.attempt_log.get()
    assert (attempt.error_class, attempt.status_code) == (error_class, None)


@pytest.mark.parametrize(("random", "delay"), [(0.0, 4.0), (0.25, 4.5), (0.5, 5.0), (1.0, 6.0)])
def test_a_delay_is_varied_by_a_fifth_either_way(failed, clock, random, delay):
    delivery = failed(answer(500), random=random)

    assert delay_of(delivery, clock) == pytest.approx(delay, abs=1e-6)
    assert delivery.attempt_log.get().next_delay == pytest.approx(delay, abs=1e-6)


@pytest.mark.parametrize(("random", "delay"), [(0.0, 60.0), (0.5, 66.0), (1.0, 72.0)])
def test_after_a_timeout_a_receiver_has_at_least_a_minute(failed, clock, random, delay):
    delivery = failed(broken(ErrorClass.TIMEOUT), random=random)

    assert delay_of(delivery, clock) == pytest.approx(delay, abs=1e-6)
    assert (delivery.attempts, delivery.charged) == (1, 1)
    assert delivery.attempt_log.get().delay_reason == DelayReason.TIMEOUT_PENALTY


def test_the_standard_schedule_is_eleven_attempts_over_three_days_and_a_bit(to_the_end, clock):
    finished = []
    signals.delivery_finished.connect(lambda **kwargs: finished.append(kwargs["status"]), weak=False, dispatch_uid="t")
    try:
        delivery, moments = to_the_end()
    finally:
        signals.delivery_finished.disconnect(dispatch_uid="t")

    assert moments == [float(sum(STANDARD[:number])) for number in range(11)]
    assert moments[-1] / HOUR == pytest.approx(75.6, abs=0.05)
    assert (delivery.status, delivery.finished_at) == (DeliveryStatus.EXHAUSTED, clock.now)
    assert (delivery.attempts, delivery.charged) == (11, 11)
    log = delivery.attempt_log.order_by("started_at")
    assert list(log.values_list("number", flat=True)) == list(range(1, 12))
    assert list(log.values_list("next_delay", flat=True)) == [*map(float, STANDARD), None]
    assert list(log.values_list("delay_reason", flat=True)) == [*["schedule"] * 10, ""]
    assert finished == ["exhausted"]


@pytest.mark.parametrize(
    ("fields", "delays"),
    [
        ({"max_retries": 0}, []),
        ({"max_retries": 2}, STANDARD[:2]),
        ({"max_retries": 10}, STANDARD),
        ({"schedule": "standard"}, STANDARD),
        ({"schedule": "skillable"}, [1, 2, 3, 4, 5]),
        ({"schedule": "skillable", "max_retries": 10}, [1, 2, 3, 4, 5]),
        ({"schedule": "skillable", "max_retries": 3}, [1, 2, 3]),
        ({"schedule": "none"}, []),
        ({"schedule": []}, []),
        ({"schedule": [10, 20.5]}, [10, 20.5]),
        ({"schedule": [10, 20, 30], "max_retries": 1}, [10]),
        ({"schedule": [0, 0]}, [0, 0]),
        ({"schedule": list(range(1, 16))}, list(range(1, 16))),
    ],
)
def test_a_webhooks_schedule_and_its_most_retries_say_how_often(settings, to_the_end, fields, delays):
    # A webhook that fails so often in so short a time is paused as well, which is not what this is about.
    settings.TMS_WEBHOOKS = {**settings.TMS_WEBHOOKS, "PAUSE_AFTER_FAILURES": 1_000}

    delivery, moments = to_the_end(**fields)

    assert moments == [float(sum(delays[:number])) for number in range(len(delays) + 1)]
    assert (delivery.status, delivery.attempts) == (DeliveryStatus.EXHAUSTED, len(delays) + 1)


def test_the_schedule_of_the_settings_is_the_standard_one(settings, to_the_end):
    settings.TMS_WEBHOOKS = {**settings.TMS_WEBHOOKS, "RETRY_DELAYS_SECONDS": [7]}

    _, moments = to_the_end()

    assert moments == [0.0, 7.0]


@pytest.mark.parametrize("schedule", ["bogus", [-1], {"delays": []}, 7, ["5"], [1] * 16])
def test_a_stored_schedule_that_breaks_a_rule_stops_nobody(run, clock, schedule):
    # As a fixture or a write past the form may leave it.
    bent = subscribed("/bent", schedule=schedule)
    sound = subscribed("/sound", organization=bent.organization)
    write_event(bent.organization)
    wire = Wire(otherwise=lambda request: answer(500 if "/bent" in request.url else 200))

    run(wire=wire)

    assert sound.deliveries.get().status == DeliveryStatus.DELIVERED
    assert len(wire.to("/bent")) == 1
    assert bent.deliveries.get().attempts == 1


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_defers_without_charging_an_attempt(failed, clock, status):
    delivery = failed(answer(status, {"retry-after": "120"}), random=0.0)

    assert (delivery.status, delay_of(delivery, clock)) == (DeliveryStatus.WAITING, 120.0)
    assert (delivery.attempts, delivery.charged) == (1, 0)
    attempt = delivery.attempt_log.get()
    assert (attempt.charged, attempt.number, attempt.delay_reason) == (False, 1, DelayReason.RETRY_AFTER)


def test_retry_after_may_be_a_date(failed, clock):
    moment = clock.now + timedelta(minutes=10)

    delivery = failed(answer(429, {"retry-after": format_datetime(moment, usegmt=True)}), random=0.0)

    assert delay_of(delivery, clock) == 600.0


@pytest.mark.parametrize(("asked", "delay"), [("0", 5.0), ("3", 5.0), ("999999", 86_400.0)])
def test_retry_after_is_never_earlier_than_the_schedule_and_never_later_than_a_day(failed, clock, asked, delay):
    delivery = failed(answer(429, {"retry-after": asked}), random=0.0)

    assert delay_of(delivery, clock) == delay
    assert delivery.charged == 0


@pytest.mark.parametrize("header", [{}, {"retry-after": "soon"}, {"retry-after": "-5"}])
def test_without_a_retry_after_that_can_be_read_the_attempt_is_charged(failed, clock, header):
    delivery = failed(answer(429, header))

    assert (delay_of(delivery, clock), delivery.charged) == (5.0, 1)


@pytest.mark.parametrize("status", [500, 404, 302])
def test_retry_after_counts_with_429_and_503_alone(failed, clock, status):
    delivery = failed(answer(status, {"retry-after": "120"}))

    assert (delay_of(delivery, clock), delivery.charged) == (5.0, 1)


def test_deferrals_leave_the_whole_schedule_for_failures(failed, run, clock):
    delivery = failed(answer(429, {"retry-after": "60"}), max_retries=1)
    wire = Wire(answer(503, {"retry-after": "60"}), answer(500), answer(500))
    for _ in range(3):
        clock.now = Delivery.objects.get().due_at
        run(wire=wire)

    delivery.refresh_from_db()
    assert (delivery.status, delivery.attempts, delivery.charged) == (DeliveryStatus.EXHAUSTED, 4, 2)
    assert [request.headers["tms-attempt"] for request in wire.requests] == ["2", "3", "4"]


def test_a_receiver_that_defers_for_ever_is_given_up_after_a_week(to_the_end):
    delivery, moments = to_the_end(answer(429, {"retry-after": "43200"}))

    assert delivery.status == DeliveryStatus.EXHAUSTED
    assert delivery.charged <= 1
    assert 6 * 24 * HOUR < moments[-1] <= 7 * 24 * HOUR


def test_an_attempt_that_would_come_after_a_week_is_not_waited_for(to_the_end):
    week = 7 * 24 * HOUR

    delivery, moments = to_the_end(schedule=[week - 100, 100, 1])

    assert delivery.status == DeliveryStatus.EXHAUSTED
    assert moments == [0.0, week - 100, week]


def test_success_after_failures_finishes_the_delivery(run, clock):
    webhook = subscribed()
    write_event(webhook.organization)
    wire = Wire(answer(500), broken(ErrorClass.CONNECTION_REFUSED))
    for seconds in (0, 5, 60, 10_000):
        clock.advance(seconds=seconds)
        run(wire=wire)

    delivery = webhook.deliveries.get()
    assert (delivery.status, delivery.attempts, delivery.error_class) == (DeliveryStatus.DELIVERED, 3, "")
    assert len(wire.requests) == 3


def test_a_delivery_is_not_tried_before_it_is_due(run, clock):
    webhook = subscribed()
    write_event(webhook.organization)
    wire = Wire(answer(500))
    run(wire=wire)

    clock.advance(seconds=4.999)
    run(wire=wire)

    assert len(wire.requests) == 1


def test_one_webhooks_failure_is_nothing_to_another(run):
    failing = subscribed("/failing")
    sound = subscribed("/sound", organization=failing.organization)
    write_event(failing.organization)

    run(wire=Wire(otherwise=lambda request: answer(500 if "/failing" in request.url else 200)))

    assert failing.deliveries.get().status == DeliveryStatus.WAITING
    assert sound.deliveries.get().status == DeliveryStatus.DELIVERED
