"""The address that is called is one that was checked, at the moment it is called."""

import pytest

from tests.integration.net.conftest import fails
from tests.integration.net.servers import once, reply
from tms_webhooks.net.transports import curl_exchange
from tms_webhooks.net.urls import check_url

MESSAGE = (
    "URL: the host '{}' has no address that webhooks may call; check its spelling, use a public host, "
    "or ask the operator to allow it."
)


class Names:
    """A resolver that gives one answer after the other, and counts."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = 0

    def __call__(self, host, port):
        self.asked += 1
        return self.answers[min(self.asked, len(self.answers)) - 1]


@pytest.fixture
def no_exemptions(serve, settings_of_app):
    """Take back what lets the tests reach loopback; the server's port stays allowed."""

    def apply():
        settings_of_app(UNCHECKED_CIDRS=[])

    return apply


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]"])
def test_a_private_address_in_the_url_is_blocked_for_good(serve, send, no_exemptions, host):
    server = serve()
    no_exemptions()

    with fails("blocked_address", permanent=True):
        send(server.url(host=host))
    assert server.accepted == 0


@pytest.mark.parametrize(
    "addresses",
    [["127.0.0.1"], ["93.184.216.34", "127.0.0.1"], ["127.0.0.1", "93.184.216.34"], ["::ffff:127.0.0.1"]],
    ids=["alone", "last", "first", "mapped"],
)
def test_a_name_that_leads_to_a_private_address_is_blocked_and_nothing_connects(
    serve, send, clients, no_exemptions, addresses
):
    server = serve()
    no_exemptions()
    names = Names(addresses)

    with fails("dns_error", MESSAGE.format("hooks.example.test")):
        send(server.url(host="hooks.example.test"), by=clients(resolve=names))
    assert names.asked == 1
    assert server.accepted == 0


def test_a_name_that_was_public_when_saved_and_is_private_when_called_is_blocked(serve, send, clients, no_exemptions):
    server = serve()
    no_exemptions()
    names = Names(["93.184.216.34"], ["127.0.0.1"])
    url = server.url(host="hooks.example.test")

    client = clients(resolve=names)
    check_url(url, looks_up=True)
    with fails("dns_error"):
        send(url, by=client)
    assert names.asked == 2
    assert server.accepted == 0


def test_a_name_is_resolved_once_per_connection_and_checked_for_each(serve, send, clients, monkeypatch):
    monkeypatch.setattr(curl_exchange, "RESOLUTION_LIMIT", 0.0)
    server = serve(once(reply()))
    names = Names(["127.0.0.1"], ["127.0.0.1"], ["10.0.0.1"])
    client = clients(resolve=names)
    url = server.url(host="hooks.example.test")

    send(url, by=client)
    send(url, by=client)
    with fails("dns_error"):
        send(url, by=client)
    assert names.asked == 3
    assert server.accepted == 2


def test_a_kept_connection_needs_no_second_resolution(serve, send, clients):
    server = serve()
    names = Names(["127.0.0.1"])
    client = clients(resolve=names)

    for _ in range(4):
        send(server.url(host="hooks.example.test"), by=client)

    assert names.asked == 1
    assert server.accepted == 1


def test_an_allowed_host_is_called_at_a_private_address(serve, send, settings_of_app, clients):
    server = serve()
    settings_of_app(UNCHECKED_CIDRS=[], UNCHECKED_HOSTS=["intranet"])
    client = clients(resolve=Names(["127.0.0.1"]))

    assert send(server.url(host="intranet"), by=client).status == 200
    with fails("dns_error"):
        send(server.url(host="hooks.example.test"), by=client)
    assert server.accepted == 1


def test_addresses_are_tried_in_turn(serve, send, clients):
    # The server listens on 127.0.0.1 alone: the first address refuses.
    server = serve()

    response = send(server.url(host="hooks.example.test"), by=clients(resolve=Names(["127.0.0.2", "127.0.0.1"])))

    assert response.status == 200
    assert server.accepted == 1
