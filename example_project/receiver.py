"""A verifying receiver, as a customer runs it. It needs the public `standardwebhooks` library, and not Django.

    python -m example_project.receiver --secret whsec_... --port 9000

It follows three rules: check the signature of the raw bytes first, process a repeated request only once, and answer 2xx
only after processing.
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
class ReceivedRequest:
    """One request."""

    path: str
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes
    arrived_at: float
    """Seconds since the epoch."""


class Receiver(ThreadingHTTPServer):
    """Answers 204 after processing, 401 to an invalid signature, and 404 on a path without a secret.

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

    def handle(self, request: ReceivedRequest, event: Mapping[str, Any]) -> None:
        """Process an event. Called once for each event; after an exception the event is sent again."""
        sys.stdout.write(f"{event['timestamp']}  {event['type']}  {event['id']}  verified\n")
        sys.stdout.flush()

    def verify(self, request: ReceivedRequest) -> Mapping[str, Any] | None:
        """Return the event, or None if the signature does not match the path's secret or is too old."""
        verifier = self._verifiers.get(request.path) or self._verifiers.get(ANY_PATH)
        if verifier is None:
            return None
        try:
            event: Mapping[str, Any] = verifier.verify(request.body, dict(request.headers))
        # ValueError: a header or body that is not valid base64, UTF-8 or JSON.
        except (WebhookVerificationError, ValueError):
            return None
        return event

    def answer(self, request: ReceivedRequest) -> HTTPStatus:
        """Verify and process one request; return the status of the answer."""
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
        """Print one line if a sender closed the connection early, and the traceback of any other error."""
        if isinstance(sys.exc_info()[1], ConnectionError):
            sys.stderr.write(f"{client_address[0]} closed the connection before the answer\n")
        else:
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """Reads requests and writes the answers of the receiver. Connections stay open."""

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
            status = self.server.answer(ReceivedRequest(self.path, headers, body, time.time()))
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
        """Print nothing: `Receiver.handle` reports each event."""


def main() -> None:
    """Run a receiver for one webhook until it is interrupted."""
    parser = argparse.ArgumentParser(description="Verify and print what a webhook sends.")
    parser.add_argument("--secret", default=os.environ.get("WEBHOOK_SECRET"), help="or WEBHOOK_SECRET: whsec_...")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=9000)
    options = parser.parse_args()
    if not options.secret:
        parser.error("give the webhook's secret with --secret or WEBHOOK_SECRET")
    try:
        receiver = Receiver({ANY_PATH: options.secret}, host=options.host, port=options.port)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        parser.error(f"{options.host}:{options.port} is not available: {reason}; choose another --port")
    except ValueError:
        parser.error("the secret is invalid: give all of it, with its beginning whsec_")
    with receiver:
        sys.stdout.write(f"Listening on http://{options.host}:{receiver.server_address[1]}/ (stop with Ctrl-C)\n")
        sys.stdout.flush()
        with contextlib.suppress(KeyboardInterrupt):
            receiver.serve_forever()


if __name__ == "__main__":
    main()
