"""No receiver can hold a request longer than its deadline, whatever it does or leaves undone."""

from __future__ import annotations

import threading

import pytest

from tests.integration.net.conftest import times_out
from tests.integration.net.servers import Visit, answering, reply
from tests.patience import PATIENCE, at_some_pace
from tms_webhooks.exceptions import DeliveryError

DEADLINE = 0.25


def never_answers(visit: Visit) -> None:
    visit.read()
    visit.hang()


def drips_headers(visit: Visit) -> None:
    visit.read()
    visit.drip(b"HTTP/1.1 200 OK\r\nx-long: " + b"a" * 1000, every=0.03)


def drips_header_lines(visit: Visit) -> None:
    visit.read()
    visit.write(b"HTTP/1.1 200 OK\r\n")
    while not visit.server.over.wait(0.03):
        visit.write(b"x: y\r\n")


def drips_interim_answers(visit: Visit) -> None:
    visit.read()
    while not visit.server.over.wait(0.03):
        visit.write(b"HTTP/1.1 100 Continue\r\n\r\n")


def drips_body(visit: Visit) -> None:
    visit.read()
    visit.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
    visit.drip(b"a" * 1000, every=0.03)


def drips_chunks(visit: Visit) -> None:
    visit.read()
    visit.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    while not visit.server.over.wait(0.03):
        visit.write(b"1\r\na\r\n")


def drips_chunk_header(visit: Visit) -> None:
    visit.read()
    visit.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;")
    visit.drip(b"a" * 1000, every=0.03)


def drips_trailers(visit: Visit) -> None:
    visit.read()
    visit.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n")
    while not visit.server.over.wait(0.03):
        visit.write(b"x: y\r\n")


def drips_until_closed(visit: Visit) -> None:
    visit.read()
    visit.write(b"HTTP/1.1 200 OK\r\n\r\n")
    visit.drip(b"a" * 1000, every=0.03)


HANDLERS = [
    never_answers,
    drips_headers,
    drips_header_lines,
    drips_interim_answers,
    drips_body,
    drips_chunks,
    drips_chunk_header,
    drips_trailers,
    drips_until_closed,
]


@pytest.mark.parametrize("handler", HANDLERS, ids=lambda handler: handler.__name__)
def test_a_slow_answer_ends_at_the_deadline(serve, send, handler):
    server = serve(handler)

    with times_out(after=1.0):
        send(server.url(), deadline=1.0)

    assert len(server.requests) == 1
    assert server.accepted == 1


@pytest.mark.parametrize("handler", [never_answers, drips_headers, drips_body], ids=lambda handler: handler.__name__)
def test_a_slow_answer_ends_at_the_deadline_over_tls_too(serve, send, encrypted, trusting, handler):
    server = serve(handler, tls=encrypted)

    with times_out(after=DEADLINE):
        send(server.url(host="hooks.example.test"), deadline=DEADLINE, by=trusting)


def test_a_kept_connection_gets_a_new_deadline_with_each_request(serve, send):
    def attempt(pace: float) -> None:
        def handle(visit: Visit) -> None:
            while visit.read() is not None:
                visit.server.over.wait(0.3 * pace)
                visit.write(reply())

        server = serve(handle)
        try:
            answers = [send(server.url(), deadline=pace) for _ in range(4)]
        except DeliveryError as error:
            raise AssertionError("four requests share a deadline, or the machine is busy") from error
        assert [answer.status for answer in answers] == [200] * 4
        assert server.accepted == 1

    at_some_pace(attempt)


def test_a_connection_that_ran_into_the_deadline_is_not_used_again(serve, send):
    def handle(visit: Visit) -> None:
        while (received := visit.read()) is not None:
            if received.body == b"slow":
                timed_out.wait(PATIENCE)
            visit.write(reply(b"to " + received.body))

    timed_out = threading.Event()
    server = serve(handle)

    with times_out(after=0.2):
        send(server.url(), body=b"slow", deadline=0.2)
    timed_out.set()
    assert send(server.url(), body=b"fast").body == b"to fast"
    assert server.accepted == 2


@pytest.mark.parametrize("encrypt", [False, True], ids=["plain", "tls"])
def test_a_receiver_that_never_reads_ends_at_the_deadline(serve, send, encrypted, trusting, encrypt):
    server = serve(Visit.hang, tls=encrypted if encrypt else None, receive_buffer=4096)

    # More than the buffers of both ends hold, so that the write itself has to wait.
    with times_out(after=DEADLINE):
        send(server.url(host="hooks.example.test"), body=b"a" * 32_000_000, deadline=DEADLINE, by=trusting)

    assert server.requests == []


def test_a_large_body_gets_through_in_many_writes(serve, send):
    server = serve(answering(reply()), receive_buffer=4096)
    body = bytes(range(256)) * 4096

    assert send(server.url(), body=body).status == 200
    assert server.requests[0].body == body


def test_one_wait_for_data_is_bounded_by_the_read_timeout(serve, send, settings_of_app):
    server = serve(never_answers)
    settings_of_app(READ_TIMEOUT_SECONDS=0.2)

    with times_out(after=0.2):
        send(server.url(), deadline=2 * PATIENCE)
