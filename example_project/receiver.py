"""A receiver that verifies: what a customer runs. It needs the public `standardwebhooks` library and nothing of Django.

    python -m example_project.receiver --secret whsec_... --port 9000

What makes it right: the signature is checked over the raw bytes before anything else, a request that comes twice is
handled once, and only what was handled is answered with 2xx.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks import Webhook, WebhookVerificationError

LARGEST_BODY = 1024 * 1024
ANY_PATH = ""


@dataclass(frozen=True, slots=True)
class Incoming:
    """One request, as it came in."""

    path: str
    headers: Mapping[str, str]
    """With names in lower case."""
    body: bytes
    arrived_at: float
    """Seconds since the epoch."""


class Receiver(ThreadingHTTPServer):
    """Answers 204 to what verifies and was handled, 401 to what does not verify, 404 on a path without a secret.

    ``secrets`` are the webhooks' secrets by path; the path ``""`` stands for all others. Override `handle`.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, secrets: Mapping[str, str], *, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen on ``port``, or on a free one: see ``server_address``. Call ``serve_forever`` next."""
        self._verifiers = {path: Webhook(secret) for path, secret in secrets.items()}
        super().__init__((host, port), Handler)
        # In a real system: a table with a unique key, written in the transaction that does the work.
        self._handled: set[tuple[str, str]] = set()
        self._one_at_a_time = threading.Lock()

    def handle(self, request: Incoming, event: Mapping[str, Any]) -> None:
        """Do what the event is for. Called once for each event; what it raises has the event sent again."""
        sys.stdout.write(f"{event['timestamp']}  {event['type']}  {event['id']}  verified\n")
        sys.stdout.flush()

    def verify(self, request: Incoming) -> Mapping[str, Any] | None:
        """Return the event, or None where the request is not signed with the path's secret, or too long ago."""
        verifier = self._verifiers.get(request.path) or self._verifiers.get(ANY_PATH)
        if verifier is None:
            return None
        try:
            event: Mapping[str, Any] = verifier.verify(request.body, dict(request.headers))
        # A ValueError is a header or a body in another shape: base64, UTF-8, JSON.
        except (WebhookVerificationError, ValueError):
            return None
        return event

    def answer(self, request: Incoming) -> HTTPStatus:
        """Judge one request and return the status to answer with."""
        if not {request.path, ANY_PATH} & self._verifiers.keys():
            return HTTPStatus.NOT_FOUND
        event = self.verify(request)
        if event is None:
            return HTTPStatus.UNAUTHORIZED
        key = (request.path, request.headers["webhook-id"])
        with self._one_at_a_time:
            if key not in self._handled:
                self.handle(request, event)
                self._handled.add(key)
        return HTTPStatus.NO_CONTENT

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say in a line that a sender hung up before its answer; tell of any other error as usual."""
        if isinstance(sys.exc_info()[1], ConnectionError):
            sys.stderr.write(f"{client_address[0]} hung up before it had its answer\n")
        else:
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """Reads a request, asks the receiver, writes the answer. Connections are kept open for the next one."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Receiver

    def do_POST(self) -> None:
        """Answer one request."""
        length = int(self.headers.get("content-length") or 0)
        if length > LARGEST_BODY:
            self.close_connection = True
            self._answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            return
        body = self.rfile.read(length)
        headers = {name.lower(): value for name, value in self.headers.items()}
        try:
            status = self.server.answer(Incoming(self.path, headers, body, time.time()))
        except Exception:
            self._answer(HTTPStatus.INTERNAL_SERVER_ERROR)
            raise
        self._answer(status)

    do_PUT = do_PATCH = do_POST

    def _answer(self, status: HTTPStatus) -> None:
        self.send_response(status)
        if status != HTTPStatus.NO_CONTENT:
            self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class's name)
        """Say nothing: `Receiver.handle` does."""


def main() -> None:
    """Run a receiver for one webhook until it is interrupted."""
    parser = argparse.ArgumentParser(description="Verify and print what a webhook sends.")
    parser.add_argument("--secret", default=os.environ.get("WEBHOOK_SECRET"), help="or WEBHOOK_SECRET: whsec_...")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=9000)
    options = parser.parse_args()
    if not options.secret:
        parser.error("give the webhook's secret by --secret or WEBHOOK_SECRET")
    try:
        receiver = Receiver({ANY_PATH: options.secret}, host=options.host, port=options.port)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        parser.error(f"{options.host}:{options.port} is not available: {reason}; choose another --port")
    except ValueError:
        parser.error("the secret is none: give it whole, whsec_ and what follows")
    with receiver:
        sys.stdout.write(f"Listening on http://{options.host}:{receiver.server_address[1]}/ (stop with Ctrl-C)\n")
        sys.stdout.flush()
        with contextlib.suppress(KeyboardInterrupt):
            receiver.serve_forever()


if __name__ == "__main__":
    main()
