"""No receiver can hold a request longer than its deadline, whatever it does or leaves undone."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.integration.net.conftest import Send, Serve
from tests.integration.net.servers import Handler, Visit, answering, reply
from tms_webhooks.choices import ErrorClass
from tms_webhooks.exceptions import DeliveryError
from tms_webhooks.net.client import Client

if TYPE_CHECKING:
    from pytest_django import Settings

DEADLINE = 0.25


@contextmanager
def times_out(*, after: float = DEADLINE) -> Iterator[None]:
    """Expect a timeout, not before its time and not long after it."""
    started_at = time.monotonic()
    with pytest.raises(DeliveryError) as caught:
        yield
    elapsed = time.monotonic() - started_at
    assert caught.value.error_class == ErrorClass.TIMEOUT
    assert caught.value.permanent is False
    assert after - 0.01 <= elapsed < after + 1.0


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
def test_a_slow_answer_ends_at_the_deadline(serve: Serve, send: Send, handler: Handler) -> None:
    server = serve(handler)

    with times_out():
        send(server.url(), deadline=DEADLINE)

    assert len(server.requests) == 1
    assert server.accepted == 1


@pytest.mark.parametrize("handler", [never_answers, drips_headers, drips_body], ids=lambda handler: handler.__name__)
def test_a_slow_answer_ends_at_the_deadline_over_tls_too(
    serve: Serve, send: Send, encrypted: ssl.SSLContext, trusting: Client, handler: Handler
) -> None:
    server = serve(handler, tls=encrypted)

    with times_out():
        send(server.url(host="hooks.example.test"), deadline=DEADLINE, by=trusting)


def test_a_kept_connection_gets_a_new_deadline_with_each_request(serve: Serve, send: Send) -> None:
    def handle(visit: Visit) -> None:
        while visit.read() is not None:
            visit.server.over.wait(0.1)
            visit.write(reply())

    server = serve(handle)

    for _ in range(4):
        assert send(server.url(), deadline=DEADLINE).status == 200
    assert server.accepted == 1


def test_a_connection_that_ran_into_the_deadline_is_not_used_again(serve: Serve, send: Send) -> None:
    def handle(visit: Visit) -> None:
        while (received := visit.read()) is not None:
            if received.body == b"slow":
                visit.server.over.wait(0.4)
            visit.write(reply(b"to " + received.body))

    server = serve(handle)

    with times_out(after=0.2):
        send(server.url(), body=b"slow", deadline=0.2)
    assert send(server.url(), body=b"fast").body == b"to fast"
    assert server.accepted == 2


@pytest.mark.parametrize("encrypt", [False, True], ids=["plain", "tls"])
def test_a_receiver_that_never_reads_ends_at_the_deadline(
    serve: Serve, send: Send, encrypted: ssl.SSLContext, trusting: Client, encrypt: bool
) -> None:
    server = serve(Visit.hang, tls=encrypted if encrypt else None, receive_buffer=4096)

    # More than the buffers of both ends hold, so that the write itself has to wait.
    with times_out():
        send(server.url(host="hooks.example.test"), body=b"a" * 32_000_000, deadline=DEADLINE, by=trusting)

    assert server.requests == []


def test_a_receiver_that_reads_a_little_at_a_time_ends_at_the_deadline(serve: Serve, send: Send) -> None:
    def handle(visit: Visit) -> None:
        while not visit.server.over.wait(0.02):
            visit.sock.recv(65_536)

    server = serve(handle, receive_buffer=4096)

    with times_out():
        send(server.url(), body=b"a" * 32_000_000, deadline=DEADLINE)


def test_a_large_body_gets_through_in_many_writes(serve: Serve, send: Send) -> None:
    server = serve(answering(reply()), receive_buffer=4096)
    body = bytes(range(256)) * 4096

    assert send(server.url(), body=body).status == 200
    assert server.requests[0].body == body


def test_one_wait_for_data_is_bounded_by_the_read_timeout(serve: Serve, send: Send, settings: Settings) -> None:
    server = serve(never_answers)
    settings.TMS_WEBHOOKS = {**settings.TMS_WEBHOOKS, "READ_TIMEOUT": 0.2}

    with times_out(after=0.2):
        send(server.url(), deadline=5.0)


def test_a_tls_handshake_that_never_begins_ends_at_the_deadline(serve: Serve, send: Send, trusting: Client) -> None:
    server = serve(Visit.hang)

    with times_out():
        send(f"https://hooks.example.test:{server.port}/", deadline=DEADLINE, by=trusting)


def test_a_tls_handshake_that_drips_ends_at_the_deadline(serve: Serve, send: Send, trusting: Client) -> None:
    # The start of a TLS record that promises 16,384 bytes of a handshake.
    server = serve(lambda visit: visit.drip(b"\x16\x03\x03\x40\x00" + b"\x02\x00\x3f\xfc" + b"a" * 1000, every=0.03))

    with times_out():
        send(f"https://hooks.example.test:{server.port}/", deadline=DEADLINE, by=trusting)


def test_a_tls_handshake_is_bounded_by_the_connect_timeout(
    serve: Serve, send: Send, trusting: Client, settings: Settings
) -> None:
    server = serve(Visit.hang)
    settings.TMS_WEBHOOKS = {**settings.TMS_WEBHOOKS, "CONNECT_TIMEOUT": 0.2}

    with times_out(after=0.2):
        send(f"https://hooks.example.test:{server.port}/", deadline=5.0, by=trusting)


def test_a_name_server_that_never_answers_ends_at_the_deadline(
    serve: Serve, send: Send, clients: Callable[..., Client]
) -> None:
    over = threading.Event()

    def hang(host: str, port: int) -> Sequence[str]:
        over.wait(10.0)
        return ["127.0.0.1"]

    server = serve(answering(reply()))

    with times_out():
        send(server.url(host="hooks.example.test"), deadline=DEADLINE, by=clients(resolve=hang))
    over.set()
    assert server.accepted == 0


@pytest.fixture
def full_port() -> Iterator[int]:
    """A port that accepts no more connections and does not refuse them either."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = []
        for _ in range(4):
            waiting.append(socket.socket())
            waiting[-1].setblocking(False)
            waiting[-1].connect_ex(listener.getsockname())
        yield listener.getsockname()[1]
        for sock in waiting:
            sock.close()


def test_a_connection_that_never_comes_about_ends_at_the_deadline(
    serve: Serve, send: Send, full_port: int, settings: Settings
) -> None:
    settings.TMS_WEBHOOKS = {**settings.TMS_WEBHOOKS, "ALLOWED_PORTS": [full_port]}

    with times_out():
        send(f"http://127.0.0.1:{full_port}/", deadline=DEADLINE)


def test_all_addresses_together_are_bounded_by_the_connect_timeout(
    serve: Serve, send: Send, full_port: int, settings: Settings, clients: Callable[..., Client]
) -> None:
    settings.TMS_WEBHOOKS = {**settings.TMS_WEBHOOKS, "ALLOWED_PORTS": [full_port], "CONNECT_TIMEOUT": 0.4}
    client = clients(resolve=lambda host, port: ["127.0.0.1"] * 4)

    with times_out(after=0.4):
        send(f"http://hooks.example.test:{full_port}/", deadline=5.0, by=client)


def test_an_address_that_took_all_the_time_leaves_none_for_the_next_one(
    serve: Serve, send: Send, settings: Settings, clients: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    def connect(sock: socket.socket, address: tuple[str, int]) -> None:
        tried.append(address[0])
        time.sleep(0.25)
        raise TimeoutError

    tried: list[str] = []
    monkeypatch.setattr("tms_webhooks.net.deadline.TimedSocket.connect", connect, raising=False)
    server = serve(answering(reply()))
    settings.TMS_WEBHOOKS = {**settings.TMS_WEBHOOKS, "CONNECT_TIMEOUT": 0.2}

    with times_out(after=0.2):
        send(
            server.url(host="hooks.example.test"),
            by=clients(resolve=lambda host, port: ["127.0.0.2", "127.0.0.1"]),
        )
    assert tried == ["127.0.0.2"]


def test_an_address_that_swallows_packets_leaves_time_for_the_next_one(
    serve: Serve, send: Send, settings: Settings, clients: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    def connect(sock: socket.socket, address: tuple[str, int]) -> None:
        if address[0] == "127.0.0.2":
            time.sleep(sock.gettimeout() or 0.0)
            raise TimeoutError
        socket.socket.connect(sock, address)

    monkeypatch.setattr("tms_webhooks.net.deadline.TimedSocket.connect", connect, raising=False)
    server = serve(answering(reply()))
    settings.TMS_WEBHOOKS = {**settings.TMS_WEBHOOKS, "CONNECT_TIMEOUT": 0.4}
    client = clients(resolve=lambda host, port: ["127.0.0.2", "127.0.0.1"])

    response = send(server.url(host="hooks.example.test"), by=client)

    assert response.status == 200
    assert 0.2 <= response.elapsed < 0.4


def test_a_deadline_in_the_past_sends_nothing(serve: Serve, send: Send) -> None:
    server = serve(answering(reply()))

    with times_out(after=0.0):
        send(server.url(), deadline=0.0)
    assert server.accepted == 0
