"""The time of each part of an exchange is measured, also without an answer."""

from __future__ import annotations

import time

import pytest

from tests.integration.net.servers import Visit, answering, reply
from tests.patience import at_some_pace
from tms_webhooks.exceptions import DeliveryError
from tms_webhooks.net.timing import Marks, Timing


def thinks(visit: Visit) -> None:
    visit.read()
    time.sleep(0.17)
    visit.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n")
    time.sleep(0.3)
    visit.write(b"ok")


def never_answers(visit: Visit) -> None:
    visit.read()
    visit.hang()


def test_waiting_and_reading_are_measured_separately(serve, send):
    response = send(serve(thinks).url())
    timing = response.timing

    assert timing.wait is not None
    assert timing.read is not None
    assert timing.wait >= 0.15
    assert timing.read >= 0.09
    assert timing.wait + timing.read <= response.elapsed + 0.001


def test_the_parts_add_up_to_the_whole(serve, send):
    server = serve(thinks)

    def attempt(pace: float) -> None:
        response = send(server.url())
        timing = response.timing
        parts = [timing.dns, timing.connect, timing.wait, timing.read]
        assert timing.tls is None
        assert sum(part for part in parts if part is not None) == pytest.approx(response.elapsed, abs=0.02 * pace)

    at_some_pace(attempt)


def test_a_kept_connection_needs_no_connecting(serve, send):
    server = serve(answering(reply()))

    first, second = send(server.url()).timing, send(server.url()).timing

    assert first.connect is not None
    assert (second.dns, second.connect, second.tls) == (None, None, None)
    assert second.wait is not None


def test_the_time_of_encryption_is_reported(serve, send, encrypted, trusting):
    server = serve(answering(reply()), tls=encrypted)

    timing = send(server.url(host="hooks.example.test"), by=trusting).timing

    assert timing.tls is not None
    assert timing.tls > 0.0


def test_a_timeout_is_reported_with_its_part(serve, send):
    with pytest.raises(DeliveryError) as caught:
        send(serve(never_answers).url(), deadline=1.0)

    timing = caught.value.timing
    assert timing.connect is not None
    assert timing.wait > 0.2
    assert timing.read is None


def test_a_refused_connection_ends_in_its_part(serve, send):
    server = serve(answering(reply()))
    server.close()

    with pytest.raises(DeliveryError) as caught:
        send(server.url())

    timing = caught.value.timing
    assert timing.dns is not None
    assert timing.connect is not None
    assert (timing.tls, timing.wait, timing.read) == (None, None, None)


def test_a_certificate_that_is_refused_ends_in_its_part(serve, send, encrypted, trusting):
    server = serve(answering(reply()), tls=encrypted)

    with pytest.raises(DeliveryError) as caught:
        send(server.url(host="other.example.test"), by=trusting)

    timing = caught.value.timing
    assert timing.connect is not None
    assert timing.tls is not None
    assert (timing.wait, timing.read) == (None, None)


@pytest.mark.parametrize(
    ("marks", "timing"),
    [
        ({}, Timing(dns=9.0)),
        ({"resolved": 1.0}, Timing(dns=1.0, connect=8.0)),
        ({"resolved": 1.0, "connected": 3.0}, Timing(dns=1.0, connect=2.0, tls=6.0)),
        ({"resolved": 1.0, "connected": 3.0, "ready": 4.0}, Timing(dns=1.0, connect=2.0, tls=1.0, wait=5.0)),
        ({"ready": 0.0, "answered": 7.0}, Timing(wait=7.0, read=2.0)),
    ],
)
def test_the_part_that_an_exchange_ended_in_counts_up_to_its_end(marks, timing):
    exchange = Marks(0.0, secure=True)
    for name, moment in marks.items():
        setattr(exchange, name, moment)

    assert exchange.timing(9.0) == timing


@pytest.mark.parametrize(
    ("timing", "text"),
    [
        (Timing(0.002, 0.0114, None, 0.118, 0.0), "2/11//118/0"),
        (Timing(wait=0.25, read=0.001), "///250/1"),
        (Timing(dns=3.0), "3000////"),
        (Timing(), ""),
    ],
)
def test_it_is_kept_in_whole_milliseconds(timing, text):
    assert timing.as_text() == text
    assert Timing.of_text(text).as_text() == text
