"""The transport of callers that send one request and wait for its answer, such as a test."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Protocol

from tms_webhooks.exceptions import DeliveryError
from tms_webhooks.net import errors
from tms_webhooks.net.transports.base import Answer, Request, Response


class BlockingClient(Protocol):
    """Sends one request and waits for its answer. Its methods may be called by many threads at a time."""

    def send(self, request: Request) -> Response:
        """Return the response, whatever its status; raise `DeliveryError` without one."""
        ...

    def close(self) -> None:
        """Close every kept connection."""
        ...


def answer_of(client: BlockingClient, request: Request, key: Any) -> Answer:
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
        self._answers.append(answer_of(self._client, request, key))

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
