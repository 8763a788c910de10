"""A kept connection may break unseen: one more try on a new one, and only where nothing can have been answered."""

import threading

import pytest

from tests.integration.net.conftest import fails
from tests.integration.net.servers import Visit, answering, reply
from tests.patience import PATIENCE
from tms_webhooks.net.transports.base import Request


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
def test_a_kept_connection_that_breaks_before_an_answer_is_tried_once_more_on_a_new_one(serve, send, reset):
    def handle(visit):
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
    def handle(visit):
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


def breaks_within(visit):
    visit.write(b"HTTP/1.1 200 OK\r\ncontent-le")


@pytest.mark.parametrize(
    "kept, then, new, error_class, accepted, requests",
    [
        (True, lambda visit: None, lambda visit: visit.write(b"no HTTP\r\n"), "other", 2, 3),
        (True, breaks_within, None, "connection_reset", 1, 2),
        (True, Visit.hang, None, "timeout", 1, 2),
        (False, lambda visit: None, None, "connection_reset", 1, 1),
    ],
    ids=["second try fails", "breaks within an answer", "never answers", "new connection"],
)
def test_what_ends_a_request_for_good(serve, send, settings_of_app, kept, then, new, error_class, accepted, requests):
    def handle(visit):
        visit.read()
        if new and visit.server.accepted > 1:
            new(visit)
            return
        if kept:
            visit.write(reply())
            visit.read()
        then(visit)

    server = serve(handle)
    settings_of_app(READ_TIMEOUT_SECONDS=0.2)

    if kept:
        assert send(server.url()).status == 200
    with fails(error_class):
        send(server.url())
    assert (server.accepted, len(server.requests)) == (accepted, requests)
