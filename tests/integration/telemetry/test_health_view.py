"""The health over HTTP: for monitors and load balancers, which have no account and run no command."""

import math
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from threading import Barrier, BrokenBarrierError
from types import SimpleNamespace

import pytest
from django.db import OperationalError
from django.db.migrations.recorder import MigrationRecorder
from django.utils import timezone

from tests.integration.delivery.rows import subscribed, write_delivery
from tests.patience import PATIENCE
from tms_webhooks.db import clock
from tms_webhooks.models import DrainSlot, Event
from tms_webhooks.monitoring.liveness import HealthLevel
from tms_webhooks.telemetry import health

DELIVERY = "/webhooks/health/"
READY = "/webhooks/health/ready/"
BOTH = pytest.mark.parametrize("url", [DELIVERY, READY])


@pytest.fixture(autouse=True)
def period(monkeypatch):
    """The time that decides when the health is read again, as a list of one number. Nothing is kept from other tests."""
    monkeypatch.setattr(health, "_kept_until", -math.inf)
    health._migrated.cache_clear()
    now = [0.0]
    monkeypatch.setattr(health, "monotonic", lambda: now[0])
    yield now
    health._migrated.cache_clear()


def run_drain():
    now = clock.measured_now()
    assert DrainSlot.objects.take(1, owner="drain", now=now, until=now + timedelta(seconds=60))


def answer(client, url):
    response = client.get(url)
    return response.status_code, response.content.decode()


def test_it_is_200_while_a_drain_runs(client):
    run_drain()

    assert answer(client, DELIVERY) == (200, "OK\n")


def test_it_is_503_without_one(client):
    assert answer(client, DELIVERY) == (503, "STOPPED\n")


def test_what_can_wait_until_tomorrow_is_200(client):
    run_drain()
    event = write_delivery(subscribed(), now=timezone.now()).event
    Event.objects.filter(pk=event.pk).update(fanned_out_at=None, occurred_at=timezone.now() - timedelta(hours=1))

    assert answer(client, DELIVERY) == (200, "LATE\n")


def test_a_process_is_ready_whether_or_not_a_drain_runs(client):
    assert answer(client, READY) == (200, "OK\n")


def test_it_is_not_ready_until_migrate_was_run(client):
    newest = MigrationRecorder.Migration.objects.filter(app="tms_webhooks").latest("name")
    newest.delete()
    assert answer(client, READY) == (503, "STOPPED\n")

    newest.save()
    assert answer(client, READY) == (200, "OK\n")


@BOTH
def test_a_database_that_refuses_is_503_whatever_was_known(client, monkeypatch, url):
    def refuse():
        raise OperationalError("connection to server at 10.0.0.7 failed")

    run_drain()
    assert answer(client, url) == (200, "OK\n")
    monkeypatch.setattr(DrainSlot.objects, "exists", refuse)

    assert answer(client, url) == (503, "STOPPED\n")


@BOTH
def test_the_answer_is_never_stored_and_sets_no_cookie(client, url):
    response = client.get(url)

    assert "no-store" in response["Cache-Control"]
    assert response["Content-Type"] == "text/plain"
    assert response.cookies == {}


@BOTH
def test_head_has_the_same_status_and_other_methods_are_refused(client, url):
    assert client.head(url).status_code == client.get(url).status_code
    assert client.head(url).content == b""
    assert client.post(url).status_code == 405


@BOTH
def test_it_needs_no_login_where_all_other_pages_do(client, settings, url):
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "django.contrib.auth.middleware.LoginRequiredMiddleware"]
    run_drain()

    assert answer(client, url) == (200, "OK\n")


def test_the_health_is_read_once_in_five_seconds(client, period, django_assert_num_queries):
    with django_assert_num_queries(12):
        client.get(DELIVERY)
    run_drain()

    with django_assert_num_queries(1):
        assert answer(client, DELIVERY) == (503, "STOPPED\n")
    period[0] += 5
    assert answer(client, DELIVERY) == (200, "OK\n")


def test_requests_at_the_same_time_read_it_once(monkeypatch, rf):
    everyone, reads = Barrier(4), []

    def read():
        reads.append(1)
        # All would meet here if none waited for another.
        with suppress(BrokenBarrierError):
            everyone.wait(0.2)
        raise OperationalError("the connection is lost")

    monkeypatch.setattr(health, "examine", read)
    monkeypatch.setattr(DrainSlot.objects, "exists", everyone.wait)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(health.health, [rf.get(DELIVERY) for _ in range(4)]))

    assert [response.status_code for response in answers] == [503] * 4
    assert len(reads) == 1


def test_while_one_request_reads_it_the_others_get_the_level_before(monkeypatch, rf, period):
    begun, end = threading.Event(), threading.Event()

    def slow():
        begun.set()
        assert end.wait(PATIENCE)
        raise OperationalError("the connection is lost")

    monkeypatch.setattr(DrainSlot.objects, "exists", lambda: True)
    monkeypatch.setattr(health, "examine", lambda: (None, SimpleNamespace(level=HealthLevel.LATE)))
    assert health.health(rf.get(DELIVERY)).content == b"LATE\n"
    monkeypatch.setattr(health, "examine", slow)
    period[0] += 5
    with ThreadPoolExecutor(2) as pool:
        slow_answer = pool.submit(health.health, rf.get(DELIVERY))
        assert begun.wait(PATIENCE)
        try:
            other = pool.submit(health.health, rf.get(DELIVERY)).result(PATIENCE)
        finally:
            end.set()

    assert other.content == b"LATE\n"
    assert slow_answer.result().content == b"STOPPED\n"


def test_a_failed_read_is_kept_for_the_period_too(client, monkeypatch, period):
    def fail():
        raise OperationalError("the connection is lost")

    run_drain()
    with monkeypatch.context() as patched:
        patched.setattr(health, "examine", fail)
        assert answer(client, DELIVERY) == (503, "STOPPED\n")

    assert answer(client, DELIVERY) == (503, "STOPPED\n")
    period[0] += 5
    assert answer(client, DELIVERY) == (200, "OK\n")


@BOTH
def test_a_503_is_not_logged_because_django_mails_errors_to_admins(client, monkeypatch, caplog, url):
    def refuse():
        raise OperationalError("connection to server at 10.0.0.7 failed")

    monkeypatch.setattr(DrainSlot.objects, "exists", refuse)

    assert answer(client, url) == (503, "STOPPED\n")
    assert [record.getMessage() for record in caplog.records if record.name == "django.request"] == []


def test_it_costs_two_statements_more_while_deliveries_are_late(client, django_assert_num_queries):
    run_drain()
    write_delivery(subscribed(), now=timezone.now() - timedelta(hours=1))

    with django_assert_num_queries(14):
        assert answer(client, DELIVERY) == (503, "STOPPED\n")


def test_a_process_that_is_ready_asks_one_statement(client, django_assert_num_queries):
    client.get(READY)

    with django_assert_num_queries(1):
        client.get(READY)
