"""The transport without libcurl: a fixed pool of threads, each of which sends one request at a time with `requests`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tms_webhooks.conf import app_settings
from tms_webhooks.exceptions import DeliveryError
from tms_webhooks.net import errors
from tms_webhooks.net.transports.base import Answer, Request, Response, ThreadQueue
from tms_webhooks.net.transports.client import Client

THREADS = 64
"""The most requests at a time: each takes several times the CPU time of one with libcurl."""


class ThreadTransport:
    """Sends each request in a thread of its pool of at most `THREADS`, and starts them as needed."""

    def __init__(self, client: Client | None = None) -> None:
        self.capacity = min(app_settings.SENDER_SLOTS, THREADS)
        self._client = client or Client()
        self._pool = ThreadPoolExecutor(max_workers=self.capacity, thread_name_prefix="webhook-sender")
        self._answers: ThreadQueue[Answer] = ThreadQueue()

    def start(self, request: Request, key: Any) -> None:
        self._pool.submit(self._send, request, key)

    def collect(self) -> Sequence[Answer]:
        """Return the answers that the threads have left."""
        return self._answers.take()

    def fileno(self) -> int:
        return self._answers.fileno()

    def timeout(self) -> float | None:
        return None  # the threads keep the deadlines

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)
        self._client.close()
        self._answers.close()

    def _send(self, request: Request, key: Any) -> None:
        begun_at = time.monotonic()
        result: Response | DeliveryError
        try:
            result = self._client.send(request)
        except Exception as error:
            result = errors.as_delivery_error(error)
        self._answers.put(Answer(key, result, time.monotonic() - begun_at))
