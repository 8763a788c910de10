"""Answers that are made to hurt: each is an attempt with a class, within its deadline, and the memory stays as it is."""

from __future__ import annotations

import gzip
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.net.conftest import fails
from tests.integration.net.servers import Handler, Visit, once, reply
from tests.patience import PATIENCE
from tms_webhooks.choices import ErrorClass
from tms_webhooks.exceptions import DeliveryError
from tms_webhooks.net.transports.base import Response

MEGABYTE = 2**20
DEADLINE = 1.0


@contextmanager
def flat_memory() -> Iterator[None]:
    """Expect that the process does not grow by more than a few buffers."""
    before = resident_bytes()
    yield
    assert resident_bytes() - before < 12 * MEGABYTE


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


def endlessly(beginning: bytes, piece: bytes) -> Handler:
    """Make a handler that answers with the beginning, and then with the piece until the client has had enough."""

    def handle(visit: Visit) -> None:
        visit.read()
        visit.write(beginning)
        pieces = piece * (65_536 // len(piece))
        while not visit.server.over.is_set():
            visit.write(pieces)

    return handle


OK = b"HTTP/1.1 200 OK\r\n"
ENDLESS = {
    "100 Continue": endlessly(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "103 Early Hints": endlessly(b"", b"HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n"),
    "headers": endlessly(OK, b"x-a: b\r\n"),
    "one header": endlessly(OK + b"x-a: ", b"b"),
    "status line": endlessly(b"HTTP/1.1 200 ", b"OK"),
    "no HTTP": endlessly(b"", b"<html>"),
    "chunk extension": endlessly(OK + b"transfer-encoding: chunked\r\n\r\n1;", b"x"),
    # http.client takes it for "until the end".
    "negative chunk": endlessly(OK + b"transfer-encoding: chunked\r\n\r\n-1\r\n", b"a"),
    "trailers": endlessly(OK + b"transfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n", b"x-a: b\r\n"),
}


@pytest.mark.parametrize("name", ENDLESS)
def test_an_endless_head_ends_by_a_limit_or_the_deadline(serve, send, name):
    server = serve(ENDLESS[name])
    result: Response | DeliveryError

    started_at = time.monotonic()
    with flat_memory():
        try:
            result = send(server.url(), deadline=DEADLINE)
        except DeliveryError as error:
            result = error

    assert time.monotonic() - started_at < DEADLINE + PATIENCE
    if isinstance(result, DeliveryError):
        assert result.error_class in {ErrorClass.TIMEOUT, ErrorClass.OTHER, ErrorClass.CONNECTION_RESET}
        assert result.permanent is False
    else:
        # The head was complete, and so was the body.
        assert (name, result.body) == ("trailers", b"a")


@pytest.mark.parametrize("framing", [b"", b"content-length: 67108864\r\n"], ids=["until closed", "64 MB"])
def test_an_endless_body_is_cut_off_with_flat_memory(serve, send, framing):
    server = serve(endlessly(OK + framing + b"\r\n", b"a"))

    with flat_memory():
        response = send(server.url(), deadline=DEADLINE)

    assert response.status == 200
    assert response.body == b"a" * 16_384
    assert response.truncated is True


def test_a_gzip_bomb_stays_packed(serve, send):
    bomb = gzip.compress(bytes(10 * MEGABYTE))
    server = serve(once(reply(bomb, headers={"content-encoding": "gzip"})))

    with flat_memory():
        response = send(server.url())

    assert response.body == bomb


@pytest.mark.parametrize(
    "answer", [b"<html>hello</html>", b"hello\r\n\r\n", b"\x00\x01\x02\x03", b"HTTP/3 200 OK\r\n\r\n"]
)
def test_an_answer_in_another_protocol_is_an_error_of_its_own(serve, send, answer):
    with fails(ErrorClass.OTHER, "127.0.0.1: other (no answer in HTTP)"):
        send(serve(once(answer)).url())


def test_an_answer_that_changes_the_protocol_is_no_success(serve, send):
    server = serve(once(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n\r\n\x81\x05hello"))

    assert send(server.url()).status == 101
    assert server.accepted == 1


@pytest.mark.parametrize("headers", [{"x-a": "b\r\nx-c: d"}, {"content-length": "1"}, {"x-\u20ac": "b"}])
def test_a_request_that_can_not_be_sent_is_an_error_of_its_own(serve, send, headers):
    server = serve(once(reply()))

    with pytest.raises(DeliveryError) as caught:
        send(server.url(), headers=headers)

    assert (caught.value.error_class, caught.value.permanent) == (ErrorClass.OTHER, True)
    assert server.accepted == 0
