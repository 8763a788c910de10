"""What goes over the wire, to the byte, and what must never be on it."""

import pytest

from tests.integration.net.servers import answering, reply
from tms_webhooks.exceptions import DeliveryError
from tms_webhooks.net.transports.base import FRAMING_HEADERS


def test_the_request_is_what_the_caller_gave_and_its_frame(serve, send):
    server = serve()

    send(
        server.url("/hook?a=b"),
        headers={"Content-Type": "application/json", "webhook-id": "evt_1", "x-note": "caf\xe9"},
        body=b'{"a":1}',
    )

    assert server.requests[0].lines == [
        "POST /hook?a=b HTTP/1.1",
        f"host: 127.0.0.1:{server.port}",
        "accept-encoding: identity",
        "content-length: 7",
        "Content-Type: application/json",
        "webhook-id: evt_1",
        "x-note: caf\xe9",
    ]
    assert server.requests[0].body == b'{"a":1}'


def test_a_target_is_sent_as_the_url_check_made_it(serve, send):
    server = serve()

    send(server.url("//a/../ü?x={y}&z=%2f"))

    assert server.requests[0].lines[0] == "POST //a/../%C3%BC?x=%7By%7D&z=%2F HTTP/1.1"


def test_the_answer_comes_back_with_lower_case_headers(serve, send):
    server = serve(
        answering(b"HTTP/1.1 202 Fine\r\nX-A: 1\r\nx-a: 2\r\nRetry-After: 5\r\ncontent-length: 3\r\n\r\nyes")
    )

    response = send(server.url())

    assert response.status == 202
    assert response.headers == {"x-a": "1, 2", "retry-after": "5", "content-length": "3"}
    assert response.body == b"yes"
    assert response.truncated is False


@pytest.mark.parametrize(
    "method, body, length",
    [
        *((method, b"", ["content-length: 0"]) for method in ("POST", "PUT", "PATCH")),
        *((method, b"", []) for method in ("GET", "DELETE")),
        *((method, b"{}", ["content-length: 2"]) for method in ("GET", "DELETE", "PUT", "PATCH")),
    ],
)
def test_each_method_has_its_body_and_length(serve, send, method, body, length):
    server = serve()

    send(server.url(), method=method, body=body)

    start = [f"{method} /hook HTTP/1.1", f"host: 127.0.0.1:{server.port}", "accept-encoding: identity"]
    assert server.requests[0].lines == [*start, *length]
    assert server.requests[0].body == body


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308, 401, 429, 503])
def test_a_redirect_or_an_error_is_returned_and_neither_followed_nor_tried_again(serve, send, status):
    elsewhere = serve()
    server = serve(answering(reply(status=f"{status} Go", headers={"location": elsewhere.url(), "retry-after": "0"})))

    response = send(server.url())

    assert response.status == status
    assert response.headers["location"] == elsewhere.url()
    assert len(server.requests) == 1
    assert elsewhere.accepted == 0


def test_cookies_are_not_kept(serve, send):
    server = serve(answering(reply(headers={"set-cookie": "a=b; path=/"})))

    send(server.url())
    send(server.url())

    assert [name for received in server.requests for name in received.headers if name == "cookie"] == []


def test_proxies_and_passwords_of_the_environment_are_ignored(serve, send, monkeypatch, tmp_path):
    proxy = serve(answering(reply(b"from the proxy")))
    server = serve(answering(reply(b"from the receiver")))
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login alice password hunter2\n")
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv("NETRC", str(netrc))

    assert send(server.url()).body == b"from the receiver"
    assert proxy.accepted == 0
    assert "authorization" not in {name.lower() for name in server.requests[0].headers}


@pytest.mark.parametrize(
    "headers",
    [
        {"x-a": "b\r\nhost: evil.example"},
        {"x-a": "b\n c"},
        {"x-a": "b\rc"},
        {"x-a": "b\0c"},
        {"x-a": "\u20ac"},
        {"x-a\r\nx-b": "c"},
        {"x-a:": "b"},
        {"x a": "b"},
        {"": "b"},
        {"x-\u00e9": "b"},
        *({name: "x"} for name in sorted(FRAMING_HEADERS)),
        {"Transfer-Encoding": "chunked"},
        {"CONTENT-LENGTH": "0"},
    ],
    ids=repr,
)
def test_a_header_that_could_break_the_frame_is_refused_for_good(serve, send, headers):
    server = serve()

    with pytest.raises(DeliveryError) as caught:
        send(server.url(), headers={"x-secret": "hunter2", **headers})

    (name,) = headers
    assert str(caught.value) == f"the header {name!r} can't be sent"
    assert caught.value.error_class == "other"
    assert caught.value.permanent is True
    assert server.accepted == 0


def test_a_caller_can_not_ask_for_a_compressed_answer(serve, send):
    server = serve()

    send(server.url(), headers={"Accept-Encoding": "gzip"})

    assert [line for line in server.requests[0].lines if line.lower().startswith("accept-encoding")] == [
        "accept-encoding: identity"
    ]
