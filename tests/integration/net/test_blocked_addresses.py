"""The address that is called is one that was checked, at the moment it is called."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import pytest

from tests.integration.net.conftest import Send, Sender, Serve
from tests.integration.net.servers import answering, once, reply
from tms_webhooks.choices import ErrorClass
from tms_webhooks.exceptions import DeliveryError
from tms_webhooks.net.transports import curl_exchange
from tms_webhooks.net.urls import check_reachable

if TYPE_CHECKING:
    from pytest_django import Settings

MESSAGE = (
    "URL: the host '{}' has no address that webhooks may call; check its spelling, use a public host, "
    "or ask the operator to allow it."
)


class Names:
    """A resolver that gives one answer after the other, and counts."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked = 0

    def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked += 1
        return self.answers[min(self.asked, len(self.answers)) - 1]


@pytest.fixture
def no_exemptions(serve: Serve, settings: Settings) -> Callable[[], None]:
    """Take back what lets the tests reach loopback; the server's port stays allowed."""

    def apply() -> None:
        settings.TMS_WEBHOOKS = {**settings.TMS_WEBHOOKS, "UNCHECKED_CIDRS": []}

    return apply


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]"])
def test_a_private_address_in_the_url_is_blocked_for_good(
    serve: Serve, send: Send, no_exemptions: Callable[[], None], host: str
) -> None:
    server = serve(answering(reply()))
    no_exemptions()

    with pytest.raises(DeliveryError) as caught:
        send(server.url(host=host))

    assert caught.value.error_class == ErrorClass.BLOCKED_ADDRESS
    assert caught.value.permanent is True
    assert server.accepted == 0


@pytest.mark.parametrize(
    "addresses",
    [["127.0.0.1"], ["93.184.216.34", "127.0.0.1"], ["127.0.0.1", "93.184.216.34"], ["::ffff:127.0.0.1"]],
    ids=["alone", "last", "first", "mapped"],
)
def test_a_name_that_leads_to_a_private_address_is_blocked_and_nothing_connects(
    serve: Serve, send: Send, clients: Callable[..., Sender], no_exemptions: Callable[[], None], addresses: list[str]
) -> None:
    server = serve(answering(reply()))
    no_exemptions()
    names = Names(addresses)

    with pytest.raises(DeliveryError) as caught:
        send(server.url(host="hooks.example.test"), by=clients(resolve=names))

    assert caught.value.error_class == ErrorClass.DNS_ERROR
    assert caught.value.permanent is False
    assert str(caught.value) == MESSAGE.format("hooks.example.test")
    assert names.asked == 1
    assert server.accepted == 0


def test_a_name_that_was_public_when_saved_and_is_private_when_called_is_blocked(
    serve: Serve, send: Send, clients: Callable[..., Sender], no_exemptions: Callable[[], None]
) -> None:
    server = serve(answering(reply()))
    no_exemptions()
    names = Names(["93.184.216.34"], ["127.0.0.1"])
    url = server.url(host="hooks.example.test")

    check_reachable(url, resolve=names)
    with pytest.raises(DeliveryError) as caught:
        send(url, by=clients(resolve=names))

    assert caught.value.error_class == ErrorClass.DNS_ERROR
    assert names.asked == 2
    assert server.accepted == 0


def test_a_name_is_resolved_once_per_connection_and_checked_for_each(
    serve: Serve, send: Send, clients: Callable[..., Sender], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(curl_exchange, "RESOLUTION_LIMIT", 0.0)
    server = serve(once(reply()))
    names = Names(["127.0.0.1"], ["127.0.0.1"], ["10.0.0.1"])
    client = clients(resolve=names)
    url = server.url(host="hooks.example.test")

    send(url, by=client)
    send(url, by=client)
    with pytest.raises(DeliveryError) as caught:
        send(url, by=client)

    assert caught.value.error_class == ErrorClass.DNS_ERROR
    assert names.asked == 3
    assert server.accepted == 2


def test_a_kept_connection_needs_no_second_resolution(serve: Serve, send: Send, clients: Callable[..., Sender]) -> None:
    server = serve(answering(reply()))
    names = Names(["127.0.0.1"])
    client = clients(resolve=names)

    for _ in range(4):
        send(server.url(host="hooks.example.test"), by=client)

    assert names.asked == 1
    assert server.accepted == 1


def test_an_allowed_host_is_called_at_a_private_address(
    serve: Serve, send: Send, settings: Settings, clients: Callable[..., Sender]
) -> None:
    server = serve(answering(reply()))
    settings.TMS_WEBHOOKS = {**settings.TMS_WEBHOOKS, "UNCHECKED_CIDRS": [], "UNCHECKED_HOSTS": ["intranet"]}
    client = clients(resolve=Names(["127.0.0.1"]))

    assert send(server.url(host="intranet"), by=client).status == 200
    with pytest.raises(DeliveryError) as caught:
        send(server.url(host="hooks.example.test"), by=client)

    assert caught.value.error_class == ErrorClass.DNS_ERROR
    assert server.accepted == 1


def test_addresses_are_tried_in_turn(serve: Serve, send: Send, clients: Callable[..., Sender]) -> None:
    # The server listens on 127.0.0.1 alone: the first address refuses.
    server = serve(answering(reply()))

    response = send(server.url(host="hooks.example.test"), by=clients(resolve=Names(["127.0.0.2", "127.0.0.1"])))

    assert response.status == 200
    assert server.accepted == 1


def test_a_wrong_setting_is_named_in_the_failure(serve: Serve, send: Send, settings: Settings) -> None:
    server = serve(answering(reply()))
    settings.TMS_WEBHOOKS = {**settings.TMS_WEBHOOKS, "UNCHECKED_CIDRS": ["loopback"]}

    with pytest.raises(DeliveryError, match="unexpected ConfigurationError") as caught:
        send(server.url())

    assert caught.value.permanent is False
    assert server.accepted == 0
