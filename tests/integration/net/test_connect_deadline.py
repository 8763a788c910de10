"""Finding and reaching the receiver counts towards the deadline: name, connection and handshake."""

import socket
import threading
from contextlib import ExitStack, contextmanager

import pytest

from tests.integration.net.conftest import ONLY_CURL, times_out
from tests.integration.net.servers import Visit
from tests.patience import PATIENCE, at_some_pace
from tms_webhooks.exceptions import DeliveryError

DEADLINE = 0.25


def drips_a_handshake(visit):
    # The start of a TLS record that promises 16,384 bytes of a handshake.
    visit.write(b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc")
    while not visit.server.over.wait(0.03):
        visit.write(b"a")


@pytest.mark.parametrize("handler", [Visit.hang, drips_a_handshake])
def test_a_tls_handshake_that_does_not_end_is_ended_at_the_deadline(serve, send, trusting, handler):
    server = serve(handler)

    with times_out(after=DEADLINE):
        send(f"https://hooks.example.test:{server.port}/", deadline=DEADLINE, by=trusting)


def test_a_tls_handshake_is_bounded_by_the_connect_timeout(serve, send, trusting, settings_of_app):
    server = serve(Visit.hang)
    settings_of_app(CONNECT_TIMEOUT_SECONDS=0.2)

    with times_out(after=0.2):
        send(f"https://hooks.example.test:{server.port}/", deadline=2 * PATIENCE, by=trusting)


def test_a_name_server_that_never_answers_ends_at_the_deadline(serve, send, clients):
    over = threading.Event()

    def hang(host, port):
        over.wait(2 * PATIENCE)
        return ["127.0.0.1"]

    server = serve()

    with times_out(after=DEADLINE):
        send(server.url(host="hooks.example.test"), deadline=DEADLINE, by=clients(resolve=hang))
    over.set()
    assert server.accepted == 0


def seconds_of(response):
    """Return how long an exchange took."""
    return sum(part or 0.0 for part in response.timing)


def answered(send):
    """Return the answer; fail the test without one."""
    try:
        return send()
    except DeliveryError as error:
        raise AssertionError(str(error)) from error


@contextmanager
def swallowing(*addresses, port=0):
    """Yield a port that accepts no more connections at these addresses, and does not refuse them either."""
    with ExitStack() as stack:
        for address in addresses:
            listener = stack.enter_context(socket.socket())
            listener.bind((address, port))
            listener.listen(0)
            for _ in range(4):
                waiting = stack.enter_context(socket.socket())
                waiting.setblocking(False)
                waiting.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


@pytest.fixture
def full_port():
    """A port of loopback that swallows packets."""
    with swallowing("127.0.0.1") as port:
        yield port


def test_a_connection_that_never_comes_about_ends_at_the_deadline(serve, send, full_port, settings_of_app):
    settings_of_app(ALLOWED_PORTS=[full_port])

    with times_out(after=DEADLINE):
        send(f"http://127.0.0.1:{full_port}/", deadline=DEADLINE)


def test_all_addresses_together_are_bounded_by_the_connect_timeout(serve, send, full_port, settings_of_app, clients):
    settings_of_app(ALLOWED_PORTS=[full_port], CONNECT_TIMEOUT_SECONDS=0.4)
    client = clients(resolve=lambda host, port: ["127.0.0.1"] * 4)

    with times_out(after=0.4):
        send(f"http://hooks.example.test:{full_port}/", deadline=2 * PATIENCE, by=client)


def test_an_address_that_swallows_packets_leaves_time_for_the_next_one(serve, send, settings_of_app, clients):
    server = serve()
    client = clients(resolve=lambda host, port: ["127.0.0.2", "127.0.0.1"])

    def attempt(pace):
        settings_of_app(CONNECT_TIMEOUT_SECONDS=1.6 * pace)
        response = answered(lambda: send(server.url(host="hooks.example.test"), by=client))
        assert response.status == 200
        assert 0.1 <= seconds_of(response) < 1.6 * pace

    with swallowing("127.0.0.2", port=server.port):
        at_some_pace(attempt)


@ONLY_CURL
def test_all_of_fifty_addresses_are_tried_in_the_time_to_connect(serve, send, settings_of_app, clients):
    others = [f"127.0.0.{number}" for number in range(2, 51)]
    server = serve()

    def attempt(pace):
        settings_of_app(CONNECT_TIMEOUT_SECONDS=1.5 * pace)
        client = clients(resolve=lambda host, port: [*others, "127.0.0.1"])
        response = answered(lambda: send(server.url(host="hooks.example.test"), deadline=3.0 * pace, by=client))
        assert response.status == 200
        assert 0.5 * pace <= seconds_of(response) < 2.5 * pace

    with swallowing(*others, port=server.port):
        at_some_pace(attempt)


def test_a_deadline_in_the_past_sends_nothing(serve, send):
    server = serve()

    with times_out(after=0.0):
        send(server.url(), deadline=0.0)
    assert server.accepted == 0
