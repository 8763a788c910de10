"""One drain, one webhook for each kind of bad receiver, and a healthy one: the bad ones harm nobody but themselves."""

import socket
import time
import tracemalloc
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from unittest.mock import patch

import pytest
from django.conf import settings
from django.db import transaction
from django.test import override_settings

from tests.integration.delivery.rows import subscribed
from tests.integration.net.certificates import Authority
from tests.integration.net.servers import Server, once, reply
from tests.patience import PATIENCE
from tests.receiver import Receiver
from tests.scenarios.bad_receivers import BINARY, DEADLINE, HUGE, KINDS, LIMIT, READ_TIMEOUT, bomb, redirects
from tms_webhooks.models import DeliveryAttempt, Webhook
from tms_webhooks.models.webhook import LONGEST_TIMEOUT
from tms_webhooks.net import urls
from tms_webhooks.net.transports.client import ThreadTransport
from tms_webhooks.outbox.fanout import fan_out
from tms_webhooks.worker.drain import Drain

REBOUND = "rebound.example.test"
INNER = "127.0.0.2"
HOSTS = {"ALLOWED_SCHEMES": ["http", "https"], "UNCHECKED_HOSTS": [], "UNCHECKED_CIDRS": ["127.0.0.1/32"]}
HEALTHY = 20
EACH = 2


@dataclass
class World:
    """The receivers, and what came of one drain."""

    healthy: Receiver
    servers: dict[str, Server] = field(default_factory=dict)
    webhooks: dict[str, Webhook] = field(default_factory=dict)
    deliveries: dict[str, list[tuple[Any, ...]]] = field(default_factory=dict)
    attempts: dict[str, list[DeliveryAttempt]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    connected: list[tuple[str, int]] = field(default_factory=list)
    seconds: float = 0.0
    memory: int = 0

    def serve(self, name, handler, **options):
        self.servers[name] = Server(handler, **options)
        return self.servers[name]

    def resolve(self, host, _port):
        """Answer as a name server that means harm: the first time with an address that is allowed."""
        self.asked.append(host)
        return ["127.0.0.1" if len(self.asked) == 1 else INNER]

    def subscribe(self, name, url, events, **values):
        self.webhooks[name] = subscribed(url=url, happened=events, timeout_seconds=DEADLINE, **values)

    def drain(self):
        # A clock that stands still: nothing is tried a second time, however long it takes.
        now = datetime.now(UTC)
        drain = Drain(
            fan_out=fan_out,
            clock=lambda: now,
            transport=ThreadTransport(),
            random=lambda: 0.5,
        )
        bomb()  # Made before the memory is measured.
        tracemalloc.start()
        try:
            began_at = time.monotonic()
            with patch.object(urls, "system_resolver", self.resolve):
                drain.run(until_idle=True)
            self.seconds = time.monotonic() - began_at
            self.memory = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    def read(self):
        for name, webhook in self.webhooks.items():
            webhook.refresh_from_db()
            webhook.state.refresh_from_db()
            rows = webhook.deliveries.order_by("pk")
            self.deliveries[name] = list(rows.values_list("status", "attempts", "error_class"))
            log = DeliveryAttempt.objects.filter(delivery__webhook=webhook)
            self.attempts[name] = list(log.order_by("delivery_id", "pk"))

    @property
    def ports(self):
        return [self.healthy.port, *(server.port for server in self.servers.values())]


@pytest.fixture(scope="module")
def connected():
    """Every address that anything in this process connects to."""
    addresses = []

    original = socket.socket.connect

    def connect(sock, address):
        if sock.family in {socket.AF_INET, socket.AF_INET6}:
            addresses.append(address[:2])
        original(sock, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", connect)
        yield addresses


@pytest.fixture(scope="module")
def world(connected, tmp_path_factory, django_db_setup, django_db_blocker):
    """All of it, after one drain."""
    with ExitStack() as stack:
        world = World(Receiver())
        stack.callback(world.healthy.close)
        stack.callback(lambda: [server.close() for server in world.servers.values()])
        certificate = Authority.new().server_context(tmp_path_factory.mktemp("tls"), "127.0.0.1")
        for kind in KINDS:
            world.serve(kind.name, kind.handler, tls=certificate if kind.tls else None)
        trap = world.serve("trap", once(reply()))
        world.serve("redirects inside", redirects(trap.url("/inner")))
        world.serve("rebinds", once(reply(headers={"connection": "close"})))
        stack.enter_context(override_settings(TMS_WEBHOOKS=settings_for(world)))
        stack.enter_context(django_db_blocker.unblock())
        with transaction.atomic():
            for kind in KINDS:
                world.subscribe(kind.name, world.servers[kind.name].url(), EACH)
            world.subscribe("redirects inside", world.servers["redirects inside"].url(), EACH)
            world.subscribe("rebinds", world.servers["rebinds"].url(host=REBOUND), 2, max_in_flight=1)
            world.subscribe("healthy", world.healthy.url, HEALTHY)
            world.drain()
            # Of this drain alone: other tests of the module have drains of their own.
            world.connected = list(connected)
            world.read()
            transaction.set_rollback(True)
        yield world


def settings_for(world):
    limits = {"ALLOWED_PORTS": world.ports, "READ_TIMEOUT_SECONDS": READ_TIMEOUT}
    return settings.TMS_WEBHOOKS | HOSTS | limits


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_each_kind_comes_to_what_it_deserves_at_the_first_attempt(world, kind):
    assert world.deliveries[kind.name] == [(kind.status, 1, kind.error or "")] * EACH
    log = [
        (attempt.number, attempt.status_code, attempt.error_class, attempt.message)
        for attempt in world.attempts[kind.name]
    ]
    assert log == [(1, kind.code, kind.error or "", kind.message)] * EACH
    assert world.servers[kind.name].accepted == EACH
    webhook = world.webhooks[kind.name]
    assert (webhook.enabled, webhook.state.failures) == (True, EACH if kind.error else 0)


def test_the_healthy_receiver_has_everything_once(world):
    assert world.deliveries["healthy"] == [("delivered", 1, "")] * HEALTHY
    assert len({request.headers["webhook-id"] for request in world.healthy.received}) == HEALTHY
    assert len(world.healthy.received) == HEALTHY


@pytest.mark.django_db
def test_the_healthy_receiver_waits_for_none_that_keeps_its_answers_back(receiver):
    def answers_last(visit):
        visit.read()
        receiver.wait_for(HEALTHY)
        visit.write(reply())

    slow = Server(answers_last)
    limits = {"ALLOWED_PORTS": [receiver.port, slow.port], "READ_TIMEOUT_SECONDS": LONGEST_TIMEOUT}
    with closing(slow), override_settings(TMS_WEBHOOKS=settings.TMS_WEBHOOKS | HOSTS | limits):
        # The slow one's events are the first.
        subscribed(url=slow.url(), happened=EACH, timeout_seconds=LONGEST_TIMEOUT)
        subscribed(url=receiver.url, happened=HEALTHY)

        Drain(fan_out=fan_out, transport=ThreadTransport()).run(until_idle=True)

    attempts = DeliveryAttempt.objects.values_list("status_code", "error_class")
    assert list(attempts) == [(200, "")] * (EACH + HEALTHY)


@pytest.mark.parametrize("name, limit", [("hangs", READ_TIMEOUT), ("drips", DEADLINE)])
def test_a_slow_receiver_is_given_up_at_its_limit(world, name, limit):
    for attempt in world.attempts[name]:
        assert limit - 0.01 <= attempt.duration_ms / 1000 < limit + PATIENCE


def test_the_drain_takes_no_longer_than_its_slowest_receiver(world):
    assert DEADLINE <= world.seconds < DEADLINE + PATIENCE


def test_16_kib_of_an_answer_are_kept_and_64_megabytes_never_read(world):
    longest = {name: max(len(one.response_body) for one in log) for name, log in world.attempts.items()}

    assert {one.response_body for one in world.attempts["64 megabytes"]} == {"a" * LIMIT}
    assert max(longest.values()) == LIMIT
    assert longest["drips"] == longest["resets"] == 0
    assert world.memory < HUGE / 4


def test_a_bomb_is_kept_as_it_came(world):
    for attempt in world.attempts["bomb"]:
        assert attempt.response_body.startswith("\x1f\ufffd\x08")
        assert len(attempt.response_body) == len(bomb()[:LIMIT].decode("utf-8", "replace"))


def test_a_binary_answer_is_kept_as_text_that_every_database_takes(world):
    assert BINARY.startswith(b"ok\x00")
    kept = {attempt.response_body for attempt in world.attempts["binary"]}
    assert kept == {"ok\ufffd\x01\ufffd\ufffd café 🎓"}


def test_no_redirect_is_followed_wherever_it_leads(world):
    assert world.deliveries["redirects inside"] == [("waiting", 1, "http_status")] * EACH
    assert world.servers["trap"].accepted == 0
    assert "169.254.169.254" not in {address for address, _port in world.connected}


def test_nobody_is_called_but_at_an_address_and_a_port_that_are_allowed(world):
    called = {name: server for name, server in world.servers.items() if name != "trap"}

    assert {address for address, _port in world.connected} == {"127.0.0.1"}
    assert {port for _address, port in world.connected} == {
        world.healthy.port,
        *(server.port for server in called.values()),
    }


def test_a_name_that_leads_inside_the_second_time_is_refused_the_second_time(world):
    first, second = world.attempts["rebinds"]

    assert world.asked == [REBOUND, REBOUND]
    assert world.deliveries["rebinds"] == [("delivered", 1, ""), ("waiting", 1, "dns_error")]
    assert (first.status_code, second.status_code) == (200, None)
    assert REBOUND in second.message
    assert INNER not in second.message
    # The one request came to the address that had been checked, under the name.
    (request,) = world.servers["rebinds"].requests
    assert request.headers["host"] == f"{REBOUND}:{world.servers['rebinds'].port}"
