"""When a worker suspects that it reaches no receiver, and when it reports that; pure, with the time as an argument."""

from datetime import timedelta

import pytest

from tests.unit.worker.requests import NOW, a_request
from tms_webhooks.choices import ErrorClass
from tms_webhooks.delivery import outcome
from tms_webhooks.delivery.outgoing import SendResult
from tms_webhooks.delivery.own_outage import OwnOutage
from tms_webhooks.exceptions import DeliveryError
from tms_webhooks.net.timing import Timing


def at(seconds):
    return NOW + timedelta(seconds=seconds)


def failed(number, error_class=ErrorClass.DNS_ERROR, *, seconds=0, timing=None):
    """Return the failure of an attempt for the organization and the host of this number."""
    request = a_request(number, organization=f"organization {number}")
    request = request._replace(url=f"https://{number}.example.com/")
    error = DeliveryError("failed", error_class=ErrorClass(error_class))
    return SendResult(request, at(seconds), 0.1, outcome.of_error(error), timing=timing or Timing())


def answered(status=200):
    return SendResult(a_request(), NOW, 0.1, outcome.of_response(status=status, headers={}, now=NOW), status=status)


@pytest.fixture
def outage():
    """What a worker knows after failures of three organizations, the last of them at 100 s."""
    outage = OwnOutage()
    for number in range(3):
        outage.note(failed(number, seconds=50 * number), at(50 * number))
    return outage


def test_failures_of_three_organizations_and_hosts_are_suspected_and_reported_after_two_minutes(outage):
    assert (outage.since(at(100)), outage.reported_since(at(100))) == (NOW, None)

    outage.note(failed(0, seconds=120), at(120))

    assert outage.reported_since(at(120)) == NOW


def test_time_without_an_attempt_does_not_count(outage):
    assert outage.reported_since(at(10_000)) is None


@pytest.mark.parametrize("status", [200, 404, 500])
def test_any_answer_ends_it(outage, status):
    outage.note(answered(status), at(110))

    assert outage.since(at(200)) is None


@pytest.mark.parametrize(
    "error_class, timing, ends",
    [
        (ErrorClass.CONNECTION_RESET, None, True),
        (ErrorClass.TLS_ERROR, None, True),
        (ErrorClass.TIMEOUT, Timing(dns=0.1, connect=0.1, tls=0.1, wait=15.0), True),
        (ErrorClass.TIMEOUT, Timing(dns=0.1, connect=3.0), False),
        (ErrorClass.CONNECTION_REFUSED, None, False),
        (ErrorClass.TOKEN_ERROR, None, False),
        (ErrorClass.BLOCKED_ADDRESS, None, False),
    ],
)
def test_a_host_that_was_reached_ends_it_without_an_answer(outage, error_class, timing, ends):
    outage.note(failed(7, error_class, timing=timing), at(110))

    assert (outage.since(at(200)) is None) is ends


def test_beside_receivers_that_answer_all_the_time_a_few_failures_are_not_suspected():
    outage = OwnOutage()
    outage.note(answered(), at(0))
    for number in range(5):
        outage.note(failed(number, seconds=0.5), at(0.5))

    assert (outage.since(at(0.9)), outage.since(at(1))) == (None, at(0.5))


def test_failures_before_an_answer_are_excused_and_others_are_not(outage):
    results = [failed(1), failed(1, ErrorClass.TOKEN_ERROR), failed(1, ErrorClass.TLS_ERROR), answered(500)]

    excused = outage.excused(results, at(100))

    assert [one.outcome.own_outage for one in excused] == [True, True, False, False]
    assert [one.outcome.counts_for_health for one in excused] == [False, False, True, True]
    proxy = failed(1, ErrorClass.PROXY_ERROR)
    assert outage.excused([proxy, *excused], at(100)) == [proxy, *excused]
    assert OwnOutage().excused(results, at(100)) == results


def test_an_outage_that_the_last_drain_reported_goes_on_without_further_failures():
    outage = OwnOutage()

    outage.resume(at(-600))

    assert outage.since(NOW) == outage.reported_since(NOW) == at(-600)
