"""Checks of the environment: the queue, the databases, the middleware, mail, and the customers' site."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage
from django.db import DatabaseError, connections, router
from django.shortcuts import resolve_url
from django.urls import NoReverseMatch, Resolver404, get_resolver, resolve, reverse
from django.utils.module_loading import import_string

from tms_webhooks.access import SuperusersOnly, get_policy
from tms_webhooks.checks.messages import message
from tms_webhooks.checks.settings import is_usable, usable
from tms_webhooks.conf import SETTING_NAME, declared
from tms_webhooks.exceptions import ConfigurationError
from tms_webhooks.models import Event, NotificationAddresses, Webhook
from tms_webhooks.queues import get_queue
from tms_webhooks.queues.base import queue_path
from tms_webhooks.sources.registry import all_sources

AUTHENTICATION = "django.contrib.auth.middleware.AuthenticationMiddleware"
ACTOR = "tms_webhooks.actors.ActorMiddleware"

DJANGO_SENDER = "webmaster@localhost"
"""Django's default of DEFAULT_FROM_EMAIL, which mail servers refuse."""
SMTP_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
COOKIES = ("SESSION_COOKIE_SAMESITE", "CSRF_COOKIE_SAMESITE")

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
        problem = f"{SETTING_NAME}['QUEUE'] is {queue_path()!r}, which can't be created ({error})."
    else:
        return queue.check() if can_run else []
    return [
        message(
            "E008",
            problem,
            hint="Name a subclass of tms_webhooks.queues.Queue that implements `enqueue` and `schedule`.",
        )
    ]


def check_sqlite(**_kwargs: Any) -> Iterator[CheckMessage]:
    """Check the version of SQLite, and warn of settings that refuse or delay the host's writes while webhooks are sent."""
    models: list[Any] = [Event, *(source.model for source in all_sources())]
    for alias in sorted({router.db_for_write(model) for model in models}):
        connection: Any = connections[alias]
        if connection.vendor != "sqlite":
            continue
        if connection.Database.sqlite_version_info < OLDEST_SQLITE:
            yield message(
                "E065",
                f"Python's SQLite is {connection.Database.sqlite_version}, and DATABASES[{alias!r}] needs 3.35 or newer.",
                hint="Use a Python with a newer SQLite, or PostgreSQL or MariaDB.",
            )
        # No worker can reach a database in the memory of another process.
        if connection.is_in_memory_db():
            continue
        options = connection.settings_dict["OPTIONS"]
        hint = f"In DATABASES[{alias!r}], set {SQLITE_OPTIONS}."
        mode, timeout = options.get("transaction_mode"), options.get("timeout", SQLITE_DEFAULT_TIMEOUT)
        if str(mode).upper() not in {"IMMEDIATE", "EXCLUSIVE"}:
            yield message(
                "W060",
                f"DATABASES[{alias!r}]['OPTIONS']['transaction_mode'] is {mode!r}: a transaction that reads before it "
                'writes fails with "database is locked" if another transaction wrote in between.',
                hint=hint,
            )
        if not _has_write_ahead_log(connection.settings_dict):
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


def check_middleware(**_kwargs: Any) -> Iterator[CheckMessage]:
    """Warn if ActorMiddleware runs before the user is known."""
    if [one for one in settings.MIDDLEWARE if one in (ACTOR, AUTHENTICATION)] == [ACTOR, AUTHENTICATION]:
        yield message(
            "W063",
            f"MIDDLEWARE has {ACTOR} before {AUTHENTICATION}: changes made in between are recorded with the actor 'system'.",
            hint=f"Move {ACTOR} below {AUTHENTICATION}.",
        )


def check_time_zones(**_kwargs: Any) -> Iterator[CheckMessage]:
    """Refuse times without a time zone: the app stores, compares and sends each time in UTC."""
    if not settings.USE_TZ:
        yield message(
            "E064",
            "USE_TZ is False, and this app needs times with a time zone: each drain ends with an error before it records a "
            "result. Receivers get no event, or the same event again and again.",
            hint="Set USE_TZ = True, Django's default. If your tables hold local times, convert them first: see the page "
            '"Time zones" of Django\'s documentation.',
        )


def check_contacts(**_kwargs: Any) -> Iterator[CheckMessage]:
    """Check that CONTACTS names a function."""
    path = usable("CONTACTS")
    try:
        is_function = not path or callable(import_string(path))
    except ImportError:
        is_function = False
    if not is_function:
        yield message(
            "E093",
            f"{SETTING_NAME}['CONTACTS'] is {path!r}, which is not a function that can be imported.",
            hint="Write the dotted path of a function that takes an organization and returns a list of e-mail addresses, "
            "or remove the setting.",
        )


def check_recipients(**_kwargs: Any) -> Iterator[CheckMessage]:
    """Warn if no contacts are known at all: then an outage is found by its victims."""
    if usable("NOTIFY") and not usable("CONTACTS") and not has_recipients():
        yield message(
            "W094",
            "No one can be notified of a webhook that fails: neither a webhook nor an organization has contacts, and "
            f"{SETTING_NAME}['CONTACTS'] is empty.",
            hint="Set CONTACTS to a function that returns an organization's e-mail addresses, or enter contacts on the pages "
            f"of webhooks. If you want no notifications, set {SETTING_NAME}['NOTIFY'] to False.",
        )


def has_recipients() -> bool:
    """Return whether contacts are known, or no webhooks exist that would need them."""
    try:
        webhooks = Webhook.objects.existing()
        known = webhooks.exclude(contacts="").exists() or NotificationAddresses.objects.exists()
        return known or not webhooks.exists()
    except DatabaseError:
        return True  # No tables yet.


def check_sender(**_kwargs: Any) -> Iterator[CheckMessage]:
    """Warn if Django's mail settings were never written, so that no mail arrives."""
    # Django 6.1 has MAILERS in place of EMAIL_BACKEND.
    mailers = getattr(settings, "MAILERS", None)
    backend = settings.EMAIL_BACKEND if mailers is None else mailers.get("default", {}).get("BACKEND", SMTP_BACKEND)
    if usable("NOTIFY") and settings.DEFAULT_FROM_EMAIL == DJANGO_SENDER and backend == SMTP_BACKEND:
        yield message(
            "W095",
            f"DEFAULT_FROM_EMAIL is {DJANGO_SENDER!r}, Django's default: mail servers refuse notifications from it.",
            hint="Set EMAIL_HOST (from Django 6.1 on MAILERS) and DEFAULT_FROM_EMAIL, and a timeout of a few seconds. If you want no notifications, "
            f"set {SETTING_NAME}['NOTIFY'] to False.",
        )


def check_customer_site(**_kwargs: Any) -> Iterator[CheckMessage]:
    """Warn of a missing login page, of a policy that admits no customer, and of cookies that frames do not get.

    It reports nothing if the project's URLs mount no customers' site.
    """
    if not _is_mounted():
        return
    url = resolve_url(settings.LOGIN_URL)
    try:
        if url.startswith("/"):
            resolve(url.partition("?")[0])
    except Resolver404:
        yield message(
            "W098",
            f"The customers' site sends users to LOGIN_URL, which is {settings.LOGIN_URL!r}: the project has no such page.",
            hint="Set LOGIN_URL to your login page, as a path or as the name of a URL.",
        )
    # Another check reports a policy that can't be read.
    with suppress(ConfigurationError):
        if type(get_policy()) is SuperusersOnly:
            yield message(
                "W096",
                "On the customers' site only the access policy decides, and the default policy admits only superusers.",
                hint=f"Set {SETTING_NAME}['ACCESS_POLICY'] to your own policy.",
            )
    kept = [name for name in COOKIES if getattr(settings, name) != "None"]
    if usable("FRAME_ANCESTORS") and kept:
        yield message(
            "W097",
            f"{SETTING_NAME}['FRAME_ANCESTORS'] lets other sites embed the customers' site, where browsers send it no "
            f"cookies: {' and '.join(kept)} {'is' if len(kept) == 1 else 'are'} not 'None'.",
            hint="Set them to 'None', and SESSION_COOKIE_SECURE and CSRF_COOKIE_SECURE to True. If the other sites are "
            "subdomains of the same domain, add the id of this warning to SILENCED_SYSTEM_CHECKS.",
        )


def _is_mounted() -> bool:
    if not (apps.is_installed("django.contrib.admin") and hasattr(settings, "ROOT_URLCONF")):
        return False
    from django.contrib.admin.sites import all_sites

    _ = get_resolver().url_patterns  # Imports the module that creates the sites.
    for site in all_sites:
        with suppress(NoReverseMatch):
            if getattr(site, "is_for_customers", False) and reverse(f"{site.name}:index"):
                return True
    return False
