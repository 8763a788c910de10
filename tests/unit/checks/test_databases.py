"""The database around the app: SQLite's defaults, and a second database."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import CheckMessage
from django.db import router
from django.db.backends.sqlite3.base import DatabaseWrapper

from example_project.databases import SQLITE_OPTIONS
from example_project.training.models import Organization, User
from tests.unit.checks.conftest import classes, ids, only, users
from tms_webhooks.checks import environment
from tms_webhooks.checks.sources import check_databases
from tms_webhooks.models import Event

HINT = (
    'In DATABASES[\'default\'], set "OPTIONS": {"transaction_mode": "IMMEDIATE", "timeout": 20, '
    '"init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"}.'
)


@pytest.fixture
def said_of(monkeypatch: pytest.MonkeyPatch, no_sources: None) -> Callable[..., list[CheckMessage]]:
    """Return what the check says of a SQLite database with these OPTIONS."""

    def said_of(options: dict[str, Any], name: str = "/nowhere/db.sqlite3") -> list[CheckMessage]:
        settings = {"ENGINE": "django.db.backends.sqlite3", "NAME": name, "OPTIONS": options}
        monkeypatch.setattr(environment, "connections", {"default": DatabaseWrapper(settings, "default")})
        return environment.check_sqlite()

    return said_of


def test_all_three_defaults_of_sqlite_are_traps(said_of) -> None:
    messages = said_of({})
    assert ids(messages) == ["W060", "W061", "W062"]
    assert [message.hint for message in messages] == [HINT] * 3


def test_a_version_of_sqlite_without_returning_is_refused(said_of, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3.dbapi2, "sqlite_version_info", (3, 34, 1))
    monkeypatch.setattr(sqlite3.dbapi2, "sqlite_version", "3.34.1")

    message = only(said_of(SQLITE_OPTIONS), "E065")
    assert message.msg == "Python's SQLite is 3.34.1, and DATABASES['default'] needs 3.35 or newer."


def test_the_options_of_the_example_project_are_the_remedy(said_of) -> None:
    assert said_of(SQLITE_OPTIONS) == []
    assert (
        said_of({"transaction_mode": "immediate", "timeout": 10, "init_command": "pragma Journal_Mode = 'wal'"}) == []
    )


def test_a_deferred_transaction_is_a_trap(said_of) -> None:
    message = only(said_of({**SQLITE_OPTIONS, "transaction_mode": "DEFERRED"}), "W060")
    assert message.msg == (
        "DATABASES['default']['OPTIONS']['transaction_mode'] is 'DEFERRED': a transaction that reads before it writes "
        'fails with "database is locked" if another transaction wrote in between.'
    )


def test_a_short_timeout_is_a_trap(said_of) -> None:
    message = only(said_of({**SQLITE_OPTIONS, "timeout": 2}), "W062")
    assert message.msg.startswith("DATABASES['default']['OPTIONS']['timeout'] is 2 s: ")


@pytest.mark.parametrize(("mode", "expected"), [("wal", []), ("delete", ["W061"])])
def test_a_file_that_has_a_write_ahead_log_already_needs_no_command(
    said_of, tmp_path: Path, mode: str, expected: list[str]
) -> None:
    path = tmp_path / "db.sqlite3"
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA journal_mode={mode}")
    connection.execute("CREATE TABLE something (id)")
    connection.close()
    assert ids(said_of({"transaction_mode": "IMMEDIATE", "timeout": 20}, str(path))) == expected


@pytest.mark.parametrize("name", [":memory:", "file:memorydb_default?mode=memory&cache=shared"])
def test_a_database_in_memory_is_left_alone(said_of, name: str) -> None:
    assert said_of({}, name) == []


def test_another_database_is_left_alone(monkeypatch: pytest.MonkeyPatch, no_sources: None) -> None:
    class Server:
        vendor = "postgresql"

    monkeypatch.setattr(environment, "connections", {"default": Server()})
    assert environment.check_sqlite() == []


class TwoDatabases:
    """A router that keeps the people apart."""

    def db_for_write(self, model, **hints):
        return "people" if model is User else "default"


def test_a_model_in_another_database_than_the_outbox_is_pointed_out(
    no_sources: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    users.register()
    classes.register()
    assert check_databases() == []

    monkeypatch.setattr(router, "routers", [TwoDatabases()])
    assert router.db_for_write(Event) == router.db_for_write(Organization) == "default"
    message = only(check_databases(), "W052")
    assert message.obj is User
    assert message.msg == (
        "training.User is written to the database 'people', but events are sent from 'default': no event of this model "
        "is sent."
    )
    assert (
        message.hint == "Let your router send tms_webhooks to 'people' too, or unregister this model and call `emit`."
    )
