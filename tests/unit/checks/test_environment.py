"""What surrounds the app: databases, middleware, time zones, mail, and a system in production."""

import sqlite3
from collections import defaultdict
from types import SimpleNamespace

import pytest
from cryptography.fernet import Fernet
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.db import DatabaseError, router
from django.db.backends.sqlite3.base import DatabaseWrapper
from django.utils.module_loading import import_string

from example_project.databases import SQLITE_OPTIONS
from example_project.training.models import Organization, User
from tests.unit.checks.conftest import classes, expect, ids, users
from tms_webhooks.checks import GROUPS, environment
from tms_webhooks.checks.environment import (
    ACTOR,
    AUTHENTICATION,
    check_databases,
    check_django_settings,
    check_notifications,
    check_returning,
)
from tms_webhooks.conf import CHECKS_TAG
from tms_webhooks.models import Event
from tms_webhooks.models.reencryption import KeyUse
from tms_webhooks.net import transports

HERE = __name__
SESSIONS = "django.contrib.sessions.middleware.SessionMiddleware"
SMTP = "django.core.mail.backends.smtp.EmailBackend"
KEYS = [Fernet.generate_key().decode()]


def contacts(organization):
    return ["ann@example.com"]


def deploy():
    """Return what the checks of production say."""
    return [message for check in GROUPS["deploy"] for message in check()]


ROWS = [
    (
        check_django_settings,
        {"MIDDLEWARE": [ACTOR, SESSIONS, AUTHENTICATION]},
        f"W063: MIDDLEWARE has {ACTOR} before {AUTHENTICATION}: changes made in between are recorded with the actor "
        f"'system'. -> Move {ACTOR} below {AUTHENTICATION}.",
    ),
    *((check_django_settings, {"MIDDLEWARE": order}, "") for order in ([AUTHENTICATION, ACTOR], [ACTOR])),
    (
        check_django_settings,
        {"USE_TZ": False},
        "E064: USE_TZ is False, and this app needs times with a time zone: each drain ends with an error before it "
        "records a result. Receivers get no event, or the same event again and again. "
        "-> Set USE_TZ = True, Django's default....",
    ),
    # Contacts and mail
    (check_notifications, {"DEFAULT_FROM_EMAIL": "a@b.org"}, "W094: No one can be notified of a webhook that fails..."),
    (check_notifications, {"CONTACTS": f"{HERE}.contacts"}, "W095"),
    (check_notifications, {"CONTACTS": f"{HERE}.contacts", "DEFAULT_FROM_EMAIL": "a@b.org"}, ""),
    (check_notifications, {"NOTIFY": False}, ""),
    # Production
    *(
        (deploy, {"NOTIFY": False, "ENCRYPTION_KEYS": KEYS, "ALLOWED_SCHEMES": ["https"], **written}, expected)
        for written, expected in (
            ({}, ""),
            (
                {"ENCRYPTION_KEYS": []},
                "W070: ...['ENCRYPTION_KEYS'] is empty... -> ...cryptography.fernet.Fernet.generate_key().decode()...",
            ),
            (
                {"ALLOWED_SCHEMES": ["https", "http"]},
                "W071: TMS_WEBHOOKS['ALLOWED_SCHEMES'] contains 'http': payloads and header values are sent unencrypted. "
                "-> Allow only 'https'.",
            ),
            *(
                (
                    {"UNCHECKED_CIDRS": ["10.20.0.0/16", net]},
                    f"W072: TMS_WEBHOOKS['UNCHECKED_CIDRS'] contains '{net}'...",
                )
                for net in ("0.0.0.0/0",)
            ),
            # Wrong values are left to their own check.
            ({"UNCHECKED_CIDRS": ["everywhere"], "ALLOWED_SCHEMES": "http"}, ""),
        )
    ),
]


@pytest.fixture
def _production(monkeypatch, settings):
    """An installation without any contacts, whose mail settings were never written."""
    monkeypatch.setattr(environment, "key_use", lambda limit: KeyUse(newest=3))
    monkeypatch.setattr(environment, "has_recipients", lambda: False)
    settings.DEFAULT_FROM_EMAIL = "webmaster@localhost"
    if hasattr(settings, "MAILERS"):
        settings.MAILERS = {"default": {"BACKEND": SMTP}}
    else:
        settings.EMAIL_BACKEND = SMTP


@pytest.mark.usefixtures("_production")
@pytest.mark.parametrize("check, written, expected", ROWS)
def test_the_environment_is_checked(settings, check, written, expected):
    of_app = {**settings.TMS_WEBHOOKS}
    for name, value in written.items():
        if hasattr(settings, name):
            setattr(settings, name, value)
        else:
            of_app[name] = value
    settings.TMS_WEBHOOKS = {name: value for name, value in of_app.items() if value is not None}

    expect(check(), *filter(None, [expected]))


@pytest.mark.usefixtures("_production")
@pytest.mark.parametrize(
    "name, value, expected",
    [
        (
            "key_use",
            lambda limit: KeyUse(newest=5, older=2, derived=3),
            "I078: 5 stored secrets or header values need another key than the newest: 2 an older one, 3 the one derived "
            "from SECRET_KEY. They become unreadable without it. "
            "-> Run manage.py webhooks_reencrypt before you remove an old key or change SECRET_KEY.",
        ),
        (
            "key_use",
            lambda limit: KeyUse(newest=5, unreadable=2),
            "W077: 2 stored secrets or header values can't be decrypted with any key. -> ...SECRET_KEY_FALLBACKS...",
        ),
        ("has_recipients", lambda: True, ""),
    ],
)
def test_what_is_measured_in_production_is_reported(settings, monkeypatch, name, value, expected):
    settings.TMS_WEBHOOKS = {"ENCRYPTION_KEYS": KEYS, "NOTIFY": name == "has_recipients"}
    settings.DEFAULT_FROM_EMAIL = "a@b.org"
    monkeypatch.setattr(environment, name, value)
    expect(deploy(), *filter(None, [expected]))


@pytest.mark.usefixtures("_production")
def test_without_tables_no_secrets_are_counted(settings, monkeypatch):
    def fail(limit):
        raise DatabaseError("no such table")

    settings.TMS_WEBHOOKS = {"ENCRYPTION_KEYS": KEYS, "NOTIFY": False}
    monkeypatch.setattr(environment, "key_use", fail)
    assert deploy() == []


@pytest.mark.usefixtures("_production")
@pytest.mark.parametrize("transport, expected", [("", ["I076"]), ("curl", []), ("threads", [])])
def test_libcurl_is_recommended(settings, monkeypatch, transport, expected):
    settings.TMS_WEBHOOKS = {"ENCRYPTION_KEYS": KEYS, "NOTIFY": False, "TRANSPORT": transport}
    monkeypatch.setattr(transports, "has_curl", lambda: False)
    assert ids(deploy()) == expected


def test_the_names_of_the_middleware_are_real():
    assert [import_string(name).__name__ for name in (ACTOR, AUTHENTICATION)] == [
        "ActorMiddleware",
        "AuthenticationMiddleware",
    ]


def test_a_host_without_time_zones_gets_no_further_than_its_checks(settings):
    settings.USE_TZ = False
    with pytest.raises(SystemCheckError, match="E064"):
        call_command("check", tags=[CHECKS_TAG])


# Databases

HINT = (
    'In DATABASES[\'default\'], set "OPTIONS": {"transaction_mode": "IMMEDIATE", "timeout": 20, '
    '"init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"}.'
)
FILE = "/nowhere/db.sqlite3"


@pytest.fixture
def said_of(monkeypatch, no_sources):
    """Return what the check says of a SQLite database with these OPTIONS."""

    def said_of(options, name=FILE):
        settings = {"ENGINE": "django.db.backends.sqlite3", "NAME": name, "OPTIONS": options}
        monkeypatch.setattr(environment, "connections", {"default": DatabaseWrapper(settings, "default")})
        return list(check_databases())

    return said_of


@pytest.mark.parametrize(
    "options, name, expected",
    [
        ({}, FILE, [f"W060: ... -> {HINT}", f"W061: ... -> {HINT}", f"W062: ... -> {HINT}"]),
        (SQLITE_OPTIONS, FILE, []),
        ({"transaction_mode": "immediate", "timeout": 10, "init_command": "pragma Journal_Mode = 'wal'"}, FILE, []),
        (
            {**SQLITE_OPTIONS, "transaction_mode": "DEFERRED"},
            FILE,
            [
                "W060: DATABASES['default']['OPTIONS']['transaction_mode'] is 'DEFERRED': a transaction that reads before "
                'it writes fails with "database is locked" if another transaction wrote in between.'
            ],
        ),
        ({**SQLITE_OPTIONS, "timeout": 2}, FILE, ["W062: DATABASES['default']['OPTIONS']['timeout'] is 2 s: ..."]),
        # In memory
        ({}, ":memory:", []),
        ({}, "file:memorydb_default?mode=memory&cache=shared", []),
    ],
)
def test_defaults_of_sqlite_are_traps(said_of, options, name, expected):
    expect(said_of(options, name), *expected)


@pytest.mark.parametrize("mode, expected", [("wal", []), ("delete", ["W061"])])
def test_a_file_that_has_a_write_ahead_log_already_needs_no_command(said_of, tmp_path, mode, expected):
    file = tmp_path / "db.sqlite3"
    connection = sqlite3.connect(file)
    connection.execute(f"PRAGMA journal_mode={mode}")
    connection.execute("CREATE TABLE something (id)")
    connection.close()
    assert ids(said_of({"transaction_mode": "IMMEDIATE", "timeout": 20}, str(file))) == expected


class TwoDatabases:
    """A router that keeps the people apart."""

    def db_for_write(self, model, **hints):
        return "people" if model is User else "default"


def test_a_model_in_another_database_than_the_outbox_is_pointed_out(no_sources, monkeypatch):
    monkeypatch.setattr(environment, "connections", defaultdict(lambda: SimpleNamespace(vendor="postgresql")))
    users.register()
    classes.register()
    assert list(check_databases()) == []

    monkeypatch.setattr(router, "routers", [TwoDatabases()])
    assert router.db_for_write(Event) == router.db_for_write(Organization) == "default"
    (message,) = check_databases()
    assert message.obj is User
    expect(
        [message],
        "W052: training.User is written to the database 'people', but events are sent from 'default': no event of this "
        "model is sent. -> Let your router send tms_webhooks to 'people' too, or unregister this model and call `emit`.",
    )


@pytest.mark.parametrize(
    "databases, returns, expected",
    [(["default"], False, ["E065"]), (["default"], True, []), (["people"], False, []), (None, False, [])],
)
def test_a_database_that_returns_no_rows_of_an_insert_such_as_mysql_is_refused(
    monkeypatch, databases, returns, expected
):
    features = SimpleNamespace(can_return_rows_from_bulk_insert=returns)
    monkeypatch.setattr(environment, "connections", defaultdict(lambda: SimpleNamespace(features=features)))

    assert ids(check_returning(databases=databases)) == expected
