"""No receiver can hold a request longer than its deadline, whatever it does or leaves undone."""

import threading
from functools import partial

import pytest

from tests.integration.net.conftest import times_out
from tests.integration.net.servers import CHUNKED, OK, Visit, endlessly, never_answers, reply
from tests.patience import PATIENCE, at_some_pace
from tms_webhooks.exceptions import DeliveryError

DEADLINE = 0.25


dripping = partial(endlessly, every=0.03)
SLOW = {
    "nothing": never_answers,
    "a header": dripping(OK + b"x-long: ", b"a"),
    "header lines": dripping(OK, b"x: y\r\n"),
    "interim answers": dripping(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "a body": dripping(OK + b"content-length: 1000\r\n\r\n", b"a"),
    "chunks": dripping(CHUNKED, b"1\r\na\r\n"),
    "the head of a chunk": dripping(CHUNKED + b"1;", b"a"),
    "trailers": dripping(CHUNKED + b"1\r\na\r\n0\r\n", b"x: y\r\n"),
    "a body until it closes": dripping(OK + b"\r\n", b"a"),
}
"""Receivers by what they send byte by byte, or piece by piece."""


@pytest.mark.parametrize("sent", SLOW)
def test_a_slow_answer_ends_at_the_deadline(serve, send, sent):
    def attempt(pace):
        server = serve(SLOW[sent])
        with times_out(after=DEADLINE * pace):
            send(server.url(), deadline=DEADLINE * pace)
        assert (len(server.requests), server.accepted) == (1, 1)

    at_some_pace(attempt)


@pytest.mark.parametrize("sent", ["nothing", "a header", "a body"])
def test_a_slow_answer_ends_at_the_deadline_over_tls_too(serve, send, encrypted, trusting, sent):
    server = serve(SLOW[sent], tls=encrypted)

    with times_out(after=DEADLINE):
        send(server.url(host="hooks.example.test"), deadline=DEADLINE, by=trusting)


def test_a_kept_connection_gets_a_new_deadline_with_each_request(serve, send):
    def attempt(pace):
        def handle(visit):
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
    def handle(visit):
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
    server = serve(receive_buffer=4096)
    body = bytes(range(256)) * 4096

    assert send(server.url(), body=body).status == 200
    assert server.requests[0].body == body


def test_one_wait_for_data_is_bounded_by_the_read_timeout(serve, send, settings_of_app):
    server = serve(never_answers)
    settings_of_app(READ_TIMEOUT_SECONDS=0.2)

    with times_out(after=0.2):
        send(server.url(), deadline=2 * PATIENCE)
