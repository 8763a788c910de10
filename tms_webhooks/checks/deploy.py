"""Checks for where the system faces the internet; they run with ``check --deploy``."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage
from django.db import DatabaseError, connections, router

from tms_webhooks.checks.messages import message
from tms_webhooks.checks.settings import is_usable, usable
from tms_webhooks.conf import SETTING_NAME
from tms_webhooks.exceptions import ConfigurationError
from tms_webhooks.models import Event
from tms_webhooks.net import urls

MOST_SECONDS_APART = 30.0
"""A tenth of what receivers' libraries allow."""


def check_encryption_keys(**_kwargs: Any) -> list[CheckMessage]:
    """Warn where the stored secrets stand or fall with ``SECRET_KEY``."""
    if usable("ENCRYPTION_KEYS"):
        return []
    return [
        message(
            "W070",
            f"{SETTING_NAME}['ENCRYPTION_KEYS'] is empty: secrets are encrypted with a key derived from SECRET_KEY, and "
            "unreadable once that changes.",
            hint="Make a key with cryptography.fernet.Fernet.generate_key().decode(), keep it outside the code, and put "
            "it into the list. What is encrypted already stays readable if "
            "tms_webhooks.models.encryption.derived_key(SECRET_KEY) follows it there.",
        )
    ]


def check_targets(**_kwargs: Any) -> list[CheckMessage]:
    """Warn of what opens the way to places where webhooks must not go."""
    return [*_check_schemes(), *_check_networks(), *_check_hosts()]


def _check_schemes() -> Iterator[CheckMessage]:
    if "http" in usable("ALLOWED_SCHEMES"):
        yield message(
            "W071",
            f"{SETTING_NAME}['ALLOWED_SCHEMES'] holds 'http': payloads and header values travel in the clear.",
            hint="Leave only 'https'.",
        )


def _check_networks() -> Iterator[CheckMessage]:
    try:
        networks = urls.allowed_networks() if is_usable("ALLOWED_CIDRS") else ()
    except ConfigurationError:
        return
    for network in networks:
        if network.prefixlen == 0:
            yield message(
                "W072",
                f"{SETTING_NAME}['ALLOWED_CIDRS'] holds '{network}': any webhook can reach your internal network and "
                "your cloud's metadata.",
                hint="Name only the networks that your receivers are in, such as '10.20.0.0/16'.",
            )


def _check_hosts() -> Iterator[CheckMessage]:
    hosts = usable("ALLOWED_HOSTS")
    if hosts:
        yield message(
            "I073",
            f"{SETTING_NAME}['ALLOWED_HOSTS'] exempts {', '.join(hosts)} from the address check.",
            hint="Make sure that every organization may call them; remove those that nobody needs.",
        )


def check_strictness(**_kwargs: Any) -> list[CheckMessage]:
    """Warn where a mistake in a payload costs the host its own change, as it should in tests alone."""
    wanted = usable("STRICT_PAYLOADS")
    if not (settings.DEBUG if wanted is None else wanted):
        return []
    why = "DEBUG is on" if wanted is None else f"{SETTING_NAME}['STRICT_PAYLOADS'] is True"
    return [
        message(
            "W074",
            f"{why}: a payload that breaks its schema raises in the middle of the host's save, instead of being logged.",
            hint="Turn DEBUG off and leave STRICT_PAYLOADS out: payloads are strict in tests and under DEBUG.",
        )
    ]


def check_clock(**_kwargs: Any) -> list[CheckMessage]:
    """Warn where this machine's clock is off: receivers refuse a signature that is minutes old, or not yet made."""
    connection = connections[router.db_for_write(Event)]
    if connection.vendor == "sqlite":
        return []
    try:
        seconds = _seconds_ahead(connection)
    except DatabaseError:
        return []
    if abs(seconds) <= MOST_SECONDS_APART:
        return []
    return [
        message(
            "W075",
            f"This machine's clock is {abs(seconds):.0f} s {'ahead of' if seconds > 0 else 'behind'} the database's: "
            "receivers refuse requests whose timestamp is minutes away from their own time.",
            hint="Run a time service, such as chrony or systemd-timesyncd, on both.",
        )
    ]


def _seconds_ahead(connection: Any) -> float:
    """Return by how much this machine's clock is ahead of the database's."""
    sql = (
        "SELECT EXTRACT(EPOCH FROM clock_timestamp())"
        if connection.vendor == "postgresql"
        else "SELECT UNIX_TIMESTAMP(NOW(6))"
    )
    with connection.cursor() as cursor:
        before = time.time()
        cursor.execute(sql)
        theirs = float(cursor.fetchone()[0])
    return (before + time.time()) / 2 - theirs
