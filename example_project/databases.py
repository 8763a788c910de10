"""Turn a database URL into Django's settings for it."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

ENGINES = {"sqlite": "sqlite3", "postgres": "postgresql", "postgresql": "postgresql", "mysql": "mysql"}

SQLITE_OPTIONS = {
    # Otherwise a transaction that reads before it writes fails if another one wrote in between.
    "transaction_mode": "IMMEDIATE",
    "timeout": 20,
    # Reads continue during a write. A power failure may lose the last commits but not the file.
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
}


def database_from_url(url: str) -> dict[str, Any]:
    """Return an entry of ``DATABASES`` for a URL.

    ``sqlite:///relative.sqlite3``, ``sqlite:////absolute.sqlite3``, ``postgres://user:password@host:5432/name`` or
    ``mysql://root@127.0.0.1/name``; a query string becomes ``OPTIONS``. Raises ``ValueError`` for another scheme.
    """
    parts = urlsplit(url)
    if parts.scheme not in ENGINES:
        raise ValueError(f"A database URL starts with one of {', '.join(ENGINES)}, not with {parts.scheme!r}.")
    sqlite = parts.scheme == "sqlite"
    return {
        "ENGINE": f"django.db.backends.{ENGINES[parts.scheme]}",
        "NAME": unquote(parts.path[1:]),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": parts.hostname or "",
        "PORT": str(parts.port or ""),
        # A new connection for every task would make a queue in the database slow.
        "CONN_MAX_AGE": None,
        "OPTIONS": (SQLITE_OPTIONS if sqlite else {}) | dict(parse_qsl(parts.query)),
    }
