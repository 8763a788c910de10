"""A receiver on this machine, for development and tests: it verifies requests, and can fail on purpose.

It runs in its own threads and stores only ids. docs/howto/receive/ shows receivers for production.
"""

from __future__ import annotations

import hmac
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tms_webhooks.delivery.signing import ID_HEADER, MESSAGE_ID, SIGNATURE_HEADER, TIMESTAMP_HEADER, sign

LARGEST_BODY = 4 * 1024 * 1024
"""Bytes. A larger body is refused with 413."""
IDLE_SECONDS = 5.0
"""Seconds after which a connection without a request is closed."""
TOLERANCE = 300
"""Maximum difference in seconds between the signing time and the time of arrival, as in the public libraries."""


@dataclass(frozen=True, slots=True, repr=False)
class ReceivedRequest:
    """One request."""

    method: str
    path: str
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes
    arrived_at: float
    problem: str = ""
    """Why it does not verify; empty if it does."""

    @property
    def verified(self) -> bool:
        """True if its signature is right and its timestamp is recent."""
        return not self.problem

    @property
    def event(self) -> Any:
        """The body parsed as JSON, or None if it is not JSON."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None


@dataclass(frozen=True, slots=True)
class ScriptedResponse:
    """The answer to send. With ``drop``, the connection is closed without one."""

    status: int = HTTPStatus.NO_CONTENT
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    drop: bool = False


class Listener(ThreadingHTTPServer):
    """Listens on ``host`` and ``port`` (0: a free one) from its creation until `close`.

    ``respond`` is called for each request, each time in its own thread, and returns the answer. ``clock`` returns the
    time, in seconds since 1970, by which signatures are recent. Raises `OSError` if the address is not available.
    """

    # `server_close` waits for the answers in progress.
    daemon_threads = False
    request_queue_size = 128

    def __init__(
        self,
        respond: Callable[[ReceivedRequest], ScriptedResponse],
        *,
        secrets: Callable[[], Sequence[str]],
        host: str = "127.0.0.1",
        port: int = 0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._respond = respond
        self._secrets = secrets
        self._clock = clock
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), _Handler)
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """The port on which it listens."""
        return int(self.server_address[1])

    def close(self) -> None:
        """Stop listening, and finish the answers in progress."""
        self.shutdown()
        self.server_close()
        self._thread.join()

    def receive(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> ScriptedResponse:
        """Verify and answer one request."""
        now = self._clock()
        problem = problem_with(headers, body, secrets=self._secrets(), now=now)
        return self._respond(ReceivedRequest(method, path, headers, body, now, problem))

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print nothing if a sender closes the connection early; the sender reports that."""


def problem_with(headers: Mapping[str, str], body: bytes, *, secrets: Sequence[str], now: float) -> str:
    """Return why a request that arrived at ``now`` does not verify, without any secret and any part of its body; empty if it does."""
    missing = [name for name in (ID_HEADER, TIMESTAMP_HEADER, SIGNATURE_HEADER) if not headers.get(name)]
    if missing:
        return (
            f"The request has no {' and no '.join(missing)}; the sender is another one, or a proxy removed the headers."
        )
    message_id, timestamp = headers[ID_HEADER], headers[TIMESTAMP_HEADER]
    if not MESSAGE_ID.fullmatch(message_id):
        return f"{ID_HEADER} holds more than letters, digits, '_' and '-'."
    if not re.fullmatch("[0-9]{1,12}", timestamp):
        return f"{TIMESTAMP_HEADER} is not a whole number of seconds since 1970."
    if not secrets:
        return "The receiver knows no secret yet."
    expected = sign(secrets=secrets, message_id=message_id, timestamp=int(timestamp), body=body).encode().split()
    given = headers[SIGNATURE_HEADER].encode("utf-8", "replace").split(b" ")
    # All pairs are compared, so that the duration reveals nothing.
    matches = [hmac.compare_digest(one, other) for one in expected for other in given]
    if not any(matches):
        return (
            "No signature matches: the secret belongs to another webhook or is no longer valid, or the body was changed in "
            "transit. Verify the raw bytes, before a proxy or a parser changes them."
        )
    age = now - int(timestamp)
    if abs(age) > TOLERANCE:
        return (
            f"The request was signed {abs(age):.0f} s {'before' if age > 0 else 'after'} it arrived; at most {TOLERANCE} s are "
            "allowed. It was delayed or replayed, or the clock of the receiver or of the sender is wrong."
        )
    return ""


class _Handler(BaseHTTPRequestHandler):
    disable_nagle_algorithm = True
    timeout = IDLE_SECONDS
    server: Listener

    def answer(self) -> None:
        """Read a request, and write the answer of the listener."""
        length = self.headers.get("content-length") or "0"
        if not length.isdecimal() or int(length) > LARGEST_BODY:
            self._write(ScriptedResponse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE))
            return
        body = self.rfile.read(int(length))
        headers = {name.lower(): value for name, value in self.headers.items()}
        try:
            answer = self.server.receive(self.command, self.path, headers, body)
        except Exception:
            self._write(ScriptedResponse(HTTPStatus.INTERNAL_SERVER_ERROR))
            raise
        if not answer.drop:
            self._write(answer)

    do_POST = do_PUT = do_PATCH = do_GET = do_DELETE = answer

    def _write(self, answer: ScriptedResponse) -> None:
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer.body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class's name)
        """Print nothing: ``respond`` reports each request."""
