"""Fixtures that many tests share."""

import fcntl
import gc
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from urllib.parse import quote
from weakref import WeakKeyDictionary

import hypothesis
import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import connection, transaction
from django.utils import translation

from tests import flush
from tests.patience import PATIENCE
from tests.queues import KeepingQueue
from tests.receiver import Receiver
from tms_webhooks import tasks
from tms_webhooks.db import clock as database_clock
from tms_webhooks.db import sql
from tms_webhooks.delivery.own_outage import OwnOutage
from tms_webhooks.outbox import fanout
from tms_webhooks.outbox.fanout import fan_out
from tms_webhooks.outbox.wake import waker
from tms_webhooks.worker.drain import Drain

pytest_plugins = ["tests.leftovers"]

TESTS = Path(__file__).parent
ROOT = TESTS.parent
NOW = datetime(2026, 11, 24, 15, 0, tzinfo=UTC)
"""A time for tests that need any."""
SLOW = {"acceptance", "scenarios"}
LONGEST = {
    "test_admin_lists.py", "test_any_sequence.py", "test_browser_form.py", "test_browser_life.py",
    "test_browser_tasks.py", "test_demo.py", "test_down_for_hours.py", "test_drain_command.py", "test_every_change.py",
    "test_fuzzed.py", "test_kill_between_row_and_event.py", "test_large_backlogs.py", "test_many_events.py",
    "test_mcp.py", "test_mirror.py", "test_other_hosts.py", "test_platform_limits.py", "test_query_strings.py",
    "test_queue_killed.py", "test_rights.py", "test_shared_nouns.py", "test_snapshot.py", "test_state_machine.py",
    "test_table.py", "test_tutorial_admin.py", "test_two_clusters.py", "test_wedged_cluster.py",
}  # fmt: skip
"""Files that take longest. They start first, so that none of them runs alone in the end."""
BESIDE_A_WAITING_ONE = 4
"""Files that compute, after each file that waits."""
WITHOUT_SLOW = "not slow"
LEFT_OUT = "Left out: most scenarios, pages in a browser, generated clients, and other slow tests. Run them: python -m pytest -m slow"
USES_DATABASE = {
    "integration": ["default"], "security": ["default"], "scenarios": ["default"], "hosts": ["training", "default"],
}  # fmt: skip
"""Folders whose tests have these databases without a mark of their own."""

# Container images often forbid bytecode. Then each of some 400 processes that the tests start compiles the app anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# An example takes long where the machine is busy.
hypothesis.settings.register_profile("tests", deadline=None)
hypothesis.settings.load_profile("tests")


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config):
    """Run the whole suite on all cores and without slow tests. Named tests run in one process, and so does everything under a debugger."""
    if not __debug__:
        raise pytest.UsageError(
            "These tests need assertions, which -O or PYTHONOPTIMIZE has switched off: run python -m pytest."
        )
    option = config.option
    whole = config.args == config.getini("testpaths") and not (option.keyword or option.usepdb)
    if whole and not option.markexpr:
        option.markexpr = WITHOUT_SLOW
    if not hasattr(option, "numprocesses") or hasattr(config, "workerinput"):
        return  # pytest-xdist is absent or blocked, or this is one of its processes.
    if option.numprocesses is None and whole:
        # More than the cores: many tests wait for a clock, a server or another process, and most of the slow ones do.
        more = 1 if option.markexpr == WITHOUT_SLOW else 3
        option.numprocesses = config.hook.pytest_xdist_auto_num_workers(config=config) + more
    if option.numprocesses and option.dist == "no":
        # A file is run by one process, so that what a module's tests share is made once.
        option.dist, option.loadscopereorder = "loadfile", False


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session):
    """Say in the last line what was left out, and how to run it."""
    try:
        return (yield)
    finally:
        config = session.config
        if config.option.markexpr == WITHOUT_SLOW and not hasattr(config, "workerinput"):
            terminal = config.pluginmanager.get_plugin("terminalreporter")
            terminal.write_line(LEFT_OUT)


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """Let the garbage collector leave alone what lives as long as the run: to walk it again and again takes a tenth of it."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.set_threshold(20_000, 20, 50)
        gc.enable()


@pytest.hookimpl(tryfirst=True)
def pytest_itemcollected(item):
    """Mark the tests of the folders that use the database; other processes see what is committed."""
    folder, *below = item.path.relative_to(TESTS).parts
    if folder in USES_DATABASE and below[0] != "net" and item.get_closest_marker("django_db") is None:
        is_shared = "processes" in item.fixturenames
        item.add_marker(pytest.mark.django_db(databases=USES_DATABASE[folder], transaction=is_shared))


def pytest_collection_modifyitems(items):
    """Mix the files that wait for most of their time with those that compute, so that neither leaves the cores idle.

    The waiting ones come early, or the last one to start would be waited for.
    """
    files = {}
    for item in sorted(items, key=lambda item: item.path.name not in LONGEST):
        files.setdefault(item.path, []).append(item)
    waiting = [tests for path, tests in files.items() if not SLOW.isdisjoint(path.parts)]
    others = iter([tests for path, tests in files.items() if SLOW.isdisjoint(path.parts)])
    mixed = [tests for one in waiting for tests in (one, *islice(others, BESIDE_A_WAITING_ONE))]
    items[:] = [item for tests in (*mixed, *others) for item in tests]


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self, now):
        self.now = now

    def __call__(self):
        return self.now

    def advance(self, **delta):
        self.now += timedelta(**delta)
        return self.now


@pytest.fixture
def clock():
    """A clock at the current time, which the tests move by hand."""
    return Clock(datetime.now(UTC).replace(microsecond=0))


@pytest.fixture(scope="session")
def shared(tmp_path_factory):
    """The file of the database that one process of a parallel run migrates and the others copy, and its lock, which is held."""
    if connection.vendor != "sqlite" or "PYTEST_XDIST_WORKER" not in os.environ:
        yield None
        return
    folder = tmp_path_factory.getbasetemp().parent
    with (folder / "migrated.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder / "migrated.sqlite3", lock


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings, shared):
    """Make tables without migrations where all of it is copied."""
    if shared and shared[0].exists():
        connection.settings_dict["TEST"]["MIGRATE"] = False


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup, django_db_blocker, shared):
    """Create the databases, and remember what is in them."""
    with django_db_blocker.unblock():
        if shared:
            file, lock = shared
            connection.ensure_connection()
            copies = file.exists()
            with closing(sqlite3.connect(file)) as other:
                source, target = (other, connection.connection) if copies else (connection.connection, other)
                source.backup(target)
            ContentType.objects.clear_cache()
            fcntl.flock(lock, fcntl.LOCK_UN)
        flush.install()


@pytest.fixture(scope="module")
def module_db(django_db_setup, django_db_blocker):
    """Open a transaction for all tests of a module: each finds the rows of the module's fixtures as they were written."""
    block = transaction.atomic()
    # A block that is the host's would have its changes folded, all of a module's.
    block._from_testcase = True
    with django_db_blocker.unblock(), block:
        yield
        transaction.set_rollback(True)


@pytest.fixture(scope="session")
def empty_file(django_db_setup, django_db_blocker, tmp_path_factory):
    """A SQLite file with all tables and no rows, for tests to copy: to migrate a new one takes seconds."""
    file = tmp_path_factory.mktemp("empty") / "empty.sqlite3"
    if connection.vendor != "sqlite":
        environment = {**os.environ, "TMS_DATABASE": f"sqlite:///{quote(str(file))}"}
        environment["DJANGO_SETTINGS_MODULE"] = "tests.settings"
        command = [sys.executable, "-m", "django", "migrate", "--verbosity=0"]
        subprocess.run(command, cwd=ROOT, env=environment, check=True, timeout=PATIENCE)
        return file
    with django_db_blocker.unblock(), closing(sqlite3.connect(file)) as copy:
        connection.ensure_connection()
        connection.connection.backup(copy)
    return file


@pytest.fixture
def settings_of_app(settings):
    """Change settings of the app."""

    def change(**values):
        settings.TMS_WEBHOOKS = {**settings.TMS_WEBHOOKS, **values}

    return change


@pytest.fixture
def queue(settings_of_app):
    """The queue of the app, which keeps what it is given."""
    KeepingQueue.now.clear()
    KeepingQueue.later.clear()
    settings_of_app(QUEUE="tests.queues.KeepingQueue")
    return KeepingQueue


@pytest.fixture
def receiver(settings):
    """A receiver on loopback, and the settings that let webhooks reach it."""
    server = Receiver()
    settings.TMS_WEBHOOKS = {
        **settings.TMS_WEBHOOKS,
        "ALLOWED_SCHEMES": ["http", "https"],
        "UNCHECKED_HOSTS": ["127.0.0.1"],
        "ALLOWED_PORTS": [443, server.port],
    }
    yield server
    server.close()


@pytest.fixture
def drain(clock):
    """Run a drain on the test's clock until nothing is due. The middle of the dice: no jitter."""
    return lambda: Drain(fan_out=fan_out, clock=clock, random=lambda: 0.5).run(until_idle=True)


@pytest.fixture(scope="session", autouse=True)
def _on_any_machine():
    """A test that fans out once means all, and the database's time is this machine's: tests inject times and count queries."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tms_webhooks.routing.budget.MATCHING_BUDGET", 60.0)
        patch.setattr(database_clock, "keep_up", lambda: None)
        yield


@pytest.fixture(autouse=True)
def _as_in_a_new_process():
    """Forget what an earlier test's drains reached and its threads wrote, and what its commits taught the waker.

    One fixture for all of them: what each costs, ten thousand tests pay.
    """
    tasks.own_outage = OwnOutage()
    sql._versions, fanout._rotation = WeakKeyDictionary(), fanout._Rotation()
    waker.reset()
    yield
    waker.reset()
    # Django's middleware leaves the thread in the language of the last request.
    translation.deactivate()
