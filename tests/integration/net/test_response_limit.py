from __future__ import annotations

import gzip
import threading
import zlib

import pytest

from tests.integration.net.servers import Visit, answering, once, reply
from tests.patience import PATIENCE

LIMIT = 16_384


@pytest.mark.parametrize(
    ("size", "truncated"), [(0, False), (1, False), (LIMIT - 1, False), (LIMIT, False), (LIMIT + 1, True)]
)
@pytest.mark.parametrize("framing", ["length", "chunked", "until closed"])
def test_at_most_16_kib_of_the_body_are_returned(serve, send, size, truncated, framing):
    body = (bytes(range(256)) * 65)[:size]
    if framing == "length":
        server = serve(answering(reply(body)))
    elif framing == "chunked":
        chunks = b"".join(
            b"%x\r\n%b\r\n" % (len(chunk), chunk)
            for chunk in (body[start : start + 1000] for start in range(0, size, 1000))
        )
        server = serve(answering(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"))
    else:
        server = serve(once(b"HTTP/1.1 200 OK\r\n\r\n" + body))

    response = send(server.url())

    assert response.body == body[:LIMIT]
    assert response.truncated is truncated


def test_an_answer_of_64_megabytes_is_cut_off_and_its_connection_closed(serve, send):
    total = 64 * 1024 * 1024
    written = 0
    cut_off = threading.Event()

    def handle(visit: Visit) -> None:
        nonlocal written
        visit.read()
        visit.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % total)
        try:
            while written < total:
                visit.write(b"a" * 65_536)
                written += 65_536
        except OSError:
            cut_off.set()

    server = serve(handle)

    response = send(server.url())

    assert response.body == b"a" * LIMIT
    assert response.truncated is True
    assert cut_off.wait(PATIENCE)
    # What the sockets' buffers took, and no more.
    assert written < total / 2

    assert send(server.url()).truncated is True
    assert server.accepted == 2


def test_an_endless_chunked_answer_is_cut_off(serve, send):
    def handle(visit: Visit) -> None:
        visit.read()
        visit.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        while not visit.server.over.is_set():
            visit.write(b"400\r\n" + b"a" * 1024 + b"\r\n")

    response = send(serve(handle).url())

    assert response.body == b"a" * LIMIT
    assert response.truncated is True


def test_one_huge_chunk_is_not_read_into_memory(serve, send):
    def handle(visit: Visit) -> None:
        visit.read()
        visit.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffff\r\n")
        while not visit.server.over.is_set():
            visit.write(b"a" * 65_536)

    response = send(serve(handle).url())

    assert response.body == b"a" * LIMIT
    assert response.truncated is True


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_a_compression_bomb_is_not_decoded(serve, send, coding):
    bomb = (gzip.compress if coding == "gzip" else zlib.compress)(b"\0" * 10_000_000)
    server = serve(answering(reply(bomb, headers={"content-encoding": coding})))

    response = send(server.url())

    assert len(bomb) < LIMIT
    assert response.body == bomb
    assert response.truncated is False
    assert response.headers["content-encoding"] == coding


def test_a_limit_of_nothing_reads_the_status_only(serve, send, settings_of_app):
    server = serve(answering(reply(b"hello")))
    settings_of_app(RESPONSE_LIMIT_BYTES=0)

    response = send(server.url())

    assert (response.status, response.body, response.truncated) == (200, b"", True)
