"""What surrounds the app: its queue, the databases, the middleware, the time zone, mail and the customers' site."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.core import checks
from django.core.checks import CheckMessage, run_checks
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.db import router
from django.db.backends.sqlite3.base import DatabaseWrapper
from django.urls import include, path
from django.utils.module_loading import import_string

from example_project.databases import SQLITE_OPTIONS
from example_project.training.models import Organization, User
from tests.unit.checks.conftest import classes, expect, ids, only, users
from tms_webhooks.checks import environment
from tms_webhooks.checks.environment import (
    ACTOR,
    AUTHENTICATION,
    check_contacts,
    check_customer_site,
    check_middleware,
    check_queue,
    check_recipients,
    check_sender,
    check_sqlite,
    check_time_zones,
)
from tms_webhooks.checks.organizations import check_tree
from tms_webhooks.checks.sources import check_databases
from tms_webhooks.conf import CHECKS_TAG, app_settings
from tms_webhooks.models import Event
from tms_webhooks.queues.base import Queue, get_queue
from tms_webhooks.queues.django_q import DjangoQQueue
from tms_webhooks.queues.silent import SilentQueue

HERE = __name__
SESSIONS = "django.contrib.sessions.middleware.SessionMiddleware"
SMTP = "django.core.mail.backends.smtp.EmailBackend"

urlpatterns = [path("api/", include("tms_webhooks.api.urls"))]
"""Those of a project without a customers' site."""


def contacts(organization: object) -> list[str]:
    return ["ann@example.com"]


NOT_CALLABLE = 5


class HalfQueue(Queue):
    """Lacks `every`."""

    def enqueue(self, function, *args):
        raise NotImplementedError


class WorriedQueue(SilentQueue):
    """Has something to say of itself."""

    def check(self):
        return [checks.Warning("No lamp.", hint="Light one.", id="host.W001")]


@pytest.mark.parametrize(("is_installed", "queue"), [(True, DjangoQQueue), (False, SilentQueue)])
def test_the_default_is_django_q2_where_it_is_installed_or_no_queue(
    settings, monkeypatch: pytest.MonkeyPatch, is_installed: bool, queue: type[Queue]
) -> None:
    settings.TMS_WEBHOOKS = {}
    monkeypatch.setattr(apps, "is_installed", lambda name: name == "django_q" and is_installed)
    assert type(get_queue()) is queue
    assert list(check_queue()) == []


class HastyQueue(SilentQueue):
    """Reads a setting when it is made."""

    def __init__(self) -> None:
        self.minutes = app_settings.DRAIN_BUDGET_SECONDS / 60


class BrokenQueue(SilentQueue):
    """Fails when it is made."""

    def __init__(self) -> None:
        raise KeyError("lamp")


ROWS: list[tuple[Callable[..., Any], dict[str, Any], list[str]]] = [
    *(
        (
            check_queue,
            {"QUEUE": queue},
            [
                f"E008: TMS_WEBHOOKS['QUEUE'] is {queue!r}...{text}... "
                "-> Name a subclass of tms_webhooks.queues.Queue that implements `enqueue` and `schedule`."
            ],
        )
        for queue, text in (
            (
                "tms_webhooks.queues.rabbit.RabbitQueue",
                "which can't be imported (No module named 'tms_webhooks.queues.rabbit')",
            ),
            (
                "tms_webhooks.queues.base.Kyu",
                'which can\'t be imported (Module "tms_webhooks.queues.base" does not define',
            ),
            ("nonsense", "which can't be imported (nonsense doesn't look like a module path)"),
            ("tms_webhooks.models.Webhook", "name a subclass of tms_webhooks.queues.Queue."),
            (f"{HERE}.HalfQueue", "which can't be created"),
        )
    ),
    (check_queue, {"QUEUE": f"{HERE}.WorriedQueue"}, ["host.W001"]),
    # A queue that can't read its settings is not reported while they are wrong, and none is asked.
    (check_queue, {"QUEUE": f"{HERE}.HastyQueue", "DRAIN_BUDGET_SECONDS": "long"}, []),
    (check_queue, {"QUEUE": f"{HERE}.HastyQueue"}, []),
    (check_queue, {"QUEUE": 3}, []),
    (check_queue, {"DRAIN_BUDGET_SECONDS": "long"}, []),
    (
        check_middleware,
        {"MIDDLEWARE": [ACTOR, SESSIONS, AUTHENTICATION]},
        [
            f"W063: MIDDLEWARE has {ACTOR} before {AUTHENTICATION}: changes made in between are recorded with the actor "
            f"'system'. -> Move {ACTOR} below {AUTHENTICATION}."
        ],
    ),
    *(
        (check_middleware, {"MIDDLEWARE": order}, [])
        for order in ([AUTHENTICATION, ACTOR], [ACTOR], [AUTHENTICATION], [])
    ),
    (check_time_zones, {}, []),
    (
        check_time_zones,
        {"USE_TZ": False},
        [
            "E064: USE_TZ is False, and this app needs times with a time zone: each drain ends with an error before it "
            "records a result. Receivers get no event, or the same event again and again. "
            "-> Set USE_TZ = True, Django's default...."
        ],
    ),
    # Contacts and mail
    *(
        (
            check_contacts,
            {"CONTACTS": name},
            [f"E093: TMS_WEBHOOKS['CONTACTS'] is '{name}', which is not a function that can be imported."],
        )
        for name in ("no.such.function", "contacts", f"{HERE}.NOT_CALLABLE")
    ),
    *((check_contacts, {"CONTACTS": name}, []) for name in ("", f"{HERE}.contacts")),
    (check_recipients, {}, ["W094: No one can be notified of a webhook that fails..."]),
    (check_recipients, {"CONTACTS": f"{HERE}.contacts"}, []),
    (check_sender, {}, ["W095"]),
    (check_sender, {"DEFAULT_FROM_EMAIL": "tms@example.com"}, []),
    *((check, {"NOTIFY": False}, []) for check in (check_recipients, check_sender)),
    # The tree of organizations; a value of the wrong kind is reported by another check.
    *((check_tree, {"ORGANIZATION_PARENT": name}, []) for name in ("", "parent", 7)),
    *(
        (
            check_tree,
            {"ORGANIZATION_PARENT": name},
            [
                f"E016: ORGANIZATION_PARENT is {name!r}, which is not a foreign key of training.Organization to itself. "
                '-> ...Did you mean "parent"?'
            ],
        )
        for name in ("parents", "name", "children", "parent_id", "users")
    ),
    # The customers' site. A policy that is none is left to its own check.
    (check_customer_site, {}, []),
    (check_customer_site, {"ROOT_URLCONF": HERE, "LOGIN_URL": "/accounts/login/", "ACCESS_POLICY": None}, []),
    (
        check_customer_site,
        {"LOGIN_URL": "/accounts/login/"},
        ["W098: ...LOGIN_URL, which is '/accounts/login/': the project has no such page."],
    ),
    *(
        (check_customer_site, {"LOGIN_URL": login}, [])
        for login in ("https://sso.example.com/login", "login", "/login/?from=hooks")
    ),
    (check_customer_site, {"ACCESS_POLICY": None}, ["W096: ...admits only superusers."]),
    *((check_customer_site, {"ACCESS_POLICY": policy}, []) for policy in ("nonsense", "tms_webhooks.models.Webhook")),
    *(
        (
            check_customer_site,
            {"FRAME_ANCESTORS": ["https://portal.example.com"], **dict.fromkeys(sent, "None")},
            [f"W097: ...{names} not 'None'."] if names else [],
        )
        for sent, names in (
            ([], "SESSION_COOKIE_SAMESITE and CSRF_COOKIE_SAMESITE are"),
            (["CSRF_COOKIE_SAMESITE"], "SESSION_COOKIE_SAMESITE is"),
            (["CSRF_COOKIE_SAMESITE", "SESSION_COOKIE_SAMESITE"], ""),
        )
    ),
]


@pytest.fixture
def _unreachable(monkeypatch, settings) -> None:
    """An installation without any contacts, whose mail settings were never written."""
    monkeypatch.setattr(environment, "has_recipients", lambda: False)
    settings.DEFAULT_FROM_EMAIL = "webmaster@localhost"
    if hasattr(settings, "MAILERS"):
        settings.MAILERS = {"default": {"BACKEND": SMTP}}
    else:
        settings.EMAIL_BACKEND = SMTP


@pytest.mark.usefixtures("_unreachable")
@pytest.mark.parametrize(("check", "written", "expected"), ROWS)
def test_the_environment_is_checked(settings, check, written: dict[str, Any], expected: list[str]) -> None:
    of_app = {**settings.TMS_WEBHOOKS}
    for name, value in written.items():
        if hasattr(settings, name):
            setattr(settings, name, value)
        else:
            of_app[name] = value
    settings.TMS_WEBHOOKS = {name: value for name, value in of_app.items() if value is not None}

    expect(check(), *expected)


def test_contacts_of_a_webhook_are_enough(monkeypatch, settings) -> None:
    monkeypatch.setattr(environment, "has_recipients", lambda: True)
    settings.TMS_WEBHOOKS = {}
    assert ids(check_recipients()) == []


def test_a_queue_is_not_asked_while_the_settings_are_no_dictionary(settings) -> None:
    settings.TMS_WEBHOOKS = ["QUEUE"]
    assert check_queue() == []


def test_a_path_that_leads_to_no_queue_is_refused_together_with_the_value_of_another_setting(settings) -> None:
    settings.TMS_WEBHOOKS = {"QUEUE": "nonsense", "ALLOWED_PORTS": "443"}
    messages = run_checks(tags=[CHECKS_TAG])
    assert sorted(number for number in ids(messages) if number.startswith("E")) == ["E003", "E008"]


def test_a_mistake_in_a_queue_is_not_hidden_while_all_settings_are_right(settings) -> None:
    settings.TMS_WEBHOOKS = {**settings.TMS_WEBHOOKS, "QUEUE": f"{HERE}.BrokenQueue"}
    with pytest.raises(KeyError, match="lamp"):
        check_queue()


def test_the_names_of_the_middleware_are_real() -> None:
    assert [import_string(name).__name__ for name in (ACTOR, AUTHENTICATION)] == [
        "ActorMiddleware",
        "AuthenticationMiddleware",
    ]


def test_a_host_without_time_zones_gets_no_further_than_its_checks(settings) -> None:
    settings.USE_TZ = False
    with pytest.raises(SystemCheckError, match="E064"):
        call_command("check", tags=[CHECKS_TAG])


# Databases

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
        return list(check_sqlite())

    return said_of


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [f"W060: ... -> {HINT}", f"W061: ... -> {HINT}", f"W062: ... -> {HINT}"]),
        (SQLITE_OPTIONS, []),
        ({"transaction_mode": "immediate", "timeout": 10, "init_command": "pragma Journal_Mode = 'wal'"}, []),
        (
            {**SQLITE_OPTIONS, "transaction_mode": "DEFERRED"},
            [
                "W060: DATABASES['default']['OPTIONS']['transaction_mode'] is 'DEFERRED': a transaction that reads before "
                'it writes fails with "database is locked" if another transaction wrote in between.'
            ],
        ),
        ({**SQLITE_OPTIONS, "timeout": 2}, ["W062: DATABASES['default']['OPTIONS']['timeout'] is 2 s: ..."]),
    ],
)
def test_defaults_of_sqlite_are_traps(said_of, options: dict[str, Any], expected: list[str]) -> None:
    expect(said_of(options), *expected)


def test_a_version_of_sqlite_without_returning_is_refused(said_of, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3.dbapi2, "sqlite_version_info", (3, 34, 1))
    monkeypatch.setattr(sqlite3.dbapi2, "sqlite_version", "3.34.1")

    expect(said_of(SQLITE_OPTIONS), "E065: Python's SQLite is 3.34.1, and DATABASES['default'] needs 3.35 or newer.")


@pytest.mark.parametrize(("mode", "expected"), [("wal", []), ("delete", ["W061"])])
def test_a_file_that_has_a_write_ahead_log_already_needs_no_command(
    said_of, tmp_path: Path, mode: str, expected: list[str]
) -> None:
    file = tmp_path / "db.sqlite3"
    connection = sqlite3.connect(file)
    connection.execute(f"PRAGMA journal_mode={mode}")
    connection.execute("CREATE TABLE something (id)")
    connection.close()
    assert ids(said_of({"transaction_mode": "IMMEDIATE", "timeout": 20}, str(file))) == expected


@pytest.mark.parametrize("name", [":memory:", "file:memorydb_default?mode=memory&cache=shared"])
def test_a_database_in_memory_is_left_alone(said_of, name: str) -> None:
    assert said_of({}, name) == []


def test_another_database_is_left_alone(monkeypatch: pytest.MonkeyPatch, no_sources: None) -> None:
    class Server:
        vendor = "postgresql"

    monkeypatch.setattr(environment, "connections", {"default": Server()})
    assert ids(check_sqlite()) == []


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
    assert only(check_databases(), "W052").obj is User
    expect(
        check_databases(),
        "W052: training.User is written to the database 'people', but events are sent from 'default': no event of this "
        "model is sent. -> Let your router send tms_webhooks to 'people' too, or unregister this model and call `emit`.",
    )
