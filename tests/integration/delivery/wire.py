"""The wire, faked: a client that keeps what it is given and answers as the test says."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import urlsplit

from standardwebhooks import Webhook as Verifier

from tests.patience import PATIENCE
from tms_webhooks.choices import ErrorClass
from tms_webhooks.exceptions import DeliveryError
from tms_webhooks.net.transports.base import Request, Response

Answer = int | str | Response | Exception | Callable[[Request], Response]


def answer(status=200, headers=None, body=b""):
    """Make what a receiver says."""
    return Response(status=status, headers=headers or {}, body=body, truncated=False)


def broken(error_class):
    """Make what the client raises where no answer comes."""
    return DeliveryError(f"receiver.example.com: {error_class}", error_class=ErrorClass(error_class))


def verify(request, secret):
    """Raise unless the public library finds the signature right."""
    Verifier(secret).verify(request.body, dict(request.headers))


def is_signed_by(request, secret):
    """Tell whether one of the signatures is the public library's own, whatever time the request says it is."""
    stamp = datetime.fromtimestamp(int(request.headers["webhook-timestamp"]), tz=UTC)
    expected = Verifier(secret).sign(request.headers["webhook-id"], stamp, request.body.decode())
    return expected in request.headers["webhook-signature"].split(" ")


class Wire:
    """Stands in for `Client`. Answers what ``answers`` holds next, then ``otherwise`` for ever.

    A number is an answer with this status, and a word breaks the connection with this class of errors.
    """

    def __init__(self, *answers, otherwise=200):
        self.answers = list(answers)
        self.otherwise = otherwise
        self.requests = []
        self.closed = False
        self._lock = threading.Lock()

    def send(self, request):
        with self._lock:
            self.requests.append(request)
            what = self.answers.pop(0) if self.answers else self.otherwise
        if isinstance(what, int):
            what = answer(what)
        elif isinstance(what, str):
            what = broken(what)
        if isinstance(what, Exception):
            raise what
        return what(request) if callable(what) else what

    def close(self):
        self.closed = True

    def to(self, path):
        """Return the requests to the webhook whose URL has this path."""
        return [request for request in self.requests if urlsplit(request.url).path == path]


class Gate:
    """An answer that is held back until the test opens the gate; it fails the test rather than hang."""

    def __init__(self, then=None):
        self.then = then or answer()
        self.waiting = 0
        self.most_waiting = 0
        self._open = threading.Event()
        self._lock = threading.Lock()

    def __call__(self, request):
        with self._lock:
            self.waiting += 1
            self.most_waiting = max(self.most_waiting, self.waiting)
        opened = self._open.wait(PATIENCE)
        with self._lock:
            self.waiting -= 1
        if not opened:
            raise AssertionError("nobody opened the gate")
        return self.then

    def open(self):
        self._open.set()


class Steady(threading.local):
    """The clock of each thread: an eighth of a second passes from one reading to the next. So long is each exchange."""

    now = 0.0

    def monotonic(self):
        self.now += 0.125
        return self.now
