"""The assertion that a receiver got an event, which explains why it did not."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from tms_webhooks import catalogue
from tms_webhooks.choices import CheckResult, DeliveryStatus
from tms_webhooks.delivery.signing import ID_HEADER
from tms_webhooks.listener import ReceivedRequest
from tms_webhooks.models import Delivery, Event, Webhook
from tms_webhooks.models.event import PUBLIC_PREFIX
from tms_webhooks.routing.explain import explain
from tms_webhooks.sources.registry import all_sources
from tms_webhooks.testing.events import CapturedEvent, ExpectedEvent, require_times
from tms_webhooks.testing.receiver import WebhookReceiver


def assert_received(
    receiver: WebhookReceiver, event_type: str, *, data: Mapping[str, Any] | None = None, times: int = 1
) -> ReceivedRequest:
    """Fail unless the receiver accepted exactly ``times`` events of this type with these values.

    Return the request of the first of them. A request is accepted if it verifies and is answered with success; one that
    is sent again counts once. ``data`` holds values of the standard format, nested or by dotted names, whatever the format
    of the webhook is. The message of a failure says for each recorded event why the receiver has not got it.
    """
    __tracebackhide__ = True
    require_times(times, "assert_not_received")
    by_id = _accepted(receiver)
    received = [CapturedEvent.of(event) for event in Event.objects.filter(uid__in=by_id).order_by("pk")]
    expected = ExpectedEvent(event_type, data or {}, {}, None)
    right = [one.event.uid for one in received if not expected.differences(one)]
    if len(right) == times:
        return by_id[right[0]]
    lines = [f"  {number}. {one.type}: {expected.verdict(one)}" for number, one in enumerate(received, start=1)]
    refused = len(receiver.requests) - len(receiver.accepted)
    raise AssertionError(
        "\n".join(
            [
                f"Expected {_counted(times, 'event')} like this at the receiver, got {len(right)}.",
                f"Expected: {expected}",
                "Accepted:" if lines else "Accepted: no events",
                *lines,
                *([f"Refused: {_counted(refused, 'request')}"] if refused else []),
                *(_reasons(receiver, event_type, by_id) if len(right) < times else []),
            ]
        )
    )


def assert_not_received(receiver: WebhookReceiver, event_type: str | None = None) -> None:
    """Fail if the receiver accepted any event; with a type, if it accepted any event of this type."""
    __tracebackhide__ = True
    types = Event.objects.filter(uid__in=_accepted(receiver)).order_by("pk").values_list("type", flat=True)
    found = [name for name in types if event_type in (None, name)]
    if found:
        raise AssertionError(
            f"Expected no {event_type or 'events'} at the receiver, got {len(found)}: {', '.join(found)}."
        )


def _accepted(receiver: WebhookReceiver) -> dict[uuid.UUID, ReceivedRequest]:
    """Return the first accepted request of each event, by the key of the event. A test send has no event."""
    requests = {request.headers[ID_HEADER]: request for request in reversed(receiver.accepted)}
    return {
        uuid.UUID(name.removeprefix(PUBLIC_PREFIX)): request
        for name, request in requests.items()
        if name.startswith(PUBLIC_PREFIX)
    }


def _reasons(receiver: WebhookReceiver, event_type: str, received: Collection[uuid.UUID]) -> Iterator[str]:
    """Yield why the receiver has not got the recorded events of a type."""
    if not receiver.webhooks or receiver.recorded is None:
        yield "The receiver has no webhook; create one with receiver.subscribe(organization, event type)."
        return
    recorded = [one for one in receiver.recorded if one.type == event_type]
    missing = [one.event for one in recorded if one.event.uid not in received]
    if not recorded:
        yield from _reasons_for_none(event_type)
    for event in missing:
        for webhook in receiver.webhooks:
            yield f"{event_type} of {event.subject_type} {event.subject_id}, webhook {webhook.name!r}: {_reason(webhook, event)}"


def _reasons_for_none(event_type: str) -> Iterator[str]:
    noun = catalogue.get(event_type).noun.name
    yield f"No {event_type} was recorded: no change emits it, or no subscription matches it."
    if not any(source.noun.name == noun for source in all_sources()):
        yield f"No source of {noun!r} is registered in a module webhooks.py, so no change of a model emits it."
    yield "With capture_events() or the fixture webhook_events, events are recorded without a subscription."


def _reason(webhook: Webhook, event: Event) -> str:
    explanation = explain(webhook, event)
    delivery = explanation.delivery
    if delivery is not None:
        return _state_of(delivery)
    if explanation.verdict is CheckResult.YES:
        return "not sent yet; call deliver_now()."
    return " ".join(clause.sentence for clause in explanation.clauses if clause.verdict is not CheckResult.YES)


def _state_of(delivery: Delivery) -> str:
    state = f"its delivery is {delivery.status} after {_counted(delivery.attempts, 'attempt')}"
    if delivery.status == DeliveryStatus.WAITING and delivery.due_at is not None:
        return f"{state}; the next one is due at {delivery.due_at:%Y-%m-%d %H:%M:%S %Z}: call deliver_now(now=…)."
    if delivery.status == DeliveryStatus.PENDING:
        return f"{state}; call deliver_now()."
    return f"{state}."


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
