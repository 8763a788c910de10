"""A drain in simulated time: its transport is in memory, and no second of the test's own time passes while it waits."""

import heapq
import math
import socket
from datetime import timedelta
from itertools import count
from urllib.parse import urlsplit

from tests.integration.delivery.wire import answer
from tms_webhooks.net.transports.base import Answer
from tms_webhooks.outbox.fanout import fan_out
from tms_webhooks.worker.drain import Drain

HANGS = (math.inf, answer())
"""The reply of a receiver that does not answer until the test does."""

# A drain that waits so many times in a row for no time at all, while nothing happens, will do so for ever.
SPINNING = 500


class Time:
    """Simulated time: seconds for durations, and the test's clock, which moves with them."""

    def __init__(self, clock):
        self.seconds = 1_000.0
        self.clock = clock
        self._actions = []
        self._numbers = count()
        self._idle = 0

    def __call__(self):
        return self.seconds

    def after(self, seconds, action):
        """Call ``action`` in so many seconds."""
        heapq.heappush(self._actions, (self.seconds + seconds, next(self._numbers), action))

    def pass_by(self, seconds):
        """Let time pass until an action is to be called, and call it; at most so many seconds."""
        self._idle = 0 if seconds > 0 else self._idle + 1
        assert self._idle < SPINNING, "the drain waits for nothing, again and again"
        # A little longer, so that the moment that was waited for has come.
        end = self.seconds + (seconds + 1e-6 if seconds > 0 else 0.0)
        if self._actions and self._actions[0][0] <= end:
            at, _number, action = heapq.heappop(self._actions)
            self._move(max(0.0, at - self.seconds))
            self._idle = 0
            action()
        else:
            self._move(end - self.seconds)

    def _move(self, seconds):
        self.seconds += seconds
        self.clock.now += timedelta(seconds=seconds)


class Selector:
    """Stands in for the drain's selector: simulated time passes instead of the test's own."""

    def __init__(self, time):
        self._time = time

    def register(self, *args):
        pass

    unregister = register

    def select(self, timeout):
        self._time.pass_by(timeout)
        return []

    def close(self):
        pass


class FakeTransport:
    """A transport whose receivers are a function: how many seconds an answer takes, and which one it is."""

    def __init__(self, time, receiver, *, capacity=1_000):
        self.capacity = capacity
        self.started = []
        """The requests so far, and when each was started."""
        self.closed = False
        self.most_in_flight = {}
        """By path: how many requests were in flight at once."""
        self._time = time
        self._receiver = receiver
        self._in_flight = {}
        self._answers = []
        self._numbers = count()
        self._socket = socket.socket()

    def start(self, request, key):
        assert len(self._in_flight) < self.capacity
        number, now = next(self._numbers), self._time()
        self.started.append((now, request))
        self._in_flight[number] = request, key, now
        path = urlsplit(request.url).path
        self.most_in_flight[path] = max(self.most_in_flight.get(path, 0), len(self.in_flight(path)))
        seconds, response = self._receiver(request)
        if seconds < math.inf:
            heapq.heappush(self._answers, (now + seconds, number, response))

    def in_flight(self, path):
        """Return the requests in flight to this path."""
        return [number for number, (one, _key, _at) in self._in_flight.items() if urlsplit(one.url).path == path]

    def answer(self, number, response):
        """Answer a request that hangs."""
        heapq.heappush(self._answers, (self._time(), number, response))

    def answer_all(self, response):
        """Answer everything in flight."""
        self._answers.clear()
        for number in self._in_flight:
            self.answer(number, response)

    def collect(self):
        found = []
        while self._answers and self._answers[0][0] <= self._time():
            _at, number, response = heapq.heappop(self._answers)
            _request, key, started_at = self._in_flight.pop(number)
            found.append(Answer(key, response, self._time() - started_at))
        return found

    def fileno(self):
        return self._socket.fileno()

    def timeout(self):
        return max(0.0, self._answers[0][0] - self._time()) if self._answers else math.inf

    def close(self):
        self.closed = True
        self._socket.close()

    def to(self, path):
        """Return when requests to this path were started."""
        return [at for at, request in self.started if urlsplit(request.url).path == path]


class Simulation:
    """A drain in simulated time, for receivers that a function describes."""

    def __init__(self, clock, receiver, *, capacity=1_000):
        self.time = Time(clock)
        self.transport = FakeTransport(self.time, receiver, capacity=capacity)

    def drain(self, **values):
        """Return a drain. ``random`` 0.5 means no jitter."""
        return Drain(
            **{
                "fan_out": fan_out,
                "clock": self.time.clock,
                "transport": self.transport,
                "random": lambda: 0.5,
                **values,
            }
        )

    def run(self, *, seconds=None, **values):
        """Run a drain for so many seconds, and answer everything then; or until nothing is due."""
        if seconds is None:
            return self.drain(**values).run(until_idle=True)
        return self.drain(**values).run(
            seconds=seconds, after_last_start=lambda: self.transport.answer_all(answer(200))
        )


def quick(_request):
    """Answer in a millisecond."""
    return 0.001, answer()


def in_seconds(seconds):
    """Answer in so many seconds, any number of requests at once."""
    return lambda _request: (seconds, answer())


def by_path(receivers):
    """Ask the receiver of the request's path; ``*`` is that of all others."""
    return lambda request: receivers.get(urlsplit(request.url).path, receivers.get("*", quick))(request)
