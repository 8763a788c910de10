import ssl

import pytest

from tests.integration.net.conftest import fails
from tests.integration.net.servers import reply
from tests.integration.net.test_proxy import tunnels
from tms_webhooks.exceptions import DeliveryError
from tms_webhooks.net.transports.base import Request


@pytest.fixture
def asked_for(encrypted):
    """The names that clients asked the server for in their handshakes (SNI)."""
    names = []
    encrypted.sni_callback = lambda sock, name, context: names.append(name)
    return names


def test_the_certificate_of_the_right_name_is_accepted(serve, send, trusting, encrypted, asked_for):
    server = serve(tls=encrypted)

    for _ in range(3):
        assert send(server.url(host="hooks.example.test"), by=trusting).body == b"ok"

    assert server.accepted == 1
    assert asked_for == ["hooks.example.test"]
    assert server.requests[0].headers["host"] == f"hooks.example.test:{server.port}"


def test_the_certificate_of_another_name_is_refused_and_nothing_is_sent(serve, send, trusting, encrypted, asked_for):
    server = serve(tls=encrypted)

    with pytest.raises(DeliveryError) as caught:
        send(server.url(host="other.example.test"), headers={"x-secret": "hunter2"}, by=trusting)

    assert caught.value.error_class == "tls_error"
    assert caught.value.permanent is False
    assert str(caught.value).startswith("other.example.test: tls error (Hostname mismatch, certificate is not valid")
    assert asked_for == ["other.example.test"]
    assert server.requests == []


def test_the_certificate_is_checked_against_the_name_and_not_the_address(serve, send, trusting, authority, tmp_path):
    server = serve(tls=authority.server_context(tmp_path, "127.0.0.1"))

    with fails("tls_error"):
        send(server.url(host="hooks.example.test"), by=trusting)
    assert server.requests == []
    assert send(server.url(host="127.0.0.1"), by=trusting).status == 200


def test_the_authorities_may_be_in_a_folder_with_an_umlaut(serve, send, clients, encrypted, tmp_path):
    server = serve(tls=encrypted)
    folder = tmp_path / "Über uns"
    folder.mkdir()
    client = clients(resolve=lambda host, port: ["127.0.0.1"], trusting=True, folder=folder)

    assert send(server.url(host="hooks.example.test"), by=client).status == 200


def test_a_certificate_of_an_unknown_authority_is_refused(serve, send, clients, encrypted):
    server = serve(tls=encrypted)
    client = clients(resolve=lambda host, port: ["127.0.0.1"])

    with pytest.raises(DeliveryError, match="tls error \\(unable to get local issuer certificate\\)") as caught:
        send(server.url(host="hooks.example.test"), by=client)

    assert caught.value.error_class == "tls_error"
    assert server.requests == []


def test_an_expired_certificate_is_refused(serve, send, trusting, authority, tmp_path):
    server = serve(tls=authority.server_context(tmp_path, "hooks.example.test", days=-1))

    with pytest.raises(DeliveryError, match="hooks.example.test: tls error \\(certificate has expired\\)"):
        send(server.url(host="hooks.example.test"), by=trusting)

    assert server.requests == []


def test_the_environment_can_not_add_an_authority(serve, send, clients, encrypted, authority, tmp_path, monkeypatch):
    bundle = tmp_path / "bundle.pem"
    bundle.write_text(ssl.DER_cert_to_PEM_cert(authority.client_context().get_ca_certs(binary_form=True)[0]))
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.setenv(name, str(bundle))
    server = serve(tls=encrypted)
    client = clients(resolve=lambda host, port: ["127.0.0.1"])

    with fails("tls_error"):
        send(server.url(host="hooks.example.test"), by=client)


def test_a_server_that_speaks_no_tls_is_a_tls_error(serve, send, trusting):
    server = serve(lambda visit: visit.write(b"HTTP/1.1 400 Bad Request\r\n\r\n"))

    with fails("tls_error", "hooks.example.test: tls error"):
        send(f"https://hooks.example.test:{server.port}/", by=trusting)


@pytest.mark.parametrize("first", [True, False], ids=["before", "at the same time"])
@pytest.mark.parametrize("host", ["hooks.example.test", "127.0.0.1"], ids=["name", "address"])
@pytest.mark.parametrize("tunnel", [False, True], ids=["direct", "proxy"])
def test_an_https_request_is_never_in_clear_where_the_same_port_is_called_by_http(
    serve, trusting, settings_of_app, *, first, host, tunnel
):
    def handle(visit):
        while data := visit.sock.recv(65_536):
            arrived.append(data)
            visit.write(reply())

    arrived = []
    if tunnel:
        proxy = serve(tunnels)
        settings_of_app(PROXY_URL=f"http://127.0.0.1:{proxy.port}")
    server = serve(handle)
    plain = Request("POST", f"http://{host}:{server.port}/plain", {}, b"{}", 5.0)
    secret = Request("POST", f"https://{host}:{server.port}/secret", {"authorization": "hunter2"}, b"s3cret", 5.0)

    if first:
        assert trusting.send(plain).status == 200
    answer, refused = trusting.send_all([plain, secret])

    assert answer.result.status == 200
    assert isinstance(refused.result, DeliveryError)
    assert refused.result.error_class == "tls_error"
    sent = b"".join(arrived)
    assert sent.count(b"POST /plain") == 1 + first
    assert not [part for part in (b"/secret", b"hunter2", b"s3cret") if part in sent]


@pytest.mark.parametrize("farewell", [True, False], ids=["close_notify", "abrupt"])
def test_a_kept_connection_that_closes_before_an_answer_is_tried_once_more(serve, send, trusting, encrypted, farewell):
    def handle(visit):
        visit.read()
        visit.write(reply())
        visit.read()
        if farewell:
            visit.sock.unwrap()

    server = serve(handle, tls=encrypted)

    assert send(server.url(host="hooks.example.test"), by=trusting).status == 200
    assert send(server.url(host="hooks.example.test"), body=b"second", by=trusting).status == 200
    assert server.accepted == 2
    assert [received.body for received in server.requests] == [b"{}", b"second", b"second"]


@pytest.mark.parametrize("farewell", [True, False], ids=["close_notify", "abrupt"])
@pytest.mark.parametrize(
    "written", [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf"], ids=["nothing", "half"]
)
def test_a_connection_that_closes_within_an_answer_is_reset(serve, send, trusting, encrypted, written, farewell):
    def handle(visit):
        visit.read()
        visit.write(written)
        if farewell:
            visit.sock.unwrap()

    with fails("connection_reset", "hooks.example.test: connection reset"):
        send(serve(handle, tls=encrypted).url(host="hooks.example.test"), by=trusting)
