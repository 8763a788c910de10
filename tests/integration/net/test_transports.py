"""What a transport owes the loop that drives it, beside the answers."""

import os
import resource
import sys
import threading

import pytest

from tests.integration.net.conftest import ONLY_CURL
from tests.integration.net.servers import Visit, reply
from tests.patience import PATIENCE
from tests.scripts import run_script
from tms_webhooks.exceptions import ConfigurationError, DeliveryError
from tms_webhooks.net import transports
from tms_webhooks.net.transports import curl
from tms_webhooks.net.transports.base import Request
from tms_webhooks.net.transports.client import ThreadTransport
from tms_webhooks.net.transports.curl import CurlTransport


def a_request(url, *, deadline=PATIENCE):
    return Request("POST", url, {}, b"{}", deadline)


def test_a_slow_receiver_does_not_delay_a_fast_one(serve, client):
    def waits_for_the_fast_ones(visit):
        visit.read()
        while len(fast.requests) < 20 and not visit.server.over.wait(0.01):
            pass
        visit.write(reply())

    silent, slow, fast = serve(Visit.hang), serve(waits_for_the_fast_ones), serve()

    answers = client.send_all(
        [a_request(silent.url(), deadline=0.5), a_request(slow.url()), *[a_request(fast.url())] * 20]
    )

    assert isinstance(answers[0].result, DeliveryError)
    assert answers[0].seconds >= 0.49
    assert answers[0].result.error_class == "timeout"
    assert [answer.result.status for answer in answers[1:]] == [200] * 21


def test_a_name_server_that_hangs_does_not_delay_other_receivers(serve, clients):
    def resolve(host, port):
        if host == "silent.example.test":
            over.wait(PATIENCE)
        while host == "slow.example.test" and len(server.requests) < 5 and not over.wait(0.01):
            pass
        return ["127.0.0.1"]

    over = threading.Event()
    server = serve()
    client = clients(resolve=resolve)

    silent, *others = client.send_all(
        [
            a_request(server.url(host="silent.example.test"), deadline=0.4),
            a_request(server.url(host="slow.example.test")),
            *[a_request(server.url(host="fast.example.test"))] * 5,
        ]
    )
    over.set()

    assert isinstance(silent.result, DeliveryError)
    assert silent.result.error_class == "timeout"
    assert [answer.result.status for answer in others] == [200] * 6


@ONLY_CURL
def test_requests_for_one_name_share_a_lookup(serve, clients):
    def resolve(host, port):
        asked.append(host)
        return ["127.0.0.1"]

    asked = []
    server = serve()

    answers = clients(resolve=resolve).send_all([a_request(server.url(host="hooks.example.test"))] * 10)

    assert [answer.result.status for answer in answers] == [200] * 10
    assert asked == ["hooks.example.test"]


@ONLY_CURL
def test_a_name_is_looked_up_again_after_a_failure(serve, clients):
    server = serve()
    addresses = iter([["127.0.0.2"], ["127.0.0.1"]])
    client = clients(resolve=lambda host, port: next(addresses))

    first, second = (client.send_all([a_request(server.url(host="hooks.example.test"))])[0] for _ in range(2))

    assert isinstance(first.result, DeliveryError)
    assert first.result.error_class == "connection_refused"
    assert second.result.status == 200


@ONLY_CURL
def test_an_address_that_was_not_checked_is_never_connected(serve, send, monkeypatch):
    server = serve()
    # As if libcurl had found the address by itself.
    monkeypatch.setattr("tms_webhooks.net.transports.curl_exchange.Target.__init__", _other_address)

    with pytest.raises(DeliveryError):
        send(server.url())

    assert server.accepted == 0


def _other_address(target, safe, addresses, now):
    target.url, target.resolve = f"http://127.0.0.1:{safe.port}/", ()
    target.addresses, target.expires_at, target.attempt_delay = frozenset({"93.184.216.34"}), now + 30.0, 200


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="TCP_QUICKACK is of Linux")
def test_a_receiver_that_writes_head_and_body_apart_is_not_waited_for(serve, client):
    def handle(visit):
        # Without TCP_NODELAY: the body waits until the head is acknowledged.
        while visit.read() is not None:
            visit.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n")
            visit.write(b"ok")

    server = serve(handle)
    delayed = 0
    for _ in range(500):
        response = client.send(a_request(server.url()))
        assert response.body == b"ok"
        delayed += response.timing.read > 0.03

    assert server.accepted == 1
    # Each would be delayed by 40 ms. Many may be, when the machine is busy.
    assert delayed < 400


def test_a_transport_can_be_used_in_a_forked_process(serve, kind):
    server = serve()

    run_script(f"""
import os, selectors
import django
django.setup()
from django.conf import settings
from tms_webhooks.net.transports import new_transport
from tms_webhooks.net.transports.base import Request

settings.TMS_WEBHOOKS = {{
    "ALLOWED_SCHEMES": ["http"], "UNCHECKED_CIDRS": ["127.0.0.0/8"], "ALLOWED_PORTS": [{server.port}], "TRANSPORT": "{kind}",
    "CONNECT_TIMEOUT_SECONDS": {PATIENCE}, "READ_TIMEOUT_SECONDS": {PATIENCE},
}}

def status(transport):
    transport.start(Request("POST", "{server.url()}", {{}}, b"{{}}", {PATIENCE}), 1)
    with selectors.DefaultSelector() as selector:
        selector.register(transport.fileno(), selectors.EVENT_READ)
        while not (answers := transport.collect()):
            selector.select(min(transport.timeout(), 1.0))
    return answers[0].result.status

ours = new_transport()
assert status(ours) == 200
child = os.fork()
if child == 0:
    os._exit(0 if status(new_transport()) == 200 else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert status(ours) == 200
ours.close()
""")

    assert len(server.requests) == 3
    # The kept connection of the first process is still its own.
    assert server.accepted == 2


@ONLY_CURL
def test_sockets_are_not_inherited_by_other_programs(serve, send):
    before = set(os.listdir("/proc/self/fd"))
    send(serve().url())

    opened = [int(number) for number in set(os.listdir("/proc/self/fd")) - before]
    inheritable = []
    for number in opened:
        try:
            inheritable += [number] if os.get_inheritable(number) else []
        except OSError:
            continue
    assert inheritable == []


@ONLY_CURL
def test_the_limit_of_open_files_bounds_the_slots(client, monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda which: (500, 500))

    transport = CurlTransport()

    assert transport.capacity == 500 - 128
    transport.close()


@pytest.mark.parametrize(
    "setting, installed, made, slots, capacity",
    [
        ("", True, CurlTransport, 70, 70),
        ("", False, ThreadTransport, 70, 64),
        ("curl", True, CurlTransport, 70, 70),
        ("threads", True, ThreadTransport, 3, 3),
    ],
)
def test_the_best_transport_that_is_installed_is_used_or_the_one_that_is_set(
    settings, monkeypatch, setting, installed, made, slots, capacity
):
    settings.TMS_WEBHOOKS = {"TRANSPORT": setting, "SENDER_SLOTS": slots}
    monkeypatch.setattr(transports, "has_curl", lambda: installed)

    transport = transports.new_transport()

    assert type(transport) is made
    assert transport.capacity == capacity
    transport.close()


def test_libcurl_that_is_wanted_and_not_installed_is_a_wrong_setting(settings, monkeypatch):
    settings.TMS_WEBHOOKS = {"TRANSPORT": "curl"}
    monkeypatch.setitem(sys.modules, "tms_webhooks.net.transports.curl", None)

    with pytest.raises(ConfigurationError, match="TRANSPORT.* is 'curl', and pycurl can't be imported"):
        transports.new_transport()


@ONLY_CURL
def test_a_missing_file_of_authorities_is_a_wrong_setting(client, monkeypatch):
    monkeypatch.setattr(curl, "DEFAULT_CA_BUNDLE_PATH", "/nowhere")

    with pytest.raises(ConfigurationError, match="authorities can't be read: /nowhere"):
        CurlTransport()
