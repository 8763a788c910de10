"""The operator's egress proxy: a tunnel to the address that was checked, whose own failures have a class of their own."""

import contextlib
import logging
import socket
import threading

import pytest

from tests.integration.net.conftest import fails
from tests.integration.net.servers import Visit, answering, once, reply
from tests.patience import PATIENCE
from tms_webhooks.exceptions import ConfigurationError, DeliveryError
from tms_webhooks.net.proxy import Proxy, configured_proxy
from tms_webhooks.net.transports.base import Request

ESTABLISHED = b"HTTP/1.1 200 Connection established\r\nvia: x\r\n\r\n"


def tunnels(visit):
    """Do what a proxy does: connect to the address, and pass all bytes on."""
    received = visit.read()
    assert received is not None
    host, _, port = received.lines[0].split()[1].rpartition(":")
    with socket.create_connection((host, int(port)), timeout=PATIENCE) as far:
        visit.write(ESTABLISHED)
        backwards = threading.Thread(target=_pass_on, args=(far, visit.sock))
        backwards.start()
        _pass_on(visit.sock, far)
        backwards.join(PATIENCE)


def _pass_on(source, sink):
    with contextlib.suppress(OSError):
        try:
            while data := source.recv(65_536):
                sink.sendall(data)
        finally:  # after a reset, too, or the other direction would wait for its timeout
            sink.shutdown(socket.SHUT_WR)


@pytest.fixture
def through(serve, settings_of_app):
    """Start a proxy, and set it."""

    def start(handler, *, credentials=""):
        proxy = serve(handler)
        url = f"http://{credentials}127.0.0.1:{proxy.port}"
        settings_of_app(PROXY_URL=url)
        return proxy

    return start


def test_the_proxy_connects_to_the_address_that_was_checked_and_the_name_stays(serve, send, through, clients):
    proxy = through(tunnels, credentials="alice:p%40ss%3Aword@")
    server = serve(answering(reply(b"far")))
    client = clients(resolve=lambda host, port: ["127.0.0.1"])

    for _ in range(3):
        response = send(server.url(host="hooks.example.test"), headers={"x-secret": "hunter2"}, by=client)
        assert (response.status, response.body) == (200, b"far")

    (connect,) = proxy.requests
    assert connect.lines[0] == f"CONNECT 127.0.0.1:{server.port} HTTP/1.1"
    headers = {name.lower(): value for name, value in connect.headers.items()}
    # alice:p@ss:word
    assert headers["proxy-authorization"] == "Basic YWxpY2U6cEBzczp3b3Jk"
    assert "x-secret" not in headers
    assert "hooks.example.test" not in connect.head.decode()
    assert [received.lines[:2] for received in server.requests] == [
        ["POST /hook HTTP/1.1", f"host: hooks.example.test:{server.port}"]
    ] * 3
    assert "proxy-authorization" not in {name.lower() for name in server.requests[0].headers}
    assert (proxy.accepted, server.accepted) == (1, 1)


def test_the_proxy_can_have_a_name(serve, client, through, settings_of_app):
    proxy = through(tunnels)
    settings_of_app(PROXY_URL=f"http://localhost:{proxy.port}")
    server = serve()
    request = Request("POST", server.url(), {}, b"{}", PATIENCE)

    for _ in range(3):
        assert [answer.result.status for answer in client.send_all([request] * 4)] == [200] * 4

    assert {received.lines[0] for received in proxy.requests} == {f"CONNECT 127.0.0.1:{server.port} HTTP/1.1"}
    assert len(server.requests) == 12


def test_the_certificate_is_that_of_the_name(serve, send, through, encrypted, trusting):
    through(tunnels)
    server = serve(tls=encrypted)

    assert send(server.url(host="hooks.example.test"), by=trusting).status == 200
    with fails("tls_error"):
        send(server.url(host="other.example.test"), by=trusting)


def test_an_address_that_is_refused_is_refused_before_the_proxy(serve, send, through, clients):
    proxy = through(tunnels)
    client = clients(resolve=lambda host, port: ["93.184.216.34", "10.0.0.1"])

    with fails("dns_error"):
        send(serve().url(host="hooks.example.test"), by=client)
    assert proxy.accepted == 0


@pytest.mark.parametrize("encrypt", [False, True], ids=["http", "https"])
@pytest.mark.parametrize(
    "handler, details",
    [
        (once(b"HTTP/1.1 407 Who\r\nproxy-authenticate: Basic\r\ncontent-length: 0\r\n\r\n"), "status 407"),
        (once(b"HTTP/1.1 502 Bad\r\ncontent-length: 0\r\n\r\n"), "status 502"),
        (once(b"HTTP/1.1 503 Later\r\ncontent-length: 4\r\n\r\nsoon"), "status 503"),
        (once(b"HTTP/1.1 504 Slow\r\n\r\n"), "status 504"),
        (once(b""), ""),
        (once(b"hello\r\n\r\n"), ""),
        (Visit.hang, ""),
    ],
    ids=["407", "502", "503", "504", "closed", "no HTTP", "hangs"],
)
def test_a_proxy_that_opens_no_tunnel_is_an_error_of_its_own(
    serve, trusting, send, through, encrypted, handler, details, encrypt
):
    through(handler, credentials="alice:hunter2@")
    server = serve(tls=encrypted if encrypt else None)

    with pytest.raises(DeliveryError) as caught:
        send(server.url(host="hooks.example.test"), deadline=0.5, by=trusting)

    assert caught.value.error_class == "proxy_error"
    assert caught.value.permanent is False
    assert str(caught.value).startswith("hooks.example.test: proxy error (")
    assert details in str(caught.value)
    assert server.accepted == 0


def test_a_proxy_that_is_down_is_an_error_of_its_own(serve, send, through):
    down = through(tunnels)
    down.close()
    server = serve()

    with fails("proxy_error"):
        send(server.url())


def test_the_receiver_is_still_the_receiver(serve, send, through):
    through(tunnels)

    with fails("connection_reset"):
        send(serve(once(b"")).url())

    with fails("timeout"):
        send(serve(Visit.hang).url(), deadline=0.4)


def test_the_credentials_are_in_no_log(serve, send, through, caplog):
    through(once(b"HTTP/1.1 407 Who\r\ncontent-length: 0\r\n\r\n"), credentials="alice:hunter2@")

    with caplog.at_level(logging.DEBUG):
        try:
            send(serve().url())
        except DeliveryError as error:
            logging.getLogger(__name__).exception("failed", exc_info=error)

    assert "alice" not in caplog.text
    assert "hunter2" not in caplog.text
    assert "hunter2" not in repr(configured_proxy())


@pytest.mark.parametrize(
    "url, proxy",
    [
        ("", None),
        ("http://proxy:3128", Proxy("proxy", 3128, "", "")),
        ("http://a:b@[::1]:8080/", Proxy("::1", 8080, "a", "b")),
    ],
)
def test_the_setting_is_a_url(settings, url, proxy):
    settings.TMS_WEBHOOKS = {"PROXY_URL": url}

    assert configured_proxy() == proxy


@pytest.mark.parametrize(
    "url", ["proxy:3128", "http://proxy", "socks5://p:1", "http://u:hunter2@p:0", "http://p:70000"]
)
def test_a_wrong_proxy_is_a_wrong_setting(settings, url):
    settings.TMS_WEBHOOKS = {"PROXY_URL": url}

    with pytest.raises(ConfigurationError, match="PROXY_URL.* is not of the form http://host:port") as caught:
        configured_proxy()

    assert "hunter2" not in str(caught.value)
