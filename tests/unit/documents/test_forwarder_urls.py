"""The program that forwards events finds the port of a receiver, also of one with an IPv6 address."""

from __future__ import annotations

import http.client
from urllib.parse import urlsplit

import pytest

from tms_webhooks.documents import forwarder


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("http://[::1]/hook", "::1", 80),
        ("http://[::1]:9000/hook", "::1", 9000),
        ("http://127.0.0.1/hook", "127.0.0.1", 80),
        ("https://api.example.com/", "api.example.com", 443),
    ],
)
def test_a_request_goes_to_the_host_and_port_of_its_url(monkeypatch, url, host, port):
    reached = []

    def connect(connection: http.client.HTTPConnection) -> None:
        reached.append((connection.host, connection.port))
        raise ConnectionRefusedError

    monkeypatch.setattr(http.client.HTTPConnection, "connect", connect)
    monkeypatch.setattr(http.client.HTTPSConnection, "connect", connect)

    with pytest.raises(ConnectionRefusedError):
        forwarder.exchange("POST", urlsplit(url), {})

    assert reached == [(host, port)]
