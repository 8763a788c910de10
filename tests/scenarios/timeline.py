"""Days that pass in seconds: a clock that is moved from one thing that happens to the next."""

import socket
from datetime import timedelta

from tests import sweeps
from tests.patience import PATIENCE
from tests.receiver import Receiver
from tms_webhooks.delivery import health
from tms_webhooks.models import Delivery, DeliveryAttempt, WebhookState
from tms_webhooks.net.transports.client import Client, ThreadTransport
from tms_webhooks.outbox.fanout import fan_out
from tms_webhooks.worker.drain import Drain

SWEPT_EVERY = timedelta(hours=6)


class Intermittent:
    """A receiver that is down, then up: a port where nobody listens, then somebody does."""

    def __init__(self):
        self._kept = socket.socket()
        self._kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._kept.bind(("127.0.0.1", 0))
        self.port = self._kept.getsockname()[1]
        self._receiver = None

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/hook"

    @property
    def received(self):
        return self._receiver.received if self._receiver else []

    def come_up(self):
        self._release()
        self._receiver = Receiver(self.port)

    def close(self):
        self._release()
        if self._receiver:
            self._receiver.close()

    def _release(self):
        if self._kept:
            self._kept.close()
            self._kept = None


class Timeline:
    """Runs what workers run, at every moment at which something comes due and every six hours."""

    def __init__(self, clock):
        self.clock = clock
        self.began_at = clock.now
        # Made once: it takes longer than most drains here.
        self._client = Client()

    def at(self, **delta):
        """Return a moment, by the time that has passed since the beginning."""
        return self.began_at + timedelta(**delta)

    def live_until(self, end, *, happenings=()):
        """Let the time pass, and have each happening happen when it is to. Ends after the work of the last moment."""
        waiting = sorted(happenings, key=lambda happening: happening[0])
        while True:
            while waiting and waiting[0][0] <= self.clock.now:
                waiting.pop(0)[1]()
            self._work()
            if self.clock.now >= end:
                return
            self.clock.now = min([end, *self._next_moments(), *(moment for moment, _ in waiting[:1])])

    def minutes_of_attempts(self, webhook, **only):
        """Return when each attempt for a webhook was made, in minutes since the beginning; ``number=1``: each first one."""
        log = DeliveryAttempt.objects.filter(delivery__webhook=webhook, **only).order_by("started_at", "pk")
        return [self.minutes_since(moment) for moment in log.values_list("started_at", flat=True)]

    def minutes_since(self, moment):
        """Return the minutes from the beginning to a moment."""
        return (moment - self.began_at) / timedelta(minutes=1)

    def _work(self):
        sweeps.settle(self.clock.now)
        health.warn_all(self.clock.now)
        sweeps.give_up_old(self.clock.now)
        # The middle of the dice: no jitter.
        drain = Drain(
            fan_out=fan_out,
            clock=self.clock,
            transport=ThreadTransport(self._client),
            random=lambda: 0.5,
        )
        drain.run(until_idle=True, seconds=PATIENCE)

    def _next_moments(self):
        now = self.clock.now
        yield now + SWEPT_EVERY
        due = Delivery.objects.filter(due_at__gt=now).order_by("due_at").values_list("due_at", flat=True).first()
        pauses = WebhookState.objects.filter(paused_until__gt=now).order_by("paused_until")
        paused_until = pauses.values_list("paused_until", flat=True).first()
        yield from (moment for moment in (due, paused_until) if moment is not None)
