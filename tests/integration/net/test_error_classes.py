import logging
import socket

import pytest

from tests.integration.net.conftest import ONLY_CURL, fails
from tests.integration.net.servers import CHUNKED, OK, once, resets_within_body
from tms_webhooks.exceptions import DeliveryError
from tms_webhooks.net.transports import curl_exchange


def reset_at_once(visit):
    visit.read()
    visit.reset()


BROKEN_OFF = [
    reset_at_once,
    resets_within_body,
    once(b""),
    once(OK + b"x-a: b\r\n"),
    once(OK + b"content-length: 100\r\n\r\nhalf"),
    once(CHUNKED + b"64\r\nhalf"),
    once(CHUNKED),
]
NO_HTTP = [
    b"SSH-2.0-OpenSSH_9.2\r\n",
    b"<html>hello</html>",
    b"\x00\x01\x02\x03",
    b"HTTP/3 200 OK\r\n\r\n",
    b"HTTP/1.1 twohundred OK\r\n\r\n",
]
TOO_LONG = [OK + b"x: y\r\n" * 200 + b"\r\n", OK + b"x: " + b"y" * 70_000 + b"\r\n\r\n"]
FAILURES = [
    *((handler, "connection_reset", "connection reset") for handler in BROKEN_OFF),
    *((once(answer), "other", "other (no answer in HTTP)") for answer in NO_HTTP),
    *((once(answer), "other", "other (the headers are too long)") for answer in TOO_LONG),
]


@pytest.mark.parametrize("handler, error_class, words", FAILURES)
def test_an_answer_that_breaks_off_or_is_none_is_a_failure_worth_retrying(serve, send, handler, error_class, words):
    server = serve(handler)

    with fails(error_class, f"127.0.0.1: {words}"):
        send(server.url("/secret-path"), headers={"x-secret": "hunter2"})
    assert server.accepted == 1


def test_a_port_without_a_listener_refuses(serve, send):
    server = serve()
    server.close()

    with fails("connection_refused", "127.0.0.1: connection refused"):
        send(server.url())


@ONLY_CURL
def test_an_address_without_a_route_is_unreachable_for_libcurl(send, settings, monkeypatch):
    def open_socket(handle, purpose, address):
        sock = socket.socket(address.family, address.socktype, address.protocol)
        # No router: an address of another network has no route then.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_DONTROUTE, 1)
        return sock.detach()

    monkeypatch.setattr(curl_exchange.Handle, "_open_socket", open_socket)
    settings.TMS_WEBHOOKS = {"ALLOWED_SCHEMES": ["http"], "ALLOWED_PORTS": [80]}

    with fails("network_unreachable", "93.184.216.34: network unreachable"):
        send("http://93.184.216.34/")


def test_a_name_without_an_address_is_a_dns_error(serve, send, clients):
    def fail(host, port):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    server = serve()

    with pytest.raises(DeliveryError) as caught:
        send(server.url(host="hooks.example.test"), by=clients(resolve=fail))

    assert caught.value.error_class == "dns_error"
    assert caught.value.permanent is False
    assert str(caught.value) == (
        "URL: the host 'hooks.example.test' has no address that webhooks may call; check its spelling, use a public host, "
        "or ask the operator to allow it."
    )


@pytest.mark.parametrize(
    "url",
    ["https://user:hunter2@127.0.0.1/", "https://127.1/", "ftp://127.0.0.1/", "nonsense", "https://127.0.0.1:81/"],
)
def test_a_url_that_breaks_a_rule_fails_for_good(serve, send, url):
    server = serve()

    with pytest.raises(DeliveryError, match="^URL: ") as caught:
        send(url)

    assert caught.value.error_class == "invalid_url"
    assert caught.value.permanent is True
    assert "hunter2" not in str(caught.value)
    assert server.accepted == 0


@pytest.mark.parametrize("method", ["PO ST", "", "HEAD"])
def test_a_method_that_is_none_is_no_crash(serve, send, method):
    server = serve()

    with fails("other", permanent=True):
        send(server.url(), method=method)
    assert server.requests == []


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nno colon here\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2, 3\r\n\r\nok",
        b"SSH-2.0-OpenSSH_9.2\r\n",
    ],
    ids=["bad header", "two framings", "two lengths", "no HTTP"],
)
def test_the_log_never_has_the_path_or_a_header_of_the_request(serve, send, caplog, answer):
    server = serve(once(answer))
    path, value = f"/path-{server.port}", f"value-{server.port}"

    with caplog.at_level(logging.DEBUG):
        try:
            send(server.url(path), headers={"x-secret": value})
        except DeliveryError as error:
            logging.getLogger(__name__).exception("failed", exc_info=error)

    assert path not in caplog.text
    assert value not in caplog.text


def test_a_client_goes_on_after_any_failure(serve, send, settings):
    broken, whole = serve(resets_within_body), serve()

    for _ in range(2):
        with pytest.raises(DeliveryError):
            send(broken.url(), deadline=0.1)
        assert send(whole.url()).status == 200
    assert whole.accepted == 1
