"""The transport without libcurl: a fixed pool of threads, each of which sends one request at a time with `requests`."""

from __future__ import annotations

import contextlib
import socket
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from tms_webhooks.conf import app_settings
from tms_webhooks.exceptions import DeliveryError
from tms_webhooks.net import errors
from tms_webhooks.net.transports.base import Answer, Request, Response
from tms_webhooks.net.transports.client import Client


class BlockingClient(Protocol):
    """Sends one request and waits for its answer. Its methods may be called by many threads at a time."""

    def send(self, request: Request) -> Response:
        """Return the response, whatever its status; raise `DeliveryError` without one."""
        ...

    def close(self) -> None:
        """Close every kept connection."""
        ...


def _answer_of(client: BlockingClient, request: Request, key: Any) -> Answer:
    """Send one request, and return its answer."""
    begun_at = time.monotonic()
    result: Response | DeliveryError
    try:
        result = client.send(request)
    except Exception as error:
        result = errors.as_delivery_error(error)
    return Answer(key, result, time.monotonic() - begun_at)


class BlockingTransport:
    """Sends each request at its start, and waits for the answer: for callers that send one request."""

    capacity = 1

    def __init__(self, client: BlockingClient) -> None:
        self._client = client
        self._answers: list[Answer] = []

    def start(self, request: Request, key: Any) -> None:
        """Send the request, and keep its answer."""
        self._answers.append(_answer_of(self._client, request, key))

    def collect(self) -> Sequence[Answer]:
        """Return the answers so far."""
        answers, self._answers = self._answers, []
        return answers

    def fileno(self) -> int:
        """Refuse: a caller that waits for its answer has nothing to select."""
        raise NotImplementedError("BlockingTransport has no file; call collect() after start().")

    def timeout(self) -> float | None:
        """Return 0.0 while answers are kept."""
        return 0.0 if self._answers else None

    def close(self) -> None:
        """Leave the client open: it belongs to the caller."""


class ThreadTransport:
    """Sends each request in a thread of its pool, which has ``SENDER_THREADS`` threads, and starts them as needed."""

    def __init__(self, client: BlockingClient | None = None) -> None:
        self.capacity = app_settings.SENDER_THREADS
        self._client = client or Client(pool_size=self.capacity)
        self._pool = ThreadPoolExecutor(max_workers=self.capacity, thread_name_prefix="webhook-sender")
        self._answers: deque[Answer] = deque()
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)

    def start(self, request: Request, key: Any) -> None:
        """Give the request to a thread."""
        self._pool.submit(self._send, request, key)

    def collect(self) -> Sequence[Answer]:
        """Return the answers that the threads have left."""
        # First: a thread that leaves an answer from now on makes the socket readable again.
        with contextlib.suppress(BlockingIOError):
            self._reader.recv(4096)
        return [self._answers.popleft() for _ in range(len(self._answers))]

    def fileno(self) -> int:
        """Return a socket that is readable while there are answers."""
        return self._reader.fileno()

    def timeout(self) -> float | None:
        """Return None: the threads keep the deadlines."""
        return None

    def close(self) -> None:
        """Wait for the requests that are being sent, drop the others, and close every connection."""
        self._pool.shutdown(cancel_futures=True)
        self._client.close()
        self._reader.close()
        self._writer.close()

    def _send(self, request: Request, key: Any) -> None:
        """Send one request, and leave its answer. Runs in the threads."""
        self._answers.append(_answer_of(self._client, request, key))
        with contextlib.suppress(BlockingIOError):
            # A full buffer is readable already.
            self._writer.send(b"1")
