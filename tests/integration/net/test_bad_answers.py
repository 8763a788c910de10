"""Answers that are made to hurt: each is an attempt with a class, within its deadline, and the memory stays as it is."""

import gzip
import time
import zlib
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.net.servers import CHUNKED, OK, endlessly, once, reply
from tests.patience import PATIENCE
from tms_webhooks.exceptions import DeliveryError
from tms_webhooks.net.transports.base import Response

MEGABYTE = 2**20
DEADLINE = 0.5
LIMIT = 16_384


@contextmanager
def flat_memory():
    """Expect that the process does not grow by more than a few buffers."""
    before = resident_bytes()
    yield
    assert resident_bytes() - before < 12 * MEGABYTE


def resident_bytes():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


ENDLESS = {
    "100 Continue": endlessly(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "103 Early Hints": endlessly(b"", b"HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n"),
    "headers": endlessly(OK, b"x-a: b\r\n"),
    "one header": endlessly(OK + b"x-a: ", b"b"),
    "status line": endlessly(b"HTTP/1.1 200 ", b"OK"),
    "no HTTP": endlessly(b"", b"<html>"),
    "chunk extension": endlessly(CHUNKED + b"1;", b"x"),
    # http.client takes it for "until the end".
    "negative chunk": endlessly(CHUNKED + b"-1\r\n", b"a"),
    "trailers": endlessly(CHUNKED + b"1\r\na\r\n0\r\n", b"x-a: b\r\n"),
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
        assert result.error_class in {"timeout", "other", "connection_reset"}
        assert result.permanent is False
    else:
        # The head was complete, and so was the body.
        assert (name, result.body) == ("trailers", b"a")


def test_an_answer_that_changes_the_protocol_is_no_success(serve, send):
    server = serve(once(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n\r\n\x81\x05hello"))

    assert send(server.url()).status == 101
    assert server.accepted == 1


@pytest.mark.parametrize(
    "head, piece",
    [
        (b"", b"a"),
        (b"content-length: 67108864\r\n", b"a"),
        (b"transfer-encoding: chunked\r\n\r\nffffffff\r\n", b"a"),
        (b"transfer-encoding: chunked\r\n", b"400\r\n" + b"a" * 1024 + b"\r\n"),
    ],
    ids=["until closed", "64 MB", "one huge chunk", "chunks"],
)
def test_an_endless_body_is_cut_off_with_flat_memory(serve, send, head, piece):
    beginning = OK + head + (b"" if b"ffffffff" in head else b"\r\n")
    server = serve(endlessly(beginning, piece))

    with flat_memory():
        response = send(server.url(), deadline=PATIENCE)

    assert (response.status, response.body, response.truncated) == (200, b"a" * 16_384, True)
    # Its connection is closed.
    send(server.url(), deadline=PATIENCE)
    assert server.accepted == 2


@pytest.mark.parametrize("size, truncated", [(0, False), (LIMIT - 1, False), (LIMIT, False), (LIMIT + 1, True)])
@pytest.mark.parametrize("framing", ["length", "chunked", "until closed"])
def test_at_most_16_kib_of_the_body_are_returned(serve, send, size, truncated, framing):
    body = (bytes(range(256)) * 65)[:size]
    chunks = [body[start : start + 1000] for start in range(0, size, 1000)]
    written = {
        "length": reply(body),
        "chunked": CHUNKED + b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n",
        "until closed": OK + b"\r\n" + body,
    }

    response = send(serve(once(written[framing])).url())

    assert (response.body, response.truncated) == (body[:LIMIT], truncated)


@pytest.mark.parametrize("compress", [gzip.compress, zlib.compress], ids=["gzip", "deflate"])
def test_a_compression_bomb_is_not_decoded(serve, send, compress):
    bomb = compress(bytes(10 * MEGABYTE))

    response = send(serve(once(reply(bomb, headers={"content-encoding": "gzip"}))).url())

    assert (response.body, response.truncated) == (bomb, False)


def test_a_limit_of_nothing_reads_the_status_only(serve, send, settings_of_app):
    server = serve(once(reply(b"hello")))
    settings_of_app(RESPONSE_LIMIT_BYTES=0)

    response = send(server.url())

    assert (response.status, response.body, response.truncated) == (200, b"", True)
