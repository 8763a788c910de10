"""A verifying receiver for tests, which can fail on purpose; assertions about what it got; and delivery without a worker."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, closing
from datetime import datetime, timedelta
from http import HTTPStatus
from itertools import chain, repeat
from typing import Any, Protocol

from django.conf import settings
from django.test.utils import override_settings
from django.utils import timezone

from tms_webhooks.choices import CheckResult
from tms_webhooks.conf import SETTING_NAME, app_settings
from tms_webhooks.db import clock
from tms_webhooks.delivery.signing import ID_HEADER
from tms_webhooks.listener import Listener, ReceivedRequest, ScriptedResponse
from tms_webhooks.models import Event, Subscription, Webhook
from tms_webhooks.models.event import PUBLIC_PREFIX
from tms_webhooks.models.public_ids import uid_of
from tms_webhooks.monitoring.words import counted
from tms_webhooks.net.urls import LOOPBACK
from tms_webhooks.routing.explain import explain
from tms_webhooks.testing.events import (
    CapturedEvent,
    CapturedEvents,
    ExpectedEvent,
    Values,
    require_aware,
    require_database,
    require_none,
    values_of,
)
from tms_webhooks.worker.drain import Drain, Tally

Answer = ScriptedResponse | Callable[[ReceivedRequest], ScriptedResponse]

# Seconds by which the time of the deliveries that are being made differs from this machine's.
_time_travel = [0.0]


class DeliverWebhooks(Protocol):
    """The type of `deliver_now`, and of the fixture ``deliver_webhooks``."""

    def __call__(self, *, now: datetime | None = None) -> Tally: ...


def deliver_now(*, now: datetime | None = None) -> Tally:
    """Deliver in this thread until nothing is due; return the numbers. Needs neither a worker nor a queue.

    With ``now``, send the deliveries that are due at that time, such as retries. The delays between retries are exact: they have no
    random part.
    """
    require_database()
    ahead = timedelta() if now is None else require_aware(now) - clock.now()
    _time_travel[0] = ahead.total_seconds()
    try:
        # A random number in the middle is no jitter.
        return Drain(clock=lambda: clock.now() + ahead, random=lambda: 0.5).run(until_idle=True)
    finally:
        _time_travel[0] = 0.0


class WebhookReceiver:
    """A receiver on this machine. Inside its ``with`` block, the settings allow webhooks to call it.

    It answers 204 to requests that verify, and 401 to others. `fail` makes it fail; several calls apply one after the
    other, and `succeed` ends them all. For other answers, set ``answer`` to a `ScriptedResponse` or to a function that
    takes a request and returns one.
    """

    def __init__(self) -> None:
        self.requests: list[ReceivedRequest] = []
        self.accepted: list[ReceivedRequest] = []
        """The verified requests that were answered with success."""
        self.answer: Answer | None = None
        self.webhooks: list[Webhook] = []
        self.recorded: CapturedEvents | None = None
        """The events recorded since the first call of `subscribe`."""
        self._secrets: list[str] = []
        self._listener: Listener | None = None
        self._stack = ExitStack()
        self._failures: Iterator[ScriptedResponse] = iter(())
        self._lock = threading.Lock()

    def __enter__(self) -> WebhookReceiver:
        listener = Listener(self._respond, secrets=lambda: self._secrets, clock=lambda: time.time() + _time_travel[0])
        self._listener = self._stack.enter_context(closing(listener))
        allowed = {
            "ALLOWED_SCHEMES": [*app_settings.ALLOWED_SCHEMES, "http"],
            "UNCHECKED_HOSTS": [*app_settings.UNCHECKED_HOSTS, LOOPBACK],
            "ALLOWED_PORTS": [*app_settings.ALLOWED_PORTS, listener.port],
        }
        changed = {SETTING_NAME: {**getattr(settings, SETTING_NAME, {}), **allowed}}
        self._stack.enter_context(override_settings(**changed))
        return self

    def __exit__(self, *_error: object) -> None:
        self._stack.close()

    @property
    def url(self) -> str:
        """The URL on which it listens."""
        if self._listener is None:
            raise RuntimeError("The receiver listens only inside its with block.")
        return f"http://{LOOPBACK}:{self._listener.port}/"

    @property
    def events(self) -> list[Any]:
        """The events of the requests that verified, parsed from JSON."""
        return [request.event for request in self.requests if request.verified]

    def subscribe(self, organization: Any, *event_types: str, **fields: Any) -> Webhook:
        """Create a webhook of an organization for this receiver, with these event types or patterns.

        Raise ``ValidationError`` for a wrong event type or field.
        """
        require_database()
        if self.recorded is None:
            self.recorded = CapturedEvents()
        webhook = Webhook(**{"organization": organization, "name": "Test receiver", "url": self.url, **fields})
        webhook.full_clean()
        subscriptions = [Subscription(webhook=webhook, event_type=event_type) for event_type in event_types]
        for subscription in subscriptions:
            subscription.full_clean(exclude=["webhook"])
        webhook.save()
        Subscription.objects.add_to(webhook, subscriptions)
        self.trust(webhook)
        self.webhooks.append(webhook)
        return webhook

    def trust(self, webhook: Webhook) -> Sequence[str]:
        """Verify with the webhook's current secrets from now on, for example after a rotation; return them."""
        secrets = webhook.signing_secrets(timezone.now())
        self._secrets += secrets
        return secrets

    # Failing on purpose

    def fail(
        self, status: int = HTTPStatus.SERVICE_UNAVAILABLE, *, times: int | None = None, retry_after: int | None = None
    ) -> None:
        """Answer the next ``times`` requests with this status, or all until `succeed`.

        ``retry_after`` is the value of the header ``Retry-After``, in seconds.
        """
        headers = {} if retry_after is None else {"retry-after": str(retry_after)}
        response = ScriptedResponse(status, headers)
        self._failures = chain(self._failures, repeat(response) if times is None else repeat(response, times))

    def succeed(self) -> None:
        """End all failures: answer as at the beginning."""
        self._failures = iter(())

    def _respond(self, request: ReceivedRequest) -> ScriptedResponse:
        with self._lock:
            self.requests.append(request)
            answer = next(self._failures, None) or self.answer
        if answer is None:
            answer = ScriptedResponse() if request.verified else ScriptedResponse(HTTPStatus.UNAUTHORIZED)
        response = answer if isinstance(answer, ScriptedResponse) else answer(request)
        if request.verified and not response.drop and 200 <= response.status < 300:
            self.accepted.append(request)
        return response


def assert_received(
    receiver: WebhookReceiver, event_type: str, *, data: Values = None, details: Values = None, times: int = 1
) -> ReceivedRequest:
    """Fail unless the receiver accepted exactly ``times`` events of this type with these values.

    Return the request of the first of them. A request is accepted if it verifies and is answered with success; one that
    is sent again counts once. ``data`` and ``details`` hold values of the standard format, nested or by dotted names,
    whatever the format of the webhook is. The message of a failure says for each recorded event why the receiver has not got it.
    """
    __tracebackhide__ = True
    by_id = _accepted(receiver)
    first = ExpectedEvent(event_type, values_of(data=data, details=details)).first_of(
        [CapturedEvent.of(event) for event in Event.objects.filter(uid__in=by_id).order_by("pk")],
        times=times,
        place=" at the receiver",
        notes=_reasons(receiver, event_type, by_id),
    )
    return by_id[first.event.uid]


def assert_not_received(receiver: WebhookReceiver, event_type: str | None = None) -> None:
    """Fail if the receiver accepted any event; with a type, if it accepted any event of this type."""
    __tracebackhide__ = True
    types = Event.objects.filter(uid__in=_accepted(receiver)).order_by("pk").values_list("type", flat=True)
    require_none(types, event_type, place=" at the receiver")


def _accepted(receiver: WebhookReceiver) -> dict[uuid.UUID, ReceivedRequest]:
    uids = ((uid_of(request.headers[ID_HEADER], PUBLIC_PREFIX), request) for request in reversed(receiver.accepted))
    return {uid: request for uid, request in uids if uid}


def _reasons(receiver: WebhookReceiver, event_type: str, received: Collection[uuid.UUID]) -> Iterator[str]:
    """Yield how many requests the receiver refused, and why it has not got the recorded events of a type."""
    if refused := len(receiver.requests) - len(receiver.accepted):
        yield f"Refused: {counted(refused, 'request')}"
    if receiver.recorded is None:
        yield "The receiver has no webhook; create one with receiver.subscribe(organization, event type)."
        return
    recorded = [one.event for one in receiver.recorded if one.type == event_type]
    if not recorded:
        yield f"No {event_type} was recorded: no change emits it, no source of its noun is registered, or no subscription matches it."
        yield "With capture_events() or the fixture webhook_events, events are recorded without a subscription."
    for event in recorded:
        for webhook in receiver.webhooks if event.uid not in received else ():
            yield f"{event_type} of {event.subject_type} {event.subject_id}, webhook {webhook.name!r}: {_reason(webhook, event)}"


def _reason(webhook: Webhook, event: Event) -> str:
    explanation = explain(webhook, event)
    delivery = explanation.delivery
    if delivery is None:
        refusing = (clause.sentence for clause in explanation.clauses if clause.verdict is not CheckResult.YES)
        return " ".join(refusing) or "not sent yet; call deliver_now()."
    due = f", and due at {delivery.due_at:%Y-%m-%d %H:%M:%S %Z}: call deliver_now(now=…)" if delivery.due_at else ""
    return f"its delivery is {delivery.status} after {counted(delivery.attempts, 'attempt')}{due}."
