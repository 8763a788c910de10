"""Checks of the environment: the queue, the databases, the middleware, mail, and production.

The last ones run with ``check --deploy``.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage
from django.db import DatabaseError, connections, router

from tms_webhooks.checks.messages import message, message_of
from tms_webhooks.checks.settings import is_usable, usable
from tms_webhooks.conf import SETTING_NAME, declared
from tms_webhooks.exceptions import ConfigurationError
from tms_webhooks.models import Event, Webhook
from tms_webhooks.models.reencryption import key_use
from tms_webhooks.net import transports, urls
from tms_webhooks.queues import get_queue
from tms_webhooks.sources.registry import all_sources

AUTHENTICATION = "django.contrib.auth.middleware.AuthenticationMiddleware"
ACTOR = "tms_webhooks.actors.ActorMiddleware"

DJANGO_SENDER = "webmaster@localhost"
"""Django's default of DEFAULT_FROM_EMAIL, which mail servers refuse."""
SMTP_BACKEND = "django.core.mail.backends.smtp.EmailBackend"

SHORTEST_TIMEOUT, SQLITE_DEFAULT_TIMEOUT = 10.0, 5.0
SQLITE_OPTIONS = (
    '"OPTIONS": {"transaction_mode": "IMMEDIATE", "timeout": 20, '
    '"init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"}'
)

MOST_VALUES = 10_000
"""Encrypted values of each column that are examined."""


def check_queue(**_kwargs: Any) -> list[CheckMessage]:
    """Check that the queue can be created, and run the queue's own checks. It may read any setting, so all must be valid."""
    if not all(is_usable(setting.name) for setting in declared()):
        return []
    try:
        return get_queue().check()
    except ConfigurationError as error:
        return [message_of(error)]


def check_databases(**_kwargs: Any) -> Iterator[CheckMessage]:
    """Warn of models in another database than their events, and of options of SQLite that refuse or delay writes."""
    outbox = router.db_for_write(Event)
    aliases = {source.model: router.db_for_write(source.model) for source in all_sources()}
    for model, alias in aliases.items():
        if alias != outbox:
            yield message(
                "W052",
                f"{model._meta.label} is written to the database {alias!r}, but events are sent from {outbox!r}: no event "
                "of this model is sent.",
                hint=f"Let your router send tms_webhooks to {alias!r} too, or unregister this model and call `emit`.",
                obj=model,
            )
    for alias in sorted({outbox, *aliases.values()}):
        connection: Any = connections[alias]
        # No worker can reach a database in the memory of another process.
        if connection.vendor == "sqlite" and not connection.is_in_memory_db():
            yield from _check_sqlite(alias, connection.settings_dict)


def _check_sqlite(alias: str, database: Mapping[str, Any]) -> Iterator[CheckMessage]:
    options, header = database["OPTIONS"], b""
    mode, timeout = options.get("transaction_mode"), options.get("timeout", SQLITE_DEFAULT_TIMEOUT)
    # A file may have a write-ahead log already.
    with suppress(OSError), Path(database["NAME"]).open("rb") as file:
        header = file.read(19)
    has_log = re.search(r"journal_mode\s*=\s*'?wal", str(options.get("init_command")), re.IGNORECASE)
    for number, is_right, name, problem in (
        (
            "W060",
            str(mode).upper() in {"IMMEDIATE", "EXCLUSIVE"},
            "transaction_mode",
            f'is {mode!r}: a transaction that reads before it writes fails with "database is locked" if another '
            "transaction wrote in between.",
        ),
        (
            "W061",
            has_log or header[18:] == b"\x02",
            "init_command",
            "does not enable the write-ahead log: readers and the worker's writes block each other.",
        ),
        (
            "W062",
            timeout >= SHORTEST_TIMEOUT,
            "timeout",
            f'is {timeout:g} s: a write that waits longer for the worker fails with "database is locked".',
        ),
    ):
        if not is_right:
            text = f"DATABASES[{alias!r}]['OPTIONS'][{name!r}] {problem}"
            yield message(number, text, hint=f"In DATABASES[{alias!r}], set {SQLITE_OPTIONS}.")


def check_returning(*, databases: Collection[str] | None = None, **_kwargs: Any) -> Iterator[CheckMessage]:
    """Refuse a database that can't return the rows of an insert. MySQL and MariaDB differ only once connected."""
    alias = router.db_for_write(Event)
    if alias in (databases or ()) and not connections[alias].features.can_return_rows_from_bulk_insert:
        yield message(
            "E065",
            f"The database {alias!r} has no INSERT ... RETURNING, which numbers events: none would be sent.",
            hint="Use PostgreSQL, MariaDB or SQLite. MySQL is not supported.",
        )


def check_django_settings(**_kwargs: Any) -> Iterator[CheckMessage]:
    """Refuse times without a time zone, and warn if `ActorMiddleware` runs before the user is known."""
    if [name for name in settings.MIDDLEWARE if name in (ACTOR, AUTHENTICATION)] == [ACTOR, AUTHENTICATION]:
        yield message(
            "W063",
            f"MIDDLEWARE has {ACTOR} before {AUTHENTICATION}: changes made in between are recorded with the actor 'system'.",
            hint=f"Move {ACTOR} below {AUTHENTICATION}.",
        )
    if not settings.USE_TZ:
        yield message(
            "E064",
            "USE_TZ is False, and this app needs times with a time zone: each drain ends with an error before it records a "
            "result. Receivers get no event, or the same event again and again.",
            hint="Set USE_TZ = True, Django's default. If your tables hold local times, convert them first: see the page "
            '"Time zones" of Django\'s documentation.',
        )


# With --deploy


def check_keys(**_kwargs: Any) -> Iterator[CheckMessage]:
    """Warn of secrets that depend on ``SECRET_KEY``, that no key decrypts, or that need another key than the newest."""
    if not usable("ENCRYPTION_KEYS"):
        yield message(
            "W070",
            f"{SETTING_NAME}['ENCRYPTION_KEYS'] is empty: secrets are encrypted with a key derived from SECRET_KEY. "
            "They can't be decrypted after SECRET_KEY changes.",
            hint="Generate a key with cryptography.fernet.Fernet.generate_key().decode(), store it outside the code, and add "
            "it to the list. Existing secrets stay readable; then run manage.py webhooks_reencrypt.",
        )
    try:
        found = key_use(limit=MOST_VALUES)
    except (DatabaseError, ConfigurationError):
        return  # no tables yet, or a malformed key, which another check reports
    if found.unreadable:
        yield message(
            "W077",
            f"{found.unreadable} stored secrets or header values can't be decrypted with any key.",
            hint=f"Put the key that encrypted them at the end of {SETTING_NAME}['ENCRYPTION_KEYS'], or the old SECRET_KEY "
            "into SECRET_KEY_FALLBACKS. If it is lost, rotate the secrets and enter the header values again.",
        )
    if found.depending:
        yield message(
            "I078",
            f"{found.depending} stored secrets or header values need another key than the newest: {found.older} an older "
            f"one, {found.derived} the one derived from SECRET_KEY. They become unreadable without it.",
            hint="Run manage.py webhooks_reencrypt before you remove an old key or change SECRET_KEY.",
        )


def check_targets(**_kwargs: Any) -> Iterator[CheckMessage]:
    """Warn of settings that let webhooks reach unsafe targets."""
    if "http" in usable("ALLOWED_SCHEMES"):
        yield message(
            "W071",
            f"{SETTING_NAME}['ALLOWED_SCHEMES'] contains 'http': payloads and header values are sent unencrypted.",
            hint="Allow only 'https'.",
        )
    # Another check reports an entry that is not a network.
    with suppress(ConfigurationError):
        for network in urls.allowed_networks() if is_usable("UNCHECKED_CIDRS") else ():
            if network.prefixlen == 0:
                yield message(
                    "W072",
                    f"{SETTING_NAME}['UNCHECKED_CIDRS'] contains '{network}': any webhook can reach your internal network "
                    "and your cloud's metadata service.",
                    hint="List only the networks of your receivers, such as '10.20.0.0/16'.",
                )


def check_transport(**_kwargs: Any) -> Iterator[CheckMessage]:
    """Recommend the faster transport."""
    if not (usable("TRANSPORT") or transports.has_curl()):
        yield message(
            "I076",
            "pycurl is not installed: each request occupies a thread, and takes several times the CPU time.",
            hint="Install it with pip install 'tms-webhooks[curl]', or set "
            f"{SETTING_NAME}['TRANSPORT'] to 'threads' to keep the threads.",
        )


def check_notifications(**_kwargs: Any) -> Iterator[CheckMessage]:
    """Warn if no contacts are known at all, or if mail is not set up."""
    if not usable("NOTIFY"):
        return
    if not usable("CONTACTS") and not has_recipients():
        yield message(
            "W094",
            "No one can be notified of a webhook that fails: neither a webhook nor an organization has contacts, and "
            f"{SETTING_NAME}['CONTACTS'] is empty.",
            hint="Set CONTACTS to a function that returns an organization's e-mail addresses, or enter contacts on the pages "
            f"of webhooks. If you want no notifications, set {SETTING_NAME}['NOTIFY'] to False.",
        )
    # Django 6.1 has MAILERS in place of EMAIL_BACKEND.
    mailers = getattr(settings, "MAILERS", None)
    backend = settings.EMAIL_BACKEND if mailers is None else mailers.get("default", {}).get("BACKEND", SMTP_BACKEND)
    if (settings.DEFAULT_FROM_EMAIL, backend) == (DJANGO_SENDER, SMTP_BACKEND):
        yield message(
            "W095",
            f"DEFAULT_FROM_EMAIL is {DJANGO_SENDER!r}, Django's default: mail servers refuse notifications from it.",
            hint="Set EMAIL_HOST (from Django 6.1 on MAILERS) and DEFAULT_FROM_EMAIL, and a timeout of a few seconds. If you "
            f"want no notifications, set {SETTING_NAME}['NOTIFY'] to False.",
        )


def has_recipients() -> bool:
    """Return whether contacts are known, or no webhooks exist that would need them."""
    try:
        webhooks = Webhook.objects.existing()
        return webhooks.exclude(contacts="").exists() or not webhooks.exists()
    except DatabaseError:
        return True  # No tables yet.
