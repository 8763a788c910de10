"""What ``check --deploy`` says of a system that faces the internet."""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core.checks import CheckMessage
from django.db import DatabaseError

from tests.unit.checks.conftest import expect, only
from tms_webhooks.checks import DEPLOY_CHECKS, deploy, environment
from tms_webhooks.models.reencryption import KeyUse

KEYS = [Fernet.generate_key().decode()]


@pytest.fixture
def said(settings, monkeypatch):
    """Return what the deploy checks say of these settings, which have a key unless they say otherwise.

    The database's clock is this machine's.
    """
    monkeypatch.setattr(deploy, "connections", defaultdict(lambda: Database(apart=0.0)))

    monkeypatch.setattr(deploy, "key_use", lambda limit: KeyUse(newest=3))
    monkeypatch.setattr(environment, "has_recipients", lambda: True)

    def said(**written: Any) -> list[CheckMessage]:
        settings.TMS_WEBHOOKS = {"ENCRYPTION_KEYS": KEYS, **written}
        return [message for check in DEPLOY_CHECKS for message in check()]

    return said


ROWS: list[tuple[dict[str, Any], list[str]]] = [
    ({}, []),
    (
        {"ENCRYPTION_KEYS": []},
        [
            "W070: TMS_WEBHOOKS['ENCRYPTION_KEYS'] is empty... "
            "-> ...cryptography.fernet.Fernet.generate_key().decode()..."
        ],
    ),
    (
        {"ALLOWED_SCHEMES": ["https", "http"]},
        [
            "W071: TMS_WEBHOOKS['ALLOWED_SCHEMES'] contains 'http': payloads and header values are sent unencrypted. "
            "-> Allow only 'https'."
        ],
    ),
    *(
        (
            {"UNCHECKED_CIDRS": ["10.20.0.0/16", network]},
            [f"W072: TMS_WEBHOOKS['UNCHECKED_CIDRS'] contains '{network}'..."],
        )
        for network in ("0.0.0.0/0", "::/0")
    ),
    (
        {"UNCHECKED_HOSTS": ["hr.internal", "10.0.0.7"]},
        ["I073: TMS_WEBHOOKS['UNCHECKED_HOSTS'] exempts hr.internal, 10.0.0.7 from the address check."],
    ),
    # Wrong values are left to their own check.
    ({"UNCHECKED_CIDRS": ["everywhere"], "ALLOWED_SCHEMES": "http", "UNCHECKED_HOSTS": 7}, []),
    (
        {"STRICT_PAYLOADS": True},
        ["W074: TMS_WEBHOOKS['STRICT_PAYLOADS'] is True: a payload that breaks its schema raises..."],
    ),
    ({"STRICT_PAYLOADS": False}, []),
]


@pytest.mark.parametrize(("written", "expected"), ROWS)
def test_settings_that_are_unsafe_in_production_are_reported(
    said, written: dict[str, Any], expected: list[str]
) -> None:
    expect(said(**written), *expected)


def test_payloads_are_strict_under_debug(said, settings) -> None:
    settings.DEBUG = True
    expect(said(), "W074: DEBUG is on: ...")


class Database:
    """A database whose clock is that much apart."""

    vendor = "postgresql"

    def __init__(self, *, apart: float = 0.0, answers: bool = True) -> None:
        self.apart = apart
        self.answers = answers

    def cursor(self) -> Database:
        return self

    def __enter__(self) -> Database:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def execute(self, sql: str) -> None:
        if not self.answers:
            raise DatabaseError("gone")

    def fetchone(self) -> tuple[float]:
        return (time.time() + self.apart,)


@pytest.mark.parametrize(
    ("apart", "expected"), [(-120.0, "120 s ahead of the database's"), (90.0, "90 s behind the database's")]
)
def test_a_clock_that_is_off_is_pointed_out(said, monkeypatch, apart: float, expected: str) -> None:
    monkeypatch.setattr(deploy, "connections", defaultdict(lambda: Database(apart=apart)))

    assert expected in only(said(), "W075").msg


@pytest.mark.parametrize("database", [Database(apart=2.0), Database(answers=False)])
def test_a_clock_that_is_right_or_can_not_be_read_is_not(said, monkeypatch, database: Database) -> None:
    monkeypatch.setattr(deploy, "connections", defaultdict(lambda: database))

    assert said() == []


def test_stored_secrets_that_need_another_key_than_the_newest_are_counted(said, monkeypatch) -> None:
    monkeypatch.setattr(deploy, "key_use", lambda limit: KeyUse(newest=5, older=2, derived=3))

    message = only(said(), "I078")

    assert message.msg == (
        "5 stored secrets or header values need another key than the newest: 2 an older one, 3 the one derived from "
        "SECRET_KEY. They become unreadable without it."
    )
    assert message.hint == "Run manage.py webhooks_reencrypt before you remove an old key or change SECRET_KEY."


def test_stored_secrets_that_no_key_decrypts_are_counted(said, monkeypatch) -> None:
    monkeypatch.setattr(deploy, "key_use", lambda limit: KeyUse(newest=5, unreadable=2))

    message = only(said(), "W077")

    assert message.msg == "2 stored secrets or header values can't be decrypted with any key."
    assert "SECRET_KEY_FALLBACKS" in str(message.hint)


def test_without_tables_no_secrets_are_counted(said, monkeypatch) -> None:
    def fail(limit: int) -> KeyUse:
        raise DatabaseError("no such table")

    monkeypatch.setattr(deploy, "key_use", fail)

    assert said() == []


@pytest.mark.parametrize("is_enabled", [True, False])
def test_a_python_without_the_gil_is_not_supported(said, monkeypatch, is_enabled: bool) -> None:
    monkeypatch.setattr(sys, "_is_gil_enabled", lambda: is_enabled, raising=False)

    if is_enabled:
        assert said() == []
    else:
        message = only(said(), "W099")
        assert message.msg.endswith("Free-threaded Python is not supported: the app is not tested with it.")
        assert message.hint == "Use the standard build of Python, or set the environment variable PYTHON_GIL=1."


def test_a_python_that_always_has_the_gil_is_supported(said, monkeypatch) -> None:
    monkeypatch.delattr(sys, "_is_gil_enabled", raising=False)

    assert said() == []
