"""A kept connection may break unseen: one more try on a new one, and only where nothing can have been answered."""

from __future__ import annotations

import threading

import pytest

from tests.integration.net.conftest import fails
from tests.integration.net.servers import Visit, answering, reply
from tests.patience import PATIENCE
from tms_webhooks.choices import ErrorClass
from tms_webhooks.exceptions import DeliveryError
from tms_webhooks.net.transports.base import Request


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
def test_a_kept_connection_that_breaks_before_an_answer_is_tried_once_more_on_a_new_one(serve, send, reset):
    def handle(visit: Visit) -> None:
        visit.read()
        visit.write(reply())
        # It closes only when the second request is on its way, so that no check before it can notice.
        visit.read()
        if reset:
            visit.reset()

    server = serve(handle)

    assert send(server.url()).status == 200
    assert send(server.url(), body=b"second").status == 200
    assert server.accepted == 2
    assert [received.body for received in server.requests] == [b"{}", b"second", b"second"]


def test_a_second_try_that_gets_no_answer_leads_to_a_new_connection(serve, client):
    def handle(visit: Visit) -> None:
        visit.read()
        both_here.wait(PATIENCE)
        visit.write(reply())
        visit.read()

    both_here = threading.Barrier(2)
    server = serve(handle)
    request = Request("POST", server.url(), {}, b"{}", PATIENCE)
    client.send_all([request] * 2)
    assert server.accepted == 2
    server.handler = answering(reply())

    # Both kept connections would break.
    assert client.send(request).status == 200
    assert server.accepted == 3


def test_a_second_try_that_fails_is_the_failure(serve, send):
    def handle(visit: Visit) -> None:
        visit.read()
        if visit.server.accepted == 1:
            visit.write(reply())
            visit.read()
        else:
            visit.write(b"no HTTP\r\n")

    server = serve(handle)

    send(server.url())
    with pytest.raises(DeliveryError, match="no answer in HTTP") as caught:
        send(server.url())

    assert caught.value.error_class == ErrorClass.OTHER
    assert server.accepted == 2
    assert len(server.requests) == 3


def test_a_new_connection_that_breaks_is_not_tried_again(serve, send):
    server = serve(lambda visit: visit.read() and None)

    with fails(ErrorClass.CONNECTION_RESET):
        send(server.url())
    assert server.accepted == 1
    assert len(server.requests) == 1


def test_a_kept_connection_that_breaks_within_an_answer_is_not_tried_again(serve, send):
    def handle(visit: Visit) -> None:
        visit.read()
        visit.write(reply())
        visit.read()
        visit.write(b"HTTP/1.1 200 OK\r\ncontent-le")

    server = serve(handle)

    send(server.url())
    with fails(ErrorClass.CONNECTION_RESET):
        send(server.url())
    assert server.accepted == 1
    assert len(server.requests) == 2


def test_a_kept_connection_that_never_answers_is_not_tried_again(serve, send, settings_of_app):
    def handle(visit: Visit) -> None:
        visit.read()
        visit.write(reply())
        visit.read()
        visit.hang()

    server = serve(handle)
    settings_of_app(READ_TIMEOUT_SECONDS=0.2)

    send(server.url())
    with fails(ErrorClass.TIMEOUT):
        send(server.url())
    assert server.accepted == 1
    assert len(server.requests) == 2
