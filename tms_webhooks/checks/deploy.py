"""Checks for production; they run with ``check --deploy``."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage
from django.db import DatabaseError, connections, router

from tms_webhooks.checks.messages import message
from tms_webhooks.checks.settings import is_usable, usable
from tms_webhooks.conf import SETTING_NAME
from tms_webhooks.db import clock
from tms_webhooks.exceptions import ConfigurationError
from tms_webhooks.models import Event
from tms_webhooks.models.reencryption import key_use
from tms_webhooks.net import transports, urls

MOST_SECONDS_APART = 30.0
"""A tenth of the difference that receivers' libraries allow."""


MOST_VALUES = 10_000
"""Values of each column that are examined."""


def check_encryption_keys(**_kwargs: Any) -> Iterator[CheckMessage]:
    """Warn if the stored secrets depend on ``SECRET_KEY``."""
    if not usable("ENCRYPTION_KEYS"):
        yield message(
            "W070",
            f"{SETTING_NAME}['ENCRYPTION_KEYS'] is empty: secrets are encrypted with a key derived from SECRET_KEY. "
            "They can't be decrypted after SECRET_KEY changes.",
            hint="Generate a key with cryptography.fernet.Fernet.generate_key().decode(), store it outside the code, and add "
            "it to the list. Existing secrets stay readable; then run manage.py webhooks_reencrypt.",
        )


def check_stored_secrets(**_kwargs: Any) -> Iterator[CheckMessage]:
    """Report stored values that no key decrypts, and those that depend on another key than the newest."""
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
    try:
        networks = urls.allowed_networks() if is_usable("UNCHECKED_CIDRS") else ()
    except ConfigurationError:
        networks = ()  # another check reports it
    for network in networks:
        if network.prefixlen == 0:
            yield message(
                "W072",
                f"{SETTING_NAME}['UNCHECKED_CIDRS'] contains '{network}': any webhook can reach your internal network "
                "and your cloud's metadata service.",
                hint="List only the networks of your receivers, such as '10.20.0.0/16'.",
            )
    hosts = usable("UNCHECKED_HOSTS")
    if hosts:
        yield message(
            "I073",
            f"{SETTING_NAME}['UNCHECKED_HOSTS'] exempts {', '.join(hosts)} from the address check.",
            hint="Make sure that every organization may call these hosts. Remove the others.",
        )


def check_strictness(**_kwargs: Any) -> Iterator[CheckMessage]:
    """Warn if an invalid payload makes the host's save fail in production."""
    wanted = usable("STRICT_PAYLOADS")
    if settings.DEBUG if wanted is None else wanted:
        reason = "DEBUG is on" if wanted is None else f"{SETTING_NAME}['STRICT_PAYLOADS'] is True"
        yield message(
            "W074",
            f"{reason}: a payload that breaks its schema raises an error in the host's save() instead of being logged.",
            hint="Turn DEBUG off and remove STRICT_PAYLOADS: by default payloads are strict in tests and under DEBUG only.",
        )


def check_clock(**_kwargs: Any) -> Iterator[CheckMessage]:
    """Warn if this machine's clock differs from the database's: receivers refuse timestamps that are minutes off."""
    connection: Any = connections[router.db_for_write(Event)]
    if connection.vendor == "sqlite":
        return
    try:
        measured = clock.measure(connection)
    except DatabaseError:
        return
    seconds = time.time() - (measured.seconds + clock.ticks() - measured.at)
    if abs(seconds) > MOST_SECONDS_APART:
        yield message(
            "W075",
            f"This machine's clock is {abs(seconds):.0f} s {'ahead of' if seconds > 0 else 'behind'} the database's. "
            "Workers use the database's clock, and receivers refuse requests whose timestamp is minutes off.",
            hint="Run a time service, such as chrony or systemd-timesyncd, on both.",
        )


def check_transport(**_kwargs: Any) -> Iterator[CheckMessage]:
    """Recommend libcurl where it is neither installed nor turned off."""
    if not (usable("TRANSPORT") or transports.has_curl()):
        yield message(
            "I076",
            "pycurl is not installed: each request occupies a thread, and takes several times the CPU time.",
            hint="Install it with pip install 'tms-webhooks[curl]', or set "
            f"{SETTING_NAME}['TRANSPORT'] to 'threads' to keep the threads.",
        )


def check_interpreter(**_kwargs: Any) -> Iterator[CheckMessage]:
    """Warn if Python runs without the global interpreter lock."""
    # Python 3.13 added the function.
    if not getattr(sys, "_is_gil_enabled", lambda: True)():
        yield message(
            "W099",
            "Python runs without the global interpreter lock. Free-threaded Python is not supported: the app is not tested "
            "with it.",
            hint="Use the standard build of Python, or set the environment variable PYTHON_GIL=1.",
        )
