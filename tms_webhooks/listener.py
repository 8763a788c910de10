"""A receiver on this machine, for trying out and for tests: it verifies, remembers, and fails when it is told to.

A real receiver is in docs/howto/receive/. This one lives in threads of its own and keeps nothing but ids.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tms_webhooks.delivery.signing import ID_HEADER
from tms_webhooks.delivery.verification import VerificationResult, verify

LARGEST_BODY = 4 * 1024 * 1024
IDLE_SECONDS = 60.0


@dataclass(frozen=True, slots=True, repr=False)
class Incoming:
    """One request. ``verdict`` is empty where the listener knows no secret; ``time`` counts those of one webhook-id."""

    method: str
    path: str
    headers: Mapping[str, str]
    """With names in lower case."""
    body: bytes
    arrived_at: float
    verdict: VerificationResult | None = None
    time: int = 1

    @property
    def verified(self) -> bool:
        """Whether its signature is right and it is fresh."""
        return self.verdict is not None and self.verdict.valid

    @property
    def event(self) -> Any:
        """The body as JSON; None where it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None


@dataclass(frozen=True, slots=True)
class ScriptedResponse:
    """What to say, and how long to think before."""

    status: int = HTTPStatus.NO_CONTENT
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    delay: float = 0.0


@dataclass(frozen=True, slots=True)
class Misbehavior:
    """How to fail on purpose: so many first requests of each event, or a share of all, with this status."""

    status: int = HTTPStatus.SERVICE_UNAVAILABLE
    first: int = 0
    share: float = 0.0
    delay: float = 0.0

    def answer(self, request: Incoming, *, dice: Callable[[], float]) -> ScriptedResponse:
        """Return the answer to a request; one that does not verify is refused in any case."""
        if request.verdict is not None and not request.verified:
            return ScriptedResponse(HTTPStatus.UNAUTHORIZED, delay=self.delay)
        fails = request.time <= self.first or dice() < self.share
        return ScriptedResponse(self.status if fails else HTTPStatus.NO_CONTENT, delay=self.delay)


class Listener:
    """Listens on ``host`` and ``port`` (0: a free one) from the moment it is made, until `close`.

    ``respond`` is called for each request, in a thread of its own, and returns the answer. Raises `OSError` where the
    address can't be had.
    """

    def __init__(
        self,
        respond: Callable[[Incoming], ScriptedResponse],
        *,
        secrets: Callable[[], Sequence[str]] = tuple,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self._respond = respond
        self._secrets = secrets
        self._seen: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._server = _Server((host, port), _Handler)
        self._server.listener = self
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    def close(self) -> None:
        """Stop listening; what is being answered is answered."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def receive(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> ScriptedResponse:
        """Judge and answer one request."""
        now, secrets = time.time(), self._secrets()
        verdict = verify(secrets=secrets, headers=headers, body=body, now=now) if secrets else None
        with self._lock:
            self._seen[headers.get(ID_HEADER, "")] += 1
            times = self._seen[headers.get(ID_HEADER, "")]
        return self._respond(Incoming(method, path, headers, body, now, verdict, times))


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    listener: Listener

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a sender that hung up; that is the sender's to tell."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = IDLE_SECONDS
    server: _Server

    def answer_one(self) -> None:
        """Read a request, ask the listener, and write its answer."""
        length = self.headers.get("content-length") or "0"
        if not length.isdecimal() or int(length) > LARGEST_BODY:
            self.close_connection = True
            self._write(ScriptedResponse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE))
            return
        body = self.rfile.read(int(length))
        headers = {name.lower(): value for name, value in self.headers.items()}
        try:
            answer = self.server.listener.receive(self.command, self.path, headers, body)
        except Exception:
            self._write(ScriptedResponse(HTTPStatus.INTERNAL_SERVER_ERROR))
            raise
        if answer.delay:
            time.sleep(answer.delay)
        self._write(answer)

    do_POST = do_PUT = do_PATCH = do_GET = do_DELETE = answer_one

    def _write(self, answer: ScriptedResponse) -> None:
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if answer.status != HTTPStatus.NO_CONTENT:
            self.send_header("content-length", str(len(answer.body)))
        self.end_headers()
        if answer.body and answer.status != HTTPStatus.NO_CONTENT:
            self.wfile.write(answer.body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class's name)
        """Say nothing: ``respond`` does."""
