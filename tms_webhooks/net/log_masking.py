"""Mask the paths of webhook URLs in urllib3's log: they may hold passwords and personal data."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

LOGGER = "urllib3.connectionpool"
MASK = "/…"

_thread = threading.local()


@contextmanager
def masked_paths() -> Iterator[None]:
    """Mask the paths that urllib3 logs inside the ``with`` block. Only this thread is affected, not the host's requests."""
    _thread.masks = True
    try:
        yield
    finally:
        _thread.masks = False


class _MaskPaths(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        """Replace each argument of the record that begins with a slash; let every record pass."""
        if getattr(_thread, "masks", False) and isinstance(record.args, tuple):
            record.args = tuple(
                MASK if isinstance(value, str) and value.startswith("/") else value for value in record.args
            )
        return True


logging.getLogger(LOGGER).addFilter(_MaskPaths())
