"""A drain at rest is tapped on the shoulder: on its host by a datagram, from elsewhere by PostgreSQL's NOTIFY."""

import socket
import tempfile
from itertools import count
from pathlib import Path
from selectors import DefaultSelector

import pytest
from django.db import OperationalError, connection, transaction

from tms_webhooks.outbox import wake
from tms_webhooks.queues import wakeup
from tms_webhooks.queues.wakeup import WakeUpListener, notify, wake_local

pytestmark = pytest.mark.django_db(transaction=True)

on_postgres = pytest.mark.skipif(connection.vendor != "postgresql", reason="only PostgreSQL has LISTEN and NOTIFY")


@pytest.fixture
def folder(monkeypatch):
    """A place for the sockets of this test alone, with a path as short as a socket's has to be."""
    with tempfile.TemporaryDirectory(prefix="tms") as directory:
        monkeypatch.setattr(wakeup.tempfile, "gettempdir", lambda: directory)
        yield Path(directory)


# Each drain has a lock of its own.
locks = count(1)


class Listening:
    """A listener and the selector that its owner waits with."""

    def __init__(self):
        self.selector = DefaultSelector()
        self.listener = WakeUpListener("default", self.selector, lock=(1, next(locks)))
        self.is_closed = False

    def is_woken(self, seconds=5.0):
        """Wait for a wake-up."""
        self.selector.select(seconds)
        return self.listener.collect()

    def close(self):
        if not self.is_closed:
            self.listener.close()
            self.selector.close()
            self.is_closed = True


@pytest.fixture
def listen():
    listening = []

    def listen():
        listening.append(Listening())
        return listening[-1]

    yield listen
    for one in listening:
        one.close()


def test_a_datagram_wakes_the_drain_of_this_host(folder, listen):
    drain = listen()
    assert drain.listener.hears

    assert wake_local("default") is True
    assert drain.is_woken()


def test_many_wake_ups_are_one(folder, listen):
    drain = listen()
    for _ in range(300):
        wake_local("default")

    assert drain.is_woken()
    assert not drain.is_woken(0.0)


@pytest.fixture
def listen_elsewhere(listen, monkeypatch):
    """Listen as another drain of this host does, whose socket has another name."""

    def listen_elsewhere():
        with monkeypatch.context() as elsewhere:
            elsewhere.setattr(wakeup.threading, "get_ident", lambda: 1)
            return listen()

    return listen_elsewhere


def test_what_killed_drains_of_any_database_left_behind_is_tidied_up_and_what_lives_is_not(
    folder, listen, listen_elsewhere
):
    listen()
    (place,) = folder.iterdir()
    (alive,) = place.iterdir()
    dead = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    dead.bind(str(place / "another-1-1"))
    dead.close()

    listen_elsewhere()

    assert not (place / "another-1-1").exists()
    assert alive.exists()


def test_a_drain_that_begins_wakes_no_other_one(folder, listen, listen_elsewhere):
    drain = listen()

    listen_elsewhere()

    assert not drain.is_woken(0.0)


@pytest.mark.parametrize(
    "name, value",
    [
        ("NAME", "another"),
        ("HOST", "another.example.com"),
        ("PORT", "6543"),
        # Of these, NAME and HOST may be empty, and the same for all databases of a user.
        ("OPTIONS", {"service": "another"}),
        ("OPTIONS", {"dbname": "another"}),
        ("OPTIONS", {"host": "another.example.com", "port": "6543"}),
        ("OPTIONS", {"database": "another"}),
        ("OPTIONS", {"read_default_file": "/etc/another.cnf"}),
        ("OPTIONS", {"unix_socket": "/run/another.sock"}),
    ],
)
def test_a_save_wakes_no_drain_of_another_database(folder, listen, listen_elsewhere, monkeypatch, name, value):
    monkeypatch.setattr(WakeUpListener, "_collect_notifications", lambda _listener: False)
    own = listen()
    with monkeypatch.context() as another:
        another.setitem(connection.settings_dict, name, value)
        other = listen_elsewhere()

    wake.Waker().wake()

    assert own.is_woken()
    assert not other.is_woken(0.0)


def test_other_options_of_a_process_do_not_hide_its_database(folder, listen, monkeypatch):
    drain = listen()
    options = {**connection.settings_dict["OPTIONS"], "application_name": "web"}
    monkeypatch.setitem(connection.settings_dict, "OPTIONS", options)

    assert wake_local("default") is True
    assert drain.is_woken()


def test_it_changes_nothing_where_no_drain_is(folder, listen):
    assert wake_local("default") is False

    listen().close()

    assert wake_local("default") is False


def test_the_successor_of_a_drain_that_left_is_found_at_once(folder, listen):
    predecessor = listen()
    assert wake_local("default") is True
    assert predecessor.is_woken()
    predecessor.close()
    successor = listen()

    assert wake_local("default") is True
    assert successor.is_woken()


def test_what_a_killed_drain_left_behind_is_cleared_away(folder, listen):
    drain = listen()
    (path,) = folder.glob("*/*")
    drain.close()
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

    listener = listen().listener

    assert listener.hears is (connection.vendor == "postgresql")
    assert list(private.iterdir()) == []


def notified(drain, seconds=5.0):
    wakeup._notified_at.clear()
    notify("default")
    return drain.is_woken(seconds)


@on_postgres
def test_a_notification_wakes_the_drain_of_another_host(folder, listen):
    assert notified(listen())


@on_postgres
def test_a_listener_whose_connection_is_cut_listens_again_and_says_so_once(folder, listen, monkeypatch, caplog):
    now = [100.0]
    monkeypatch.setattr(wakeup, "monotonic", lambda: now[0])
    drain = listen()
    assert notified(drain)

    with connection.cursor() as cursor:
        cursor.execute(
            # Waits until they have ended, at most so many milliseconds.
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE query LIKE 'SELECT pg_advisory_lock%' AND datname = current_database()"
        )
        # One that an earlier test closed may still be on its way out.
        assert cursor.rowcount >= 1
    assert not drain.is_woken()
    # The first attempt to read may find the server's last words, and only the next one the end.
    monkeypatch.setattr(WakeUpListener, "_connect", refuse := _Refusal(WakeUpListener._connect))
    for _ in range(3):
        now[0] += wakeup.RECONNECT_INTERVAL
        assert not drain.is_woken(0.0)
    assert refuse.times in (2, 3)

    refuse.is_over = True
    now[0] += wakeup.RECONNECT_INTERVAL
    drain.is_woken(0.0)

    assert notified(drain)
    assert [record.levelname for record in caplog.records if record.name == wakeup.__name__] == ["WARNING"]


class _Refusal:
    """Refuses to connect until it is over."""

    def __init__(self, connect):
        self.times, self.is_over = 0, False
        self._connect = connect

    def __get__(self, listener, _owner):
        return lambda: self._call(listener)

    def _call(self, listener):
        if self.is_over:
            self._connect(listener)
            return
        self.times += 1
        raise OperationalError("the server is starting up")


@on_postgres
def test_notifications_are_never_sent_inside_a_transaction_and_not_too_often(
    folder, monkeypatch, django_assert_num_queries
):
    now = [100.0]
    monkeypatch.setattr(wakeup, "monotonic", lambda: now[0])
    monkeypatch.setattr(wakeup, "_notified_at", {})

    with transaction.atomic(), django_assert_num_queries(0):
        notify("default")
    with django_assert_num_queries(1):
        notify("default")
        notify("default")
    now[0] += 2 * wakeup.NOTIFY_INTERVAL
    with django_assert_num_queries(1):
        notify("default")


def test_a_process_sends_a_wake_up_at_most_every_five_milliseconds(monkeypatch):
    sent = []
    monkeypatch.setattr(wake, "wake_local", lambda alias: not sent.append(alias))
    seconds = iter([10.0, 10.0, 10.004, 10.006, 10.006])
    monkeypatch.setattr(wake, "monotonic", lambda: next(seconds))
    waker = wake.Waker()

    for _commit in range(3):
        waker.wake()

    assert len(sent) == 2
