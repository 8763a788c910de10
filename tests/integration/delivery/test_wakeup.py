"""A drain at rest is tapped on the shoulder: on its host by a datagram, from elsewhere by PostgreSQL's NOTIFY."""

from __future__ import annotations

import socket
import tempfile
import threading
from pathlib import Path

import pytest
from django.db import connection, transaction

from tests.threads import Beside
from tms_webhooks.queues import wakeup
from tms_webhooks.queues.wakeup import Notifier, WakeUpListener, wake_local

pytestmark = pytest.mark.django_db(transaction=True)

on_postgres = pytest.mark.skipif(connection.vendor != "postgresql", reason="only PostgreSQL has LISTEN and NOTIFY")


@pytest.fixture
def folder(monkeypatch):
    """A place for the sockets of this test alone, with a path as short as a socket's has to be."""
    with tempfile.TemporaryDirectory(prefix="tms") as directory:
        monkeypatch.setattr(wakeup.tempfile, "gettempdir", lambda: directory)
        yield Path(directory)


@pytest.fixture
def listen():
    listeners = []

    def listen(callback) -> WakeUpListener:
        listeners.append(WakeUpListener("default", callback))
        return listeners[-1]

    yield listen
    for listener in listeners:
        listener.close()


def test_a_datagram_wakes_the_drain_of_this_host(folder, listen):
    heard = threading.Event()
    assert listen(heard.set).hears

    assert wake_local("default") is True
    assert heard.wait(5)


def test_what_killed_drains_of_any_database_left_behind_is_tidied_up_and_what_lives_is_not(folder, listen):
    listen(lambda: None)
    (place,) = folder.iterdir()
    (alive,) = place.iterdir()
    dead = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    dead.bind(str(place / "another-1-1"))
    dead.close()

    # In another thread, whose socket has another name.
    Beside(lambda: listen(lambda: None)).finish()

    assert not (place / "another-1-1").exists()
    assert alive.exists()


def test_nobody_feels_it_where_no_drain_is(folder, listen):
    assert wake_local("default") is False

    listen(lambda: None).close()

    assert wake_local("default") is False


def test_the_successor_of_a_drain_that_left_is_found_at_once(folder, listen):
    first, second = threading.Event(), threading.Event()
    predecessor = listen(first.set)
    assert wake_local("default") is True
    assert first.wait(5)
    predecessor.close()
    listen(second.set)

    assert wake_local("default") is True
    assert second.wait(5)


def test_a_drain_that_joins_another_is_found_when_it_is_looked_for_again(folder, listen, monkeypatch):
    first, second = threading.Event(), threading.Event()
    listen(first.set)
    assert wake_local("default") is True
    assert first.wait(5)
    Beside(lambda: listen(second.set)).finish()

    monkeypatch.setattr(wakeup, "CACHE_SECONDS", 0.0)
    first.clear()

    assert wake_local("default") is True
    assert first.wait(5)
    assert second.wait(5)


def test_what_a_killed_drain_left_behind_is_cleared_away(folder, listen):
    listener = listen(lambda: None)
    (path,) = folder.glob("*/*")
    listener.close()
    # As kill -9 does it: the socket is gone, and its path stays.
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as killed:
        killed.bind(str(path))
    assert path.exists()

    assert wake_local("default") is False
    assert not path.exists()


def test_a_folder_that_others_can_write_to_is_not_used(folder, listen):
    assert wake_local("default") is False
    (private,) = folder.iterdir()
    private.chmod(0o777)

    listener = listen(lambda: None)

    assert listener.hears is (connection.vendor == "postgresql")
    assert list(private.iterdir()) == []


def _ring_until(heard: threading.Event) -> bool:
    # Only who listens already can be told, and the listener connects in a thread of its own.
    notifier = Notifier()
    for _ in range(100):
        notifier.notify("default")
        if heard.wait(0.05):
            return True
    return False


@on_postgres
def test_a_notification_wakes_the_drain_of_another_host(folder, listen):
    heard = threading.Event()
    listen(heard.set)

    assert _ring_until(heard)


@on_postgres
def test_a_listener_whose_connection_is_cut_listens_again(folder, listen):
    heard = threading.Event()
    listen(heard.set)
    assert _ring_until(heard)

    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE query LIKE 'LISTEN %' AND datname = current_database()"
        )
        # One that an earlier test closed may still be on its way out.
        assert cursor.rowcount >= 1
    heard.clear()

    assert _ring_until(heard)


@on_postgres
def test_notifications_are_never_sent_inside_a_transaction_and_not_too_often(
    folder, monkeypatch, django_assert_num_queries
):
    now = [100.0]
    monkeypatch.setattr(wakeup, "monotonic", lambda: now[0])
    notifier = Notifier()

    with transaction.atomic(), django_assert_num_queries(0):
        notifier.notify("default")
    with django_assert_num_queries(1):
        notifier.notify("default")
        notifier.notify("default")
    now[0] += 2 * wakeup.NOTIFY_INTERVAL
    with django_assert_num_queries(1):
        notifier.notify("default")
