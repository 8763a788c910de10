"""The time of each part of an exchange is measured, also without an answer."""

import time

import pytest

from tests.integration.net.servers import answering, never_answers, reply
from tests.patience import at_some_pace
from tms_webhooks.exceptions import DeliveryError
from tms_webhooks.net.timing import Marks, Timing


def thinks(visit):
    visit.read()
    time.sleep(0.17)
    visit.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n")
    time.sleep(0.3)
    visit.write(b"ok")


def test_waiting_and_reading_are_measured_separately(serve, send):
    begun_at = time.monotonic()
    timing = send(serve(thinks).url()).timing

    assert timing.wait is not None
    assert timing.read is not None
    assert timing.wait >= 0.15
    assert timing.read >= 0.09
    assert timing.wait + timing.read <= time.monotonic() - begun_at


def test_the_parts_add_up_to_the_whole(serve, send):
    server = serve(thinks)

    def attempt(pace):
        begun_at = time.monotonic()
        timing = send(server.url()).timing
        seconds = time.monotonic() - begun_at
        parts = [timing.dns, timing.connect, timing.wait, timing.read]
        assert timing.tls is None
        assert sum(part for part in parts if part is not None) == pytest.approx(seconds, abs=0.02 * pace)

    at_some_pace(attempt)


def test_a_kept_connection_needs_no_connecting(serve, send):
    server = serve()

    first, second = send(server.url()).timing, send(server.url()).timing

    assert first.connect is not None
    assert (second.dns, second.connect, second.tls) == (None, None, None)
    assert second.wait is not None


@pytest.mark.parametrize(
    "host, handler, encrypt, parts",
    [
        ("hooks.example.test", answering(reply()), True, {"dns", "connect", "tls", "wait", "read"}),
        ("hooks.example.test", never_answers, False, {"dns", "connect", "wait"}),
        ("other.example.test", never_answers, True, {"dns", "connect", "tls"}),
        ("hooks.example.test", None, False, {"dns", "connect"}),
    ],
    ids=["answered", "timeout", "refused certificate", "refused connection"],
)
def test_an_exchange_ends_in_its_part(serve, send, encrypted, trusting, host, handler, encrypt, parts):
    server = serve(handler or never_answers, tls=encrypted if encrypt else None)
    if handler is None:
        server.close()

    try:
        timing = send(server.url(host=host), deadline=1.0, by=trusting).timing
    except DeliveryError as error:
        timing = error.timing

    assert {name for name, seconds in timing._asdict().items() if seconds is not None} == parts


@pytest.mark.parametrize(
    "marks, timing",
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
    "timing, text",
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
