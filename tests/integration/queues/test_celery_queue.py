"""The tasks that Celery gets, the broker that is down, beat, and the start and end of a worker."""

import logging
import socket
import sys
import threading
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import SimpleNamespace

import pytest
from celery import Celery, _state, signals
from celery.beat import Scheduler
from django.utils import timezone
from django.utils.module_loading import import_string

from tests.patience import PATIENCE
from tms_webhooks import queues, tasks
from tms_webhooks.exceptions import ConfigurationError
from tms_webhooks.models import DrainSlot
from tms_webhooks.outbox import wake
from tms_webhooks.outbox.wake import DRAIN, waker
from tms_webhooks.queues import DUE_JOBS, enqueue, get_queue, periodic_jobs
from tms_webhooks.queues import celery as celery_queue

PATH = "tms_webhooks.queues.celery.CeleryQueue"


@pytest.fixture(autouse=True)
def app(use_queue):
    """The host's app, with a broker in memory."""
    use_queue(PATH)
    before = _state._tls.current_app
    app = Celery("tests", broker="memory://", set_as_current=False)
    app.set_current()
    yield app
    with app.connection_for_read("memory://") as connection:
        connection.default_channel.queue_delete("celery")
    app.close()
    _state._set_current_app(before)


def sent(app):
    """Return the headers of the waiting tasks, with their arguments."""
    found = []
    with app.connection_for_read() as connection, connection.SimpleQueue("celery") as queue:
        while queue.qsize():
            message = queue.get(block=False)
            message.ack()
            found.append({**message.headers, "args": message.payload[0]})
    return found


def test_a_task_names_its_function_and_its_own_options(app):
    app.conf.update(task_time_limit=5, task_soft_time_limit=3, task_acks_late=True)

    enqueue(DRAIN, 2)

    (task,) = sent(app)
    assert (task["task"], task["args"], task["eta"]) == ("tms_webhooks.run", [DRAIN, 2], None)
    assert (task["ignore_result"], task["retries"]) == (True, 0)
    expires_in = (datetime.fromisoformat(task["expires"]) - timezone.now()).total_seconds()
    assert 290 < expires_in <= 300
    run = app.tasks["tms_webhooks.run"]
    assert (run.time_limit, run.soft_time_limit, run.acks_late) == (3600, 3600, False)


def test_a_task_for_later_has_its_time(app):
    moment = timezone.now() + timedelta(seconds=7)

    assert get_queue().enqueue_at(moment, DRAIN, 1, True) is True

    (task,) = sent(app)
    assert (datetime.fromisoformat(task["eta"]), task["args"]) == (moment, [DRAIN, 1, True])


def test_a_task_for_a_time_that_is_far_ahead_is_not_sent(app):
    assert get_queue().enqueue_at(timezone.now() + timedelta(minutes=5), DRAIN) is False

    assert sent(app) == []


def test_the_task_runs_a_function_of_this_app(app, monkeypatch):
    calls = []
    monkeypatch.setattr(tasks, "drain", lambda *args: calls.append(args))

    app.tasks["tms_webhooks.run"](DRAIN, 1, True)

    assert calls == [(1, True)]


@pytest.mark.parametrize(
    "path", ["os.system", "tms_webhooks.tasks.periodic", "tms_webhooks.tasks.import_string", "", None, ["os.system"]]
)
def test_a_message_that_names_another_function_is_refused(app, path):
    with pytest.raises((ValueError, TypeError)):
        app.tasks["tms_webhooks.run"](path, "touch /tmp/owned")


@pytest.mark.parametrize("function", [DRAIN, DUE_JOBS, *(job.function for job in periodic_jobs())])
def test_each_task_of_this_app_is_found(function):
    assert import_string(function).__module__ == "tms_webhooks.tasks"


# A broker that is down


@pytest.fixture
def silent_port():
    """A port that accepts connections and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(16)
        yield listener.getsockname()[1]


def closed_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.mark.parametrize("scheme", ["redis", "amqp"])
@pytest.mark.parametrize("answers", [False, True], ids=["hangs", "refuses"])
def test_a_save_waits_seconds_at_most_and_does_not_fail(app, rename, caplog, silent_port, monkeypatch, scheme, answers):
    app.conf.broker_url = f"{scheme}://127.0.0.1:{closed_port() if answers else silent_port}/5"
    transport = {**celery_queue.TRANSPORT, "socket_timeout": 0.2, "socket_connect_timeout": 0.2}
    monkeypatch.setattr(celery_queue, "PATIENCE", 0.2)
    monkeypatch.setattr(celery_queue, "TRANSPORT", transport)
    waker.reset()
    monkeypatch.setattr(wake, "monotonic", lambda: 100.0)
    began = time.monotonic()

    with caplog.at_level(logging.ERROR, logger="tms_webhooks"):
        rename("Another name")
    assert time.monotonic() - began < PATIENCE
    rename("A third name")

    # The broker is asked once.
    assert [record.getMessage() for record in caplog.records] == [
        "No drain could be woken; the sweep will find the due deliveries."
    ]


def test_a_save_under_task_always_eager_runs_no_drain(app, rename):
    app.conf.task_always_eager = True

    rename("Another name")

    assert not DrainSlot.objects.exists()


# Beat and workers


@pytest.fixture
def connected():
    """A list that grows with each worker that starts."""
    calls = []
    receivers = [(signal, list(signal.receivers or ())) for signal in SIGNALS]
    celery_queue.CeleryQueue().when_workers_start(lambda: calls.append("started"))
    yield calls
    for signal, before in receivers:
        signal.receivers = before


@dataclass(frozen=True)
class Service:
    """The sender of beat's signal."""

    app: Celery
    scheduler: Scheduler


SIGNALS = (signals.worker_ready, signals.worker_process_shutdown, signals.beat_init)


def test_beat_sends_one_task_that_looks_for_due_jobs(app, connected):
    app.conf.beat_schedule = {"of the host": {"task": "host.task", "schedule": 60}}
    scheduler = Scheduler(app)

    signals.beat_init.send(sender=Service(app, scheduler))

    assert set(scheduler.schedule) >= {"of the host", "tms_webhooks.run"}
    entry = scheduler.schedule["tms_webhooks.run"]
    assert (entry.task, entry.args, entry.schedule.run_every) == (
        "tms_webhooks.run",
        (DUE_JOBS,),
        timedelta(seconds=15),
    )
    scheduler.apply_async(entry)
    assert [task["args"] for task in sent(app)] == [[DUE_JOBS]]


@pytest.fixture
def close_all(monkeypatch):
    """Keep the tests' connection open."""
    closed = []
    monkeypatch.setattr(celery_queue, "connections", SimpleNamespace(close_all=lambda: closed.append("closed")))
    return closed


def test_a_worker_that_starts_makes_the_call_and_keeps_no_connection(connected, close_all):
    signals.worker_ready.send(sender=None)

    assert (connected, close_all) == (["started"], ["closed"])


def test_a_worker_ends_after_its_last_answers(connected):
    answered = threading.Event()
    ended = []

    def wait():
        answered.wait(PATIENCE)
        ended.append("answers")

    threading.Thread(target=wait).start()
    threading.Timer(0.05, answered.set).start()
    signals.worker_process_shutdown.send(sender=None)
    ended.append("worker")

    assert ended == ["answers", "worker"]


def test_without_celery_the_error_names_the_extra(monkeypatch):
    queues._queue_at.cache_clear()

    # The end of the fixture may have to import parts of it.
    with monkeypatch.context() as hidden:
        hidden.setitem(sys.modules, "celery", None)
        hidden.delitem(sys.modules, "tms_webhooks.queues.celery")
        with pytest.raises(ConfigurationError, match=r"run pip install 'tms-webhooks\[celery\]'"):
            get_queue()
