"""Keeps the paths of webhooks out of urllib3's log: they may hold passwords, and tokens are filled in with names."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

LOGGER = "urllib3.connectionpool"
MASK = "/…"

_here = threading.local()


@contextmanager
def quietly() -> Iterator[None]:
    """Mask the paths that urllib3 logs inside the ``with`` block, in this thread alone: the host's own stay as they are."""
    _here.quiet = True
    try:
        yield
    finally:
        _here.quiet = False


class _Mask(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        """Let the record pass, without what begins with a slash."""
        if getattr(_here, "quiet", False) and isinstance(record.args, tuple):
            record.args = tuple(
                MASK if isinstance(value, str) and value.startswith("/") else value for value in record.args
            )
        return True


logging.getLogger(LOGGER).addFilter(_Mask())
