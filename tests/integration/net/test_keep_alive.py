import socket
import threading

import pycurl
import pytest

from tests.integration.net.conftest import ONLY_CURL, ONLY_THREADS
from tests.integration.net.servers import answering, reply
from tests.patience import PATIENCE
from tms_webhooks.net.transports import client as waiting
from tms_webhooks.net.transports import curl_exchange
from tms_webhooks.net.transports.base import Request
from tms_webhooks.net.transports.curl import CurlTransport

CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    "answer, body",
    [
        (reply(b"hello"), b"hello"),
        (reply(b""), b""),
        (CHUNKED, b"abcde"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"HTTP/1.1 304 Not Modified\r\ncontent-length: 10\r\n\r\n", b""),
    ],
    ids=["length", "empty", "chunked", "204", "304"],
)
def test_one_connection_serves_many_requests(serve, send, answer, body):
    server = serve(answering(answer))

    for _ in range(3):
        response = send(server.url())
        assert response.body == body
        assert response.truncated is False

    assert len(server.requests) == 3
    assert server.accepted == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
    ],
    ids=["1.1", "1.0"],
)
def test_a_connection_that_the_receiver_wants_closed_is_not_used_again(serve, send, answer):
    server = serve(answering(answer))

    assert send(server.url()).body == b"ok"
    assert send(server.url()).body == b"ok"
    assert server.accepted == 2


@pytest.mark.parametrize("status", ["100 Continue", "102 Processing", "103 Early Hints"])
def test_interim_answers_are_read_past(serve, send, status):
    interim = f"HTTP/1.1 {status}\r\nlink: </x>\r\n\r\n".encode()
    server = serve(answering(interim * 3 + reply(b"late", headers={"x-a": "b"})))

    for _ in range(2):
        response = send(server.url())
        assert (response.status, response.body) == (200, b"late")
        assert response.headers == {"content-length": "4", "x-a": "b"}
    assert server.accepted == 1


def test_what_a_receiver_says_unasked_is_never_taken_for_an_answer(serve, send):
    def handle(visit):
        visit.read()
        visit.write(reply(b"first"))
        said.wait(PATIENCE)
        visit.write(reply(b"unasked", status="500 Oops"))
        written.set()
        visit.hang()

    said, written = threading.Event(), threading.Event()
    server = serve(handle)

    assert send(server.url()).body == b"first"
    said.set()
    assert written.wait(PATIENCE)
    assert send(server.url()).body == b"first"
    assert server.accepted == 2


def test_a_connection_that_was_closed_while_idle_is_replaced(serve, send):
    def handle(visit):
        visit.read()
        visit.write(reply())
        visit.sock.close()
        closed.set()

    closed = threading.Event()
    server = serve(handle)

    for _ in range(3):
        closed.clear()
        assert send(server.url()).status == 200
        assert closed.wait(PATIENCE)

    assert server.accepted == 3
    assert len(server.requests) == 3


@pytest.mark.parametrize("is_forgotten", [False, True])
def test_an_idle_connection_that_libcurl_closes_before_its_turn_ends_no_drain(monkeypatch, is_forgotten):
    """The receiver closed several at once. While libcurl reads of one, it closes another, or opens one with its number."""
    transport = CurlTransport()
    here, there = socket.socketpair()
    number = here.fileno()
    transport._opened(number)
    transport._watch(pycurl.POLL_REMOVE, number, None, None)
    there.close()
    ready = transport._selector.select(PATIENCE)
    here.close()
    if is_forgotten:
        transport._forget(number)
    monkeypatch.setattr(transport._selector, "select", lambda _timeout: ready)

    assert transport.collect() == []
    transport.close()


@ONLY_THREADS
def test_a_connection_that_was_idle_for_long_is_replaced(serve, send, monkeypatch):
    server = serve()

    send(server.url())
    monkeypatch.setattr(waiting, "IDLE_LIMIT", 0.0)
    send(server.url())

    assert server.accepted == 2


@ONLY_CURL
def test_a_connection_that_was_idle_for_long_is_replaced_by_libcurl(serve, send, monkeypatch):
    # libcurl counts in whole seconds, by its own clock.
    monkeypatch.setattr(curl_exchange, "IDLE_LIMIT", 1.0)
    server = serve()

    send(server.url())
    server.over.wait(1.2)
    send(server.url())

    assert server.accepted == 2


@ONLY_CURL
def test_no_more_connections_are_kept_than_there_are_slots(serve, clients, settings_of_app):
    def handle(visit):
        visit.read()
        visit.write(reply())
        assert visit.read() is None
        closed.set()

    closed = threading.Event()
    settings_of_app(SENDER_SLOTS=2)
    servers = [serve(handle) for _ in range(3)]
    client = clients()

    # libcurl closes the connection that is idle for longest. Within a millisecond, older releases choose any.
    for server in servers:
        client.send(Request("POST", server.url(), {}, b"{}", PATIENCE))

    assert closed.wait(PATIENCE)


@ONLY_THREADS
def test_only_so_many_connections_are_kept(serve, send, monkeypatch):
    monkeypatch.setattr(waiting, "CONNECTIONS_LIMIT", 2)
    one, two, three = (serve() for _ in range(3))

    for server in (one, two, one, three, one, two):
        send(server.url())

    # That to two had been used least recently when three came.
    assert (one.accepted, two.accepted, three.accepted) == (1, 2, 1)


def test_a_closed_client_closes_its_connections(serve, send, client):
    def handle(visit):
        visit.read()
        visit.write(reply())
        assert visit.read() is None
        closed.set()

    closed = threading.Event()
    server = serve(handle)

    send(server.url())
    client.close()

    assert closed.wait(PATIENCE)
