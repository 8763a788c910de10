"""Checks of the app's environment: the queue, the database, the middleware, the time zone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage
from django.db import connections, router

from tms_webhooks.checks.messages import message
from tms_webhooks.checks.settings import is_usable, usable
from tms_webhooks.conf import SETTING_NAME, declared
from tms_webhooks.exceptions import ConfigurationError
from tms_webhooks.models import Event
from tms_webhooks.queues import get_queue
from tms_webhooks.sources.registry import all_sources

AUTHENTICATION = "django.contrib.auth.middleware.AuthenticationMiddleware"
ACTOR = "tms_webhooks.actors.ActorMiddleware"

OLDEST_SQLITE = (3, 35)
"""The first version with ``RETURNING``."""
SHORTEST_TIMEOUT = 10.0
SQLITE_DEFAULT_TIMEOUT = 5.0
SQLITE_OPTIONS = (
    '"OPTIONS": {"transaction_mode": "IMMEDIATE", "timeout": 20, '
    '"init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"}'
)


def check_queue(**_kwargs: Any) -> list[CheckMessage]:
    """Check that the queue can be created, and run the queue's own checks."""
    if not is_usable("QUEUE"):
        return []  # Another check reports it.
    # The queue itself may read any setting; another check reports those that are invalid.
    can_run = all(is_usable(setting.name) for setting in declared())
    try:
        queue = get_queue()
    except ConfigurationError as error:
        problem = str(error)
    except Exception as error:
        if not can_run:
            return []
        if not isinstance(error, TypeError):
            raise
        problem = f"{SETTING_NAME}['QUEUE'] is {usable('QUEUE')!r}, which can't be created ({error})."
    else:
        return queue.check() if can_run else []
    return [
        message(
            "E008",
            problem,
            hint="Name a subclass of tms_webhooks.queues.Queue that implements `enqueue` and `schedule`.",
        )
    ]


def check_sqlite(**_kwargs: Any) -> list[CheckMessage]:
    """Check the version of SQLite, and warn of settings that refuse or delay the host's writes while webhooks are sent."""
    aliases = {router.db_for_write(Event), *(router.db_for_write(source.model) for source in all_sources())}
    messages: list[CheckMessage] = []
    for alias in sorted(aliases):
        connection: Any = connections[alias]
        if connection.vendor == "sqlite" and connection.Database.sqlite_version_info < OLDEST_SQLITE:
            messages.append(
                message(
                    "E065",
                    f"Python's SQLite is {connection.Database.sqlite_version}, and DATABASES[{alias!r}] needs 3.35 or newer.",
                    hint="Use a Python with a newer SQLite, or PostgreSQL or MariaDB.",
                )
            )
        # No worker can reach a database in the memory of another process.
        if connection.vendor == "sqlite" and not connection.is_in_memory_db():
            messages += _sqlite_traps(alias, connection.settings_dict)
    return messages


def _sqlite_traps(alias: str, database: Mapping[str, Any]) -> Iterator[CheckMessage]:
    options = database["OPTIONS"]
    hint = f"In DATABASES[{alias!r}], set {SQLITE_OPTIONS}."
    mode, timeout = options.get("transaction_mode"), options.get("timeout", SQLITE_DEFAULT_TIMEOUT)
    if str(mode).upper() not in {"IMMEDIATE", "EXCLUSIVE"}:
        yield message(
            "W060",
            f"DATABASES[{alias!r}]['OPTIONS']['transaction_mode'] is {mode!r}: a transaction that reads before it "
            'writes fails with "database is locked" if another transaction wrote in between.',
            hint=hint,
        )
    if not _has_write_ahead_log(database):
        yield message(
            "W061",
            f"DATABASES[{alias!r}]['OPTIONS']['init_command'] does not enable the write-ahead log: readers and "
            "the worker's writes block each other.",
            hint=hint,
        )
    if timeout < SHORTEST_TIMEOUT:
        yield message(
            "W062",
            f"DATABASES[{alias!r}]['OPTIONS']['timeout'] is {timeout:g} s: a write that waits longer for the worker "
            'fails with "database is locked".',
            hint=hint,
        )


def _has_write_ahead_log(database: Mapping[str, Any]) -> bool:
    """Return True if the connection enables the write-ahead log, or the database file already uses it."""
    if re.search(r"journal_mode\s*=\s*'?wal", str(database["OPTIONS"].get("init_command")), re.IGNORECASE):
        return True
    try:
        with Path(database["NAME"]).open("rb") as file:
            return file.read(19)[18:] == b"\x02"
    except OSError:
        return False


def check_middleware(**_kwargs: Any) -> list[CheckMessage]:
    """Warn if ActorMiddleware runs before the user is known."""
    order = list(settings.MIDDLEWARE)
    if ACTOR not in order or AUTHENTICATION not in order or order.index(ACTOR) > order.index(AUTHENTICATION):
        return []
    return [
        message(
            "W063",
            f"MIDDLEWARE has {ACTOR} before {AUTHENTICATION}: changes made in between are recorded with the actor 'system'.",
            hint=f"Move {ACTOR} below {AUTHENTICATION}.",
        )
    ]


def check_time_zones(**_kwargs: Any) -> list[CheckMessage]:
    """Refuse times without a time zone: the app stores, compares and sends each time in UTC."""
    if settings.USE_TZ:
        return []
    return [
        message(
            "E064",
            "USE_TZ is False, and this app needs times with a time zone: each drain ends with an error before it records a "
            "result. Receivers get no event, or the same event again and again.",
            hint="Set USE_TZ = True, Django's default. If your tables hold local times, convert them first: see the page "
            '"Time zones" of Django\'s documentation.',
        )
    ]
