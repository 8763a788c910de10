import socket
import threading
import time

import pytest

from tests.patience import PATIENCE
from tms_webhooks.net import urls
from tms_webhooks.net.urls import addresses_of, is_literal, system_resolver


@pytest.fixture
def resolve_by(monkeypatch):
    """Have names looked up by this function."""
    return lambda resolve: monkeypatch.setattr(urls, "system_resolver", resolve)


def unexpected(host, port):
    raise AssertionError(f"{host}:{port} was looked up")


@pytest.mark.parametrize("host", ["93.184.216.34", "2606:4700::1111"])
def test_an_ip_address_is_its_own_address_and_is_not_looked_up(host, resolve_by):
    resolve_by(unexpected)

    assert is_literal(host) is True
    assert addresses_of(host, 443, seconds=1.0) == (host,)


def test_a_lookup_that_hangs_is_given_up_in_time(resolve_by):
    over = threading.Event()

    def hang(host, port):
        over.wait(2 * PATIENCE)
        return []

    resolve_by(hang)
    started_at = time.monotonic()
    with pytest.raises(TimeoutError):
        addresses_of("example.com", 443, seconds=0.1)
    assert 0.1 <= time.monotonic() - started_at < PATIENCE
    over.set()


def test_a_name_that_no_name_server_can_be_asked_for_has_no_address(resolve_by):
    def fail(host, port):
        return [host.encode("idna").decode()]

    resolve_by(fail)
    with pytest.raises(socket.gaierror):
        addresses_of("a" * 64 + ".example", 443, seconds=1.0)


def test_a_name_with_an_empty_list_of_addresses_has_no_address(resolve_by):
    resolve_by(lambda host, port: [])

    with pytest.raises(socket.gaierror, match="no address"):
        addresses_of("example.com", 443, seconds=1.0)


def test_the_system_resolver_returns_every_address_once_in_order(monkeypatch):
    def getaddrinfo(host, port, **kwargs):
        assert (host, port, kwargs) == ("example.com", 443, {"type": socket.SOCK_STREAM})
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("2606:4700::1111", 443, 0, 0)),
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.216.34", 443)),
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.216.34", 443)),
        ]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)

    assert system_resolver("example.com", 443) == ("2606:4700::1111", "93.184.216.34")
