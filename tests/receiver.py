"""A receiver on loopback: keeps what it is sent, and answers as the test says."""

import json
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks import Webhook as Verifier

from tests.patience import PATIENCE


@dataclass(frozen=True)
class Received:
    """One request, as it came in."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    at: float

    @property
    def event(self):
        """The body as JSON."""
        return json.loads(self.body)

    def verify(self, secret):
        """Raise unless the public library finds the signature right."""
        Verifier(secret).verify(self.body, self.headers)


@dataclass
class Answer:
    """What to say: a status, headers, a body, and how long to think."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    delay: float = 0.0


class Server(ThreadingHTTPServer):
    """Queues as many connections as several workers open at once; a connection beyond them would wait for seconds."""

    request_queue_size = 128


class Receiver:
    """Answers 200, or what ``answers`` holds next, or what ``respond`` returns for the request."""

    def __init__(self, port=0):
        self.received = []
        self.answers = []
        self.respond = None
        self._lock, self._over = threading.Lock(), threading.Event()
        self._server = Server(("127.0.0.1", port), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    @property
    def port(self):
        return int(self._server.server_address[1])

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/hook"

    @property
    def events(self):
        return [request.event for request in self.received]

    def wait_for(self, count, *, seconds=PATIENCE):
        """Wait until so many requests have come, and return them; fail the test after ``seconds``."""
        end = time.monotonic() + seconds
        while len(self.received) < count:
            assert time.monotonic() < end, f"{len(self.received)} of {count} requests came in {seconds} s"
            time.sleep(0.01)
        return list(self.received)

    def close(self):
        self._over.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _answer(self, request):
        with self._lock:
            self.received.append(request)
            if self.respond is not None:
                return self.respond(request)
            return self.answers.pop(0) if self.answers else Answer()

    def _handler(self):
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one(self):
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                answer = receiver._answer(Received(self.command, self.path, headers, body, time.time()))
                receiver._over.wait(answer.delay)
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(answer.body)))
                self.end_headers()
                self.wfile.write(answer.body)

            do_POST = do_PUT = do_PATCH = do_GET = do_DELETE = handle_one

            def log_message(self, *args):
                pass

        return Handler
