"""A test send: creates a test event for one webhook, sends it now like any other event, and returns the result."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import random
from typing import TYPE_CHECKING, Any, TypeVar

from django.db import connections, router, transaction
from django.utils.translation import gettext as _

from tms_webhooks.actors import Actor
from tms_webhooks.choices import AuditAction, Priority
from tms_webhooks.db import clock as database_clock
from tms_webhooks.delivery.outgoing import ClaimedDelivery, OutgoingRequest, SendResult
from tms_webhooks.delivery.rendering import with_contents
from tms_webhooks.event_names import TEST
from tms_webhooks.exceptions import LimitReached, PullOnlyWebhook
from tms_webhooks.manage import webhooks
from tms_webhooks.models import AuditEntry, Delivery, DeliveryBody, Event, Webhook, limits
from tms_webhooks.models.event import OUTSIDE_THE_FEED
from tms_webhooks.outbox.event_row import label
from tms_webhooks.outbox.example_events import WEBHOOK, example_event, first_type
from tms_webhooks.payloads.envelope import marked_as_test
from tms_webhooks.routing.budget import TimeSpent
from tms_webhooks.worker import results
from tms_webhooks.worker.leases import WebhookRow
from tms_webhooks.worker.send import make_requests, send, signatures

if TYPE_CHECKING:
    from tms_webhooks.net.transports.client import Client

# Until a test is tried again while another one was being sent.
BUSY_SECONDS = 2
# Beyond its timeout, a test belongs to the process that sends it; if that died, a worker sends it then.
GRACE = timedelta(seconds=15)

View = TypeVar("View", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True, repr=False)
class TestSendResult:
    """The result of a test send. ``repr`` shows no signature.

    Attributes:
        imitated: The unsaved event of which the test has the body, without the mark.
        delivery: The finished row in the delivery log.
        result: The attempt and its timing.
        signed: The headers of the signatures that were sent; empty if nothing could be sent.
        body: The body that was sent, in the webhook's own format.
        healed: Whether the success enabled the webhook, or ended its pause.
    """

    imitated: Event
    delivery: Delivery
    result: SendResult
    signed: Mapping[str, str]
    body: bytes
    healed: bool


def outside_transactions(view: View) -> View:
    """Return a view that may call `send_test`: ``ATOMIC_REQUESTS`` has no effect on it, on any database."""
    for alias in connections:
        view = transaction.non_atomic_requests(alias)(view)
    return view


def send_test(
    webhook: Webhook,
    *,
    actor: Actor,
    event_type: str = "",
    subject: str = "",
    client: Client | None = None,
    clock: Callable[[], datetime] = database_clock.measured_now,
) -> TestSendResult:
    """Send a test event to a webhook now, even if it is paused or disabled. Takes at most the webhook's timeout.

    The event is the sample of ``event_type``: by default the first that the webhook subscribes to. Or it is about
    ``subject``, an object such as "class:8840". Its id and time are new, and event
    and request have the mark of a test.
    In the log it is a manual ``webhook.test``: one attempt, for this webhook alone, and a failure does not affect the
    webhook's health. A success enables the webhook or ends its pause, unless a user disabled it. The audit log gets an
    entry.

    Raises `PullOnlyWebhook`, and the errors of `example_event`. Raises `LimitReached` if another test of the webhook is in
    flight, or by TEST_SENDS_LIMIT. Never call it in a transaction, which would stay open during the request.
    """
    if webhook.pull_only:
        raise PullOnlyWebhook(
            f"Webhook {webhook.public_id} is pull-only; nothing is sent to it. Read its feed, or give it a URL."
        )
    now = clock()
    event_type = event_type or first_type(webhook)
    imitated = example_event(webhook, event_type, subject=subject, actor=actor, now=now)
    request, delivery = _recorded(webhook, imitated, actor=actor, now=now)
    result = send(request, client=client, clock=clock)
    results.record([result], token=None, now=clock(), random=random)
    delivery.refresh_from_db()
    healed = result.outcome.success and webhooks.heal(webhook, actor=actor, now=clock())
    changes = {"event_type": event_type, "status_code": result.status, **({"subject": subject} if subject else {})}
    AuditEntry.objects.record(AuditAction.WEBHOOK_TESTED, delivery, actor=actor, now=clock(), changes=changes)
    is_unsent = request.endpoint.problem is not None or request.problem is not None
    # As they were sent: the same secrets, bytes and second make the same signature.
    signed = {} if is_unsent else signatures(request, result.started_at)
    return TestSendResult(imitated, delivery, result, signed, request.body, healed)


def _recorded(webhook: Webhook, imitated: Event, *, actor: Actor, now: datetime) -> tuple[OutgoingRequest, Delivery]:
    """Write the event and its delivery, which comes due for workers only after this attempt is over; return its request."""
    using, body = router.db_for_write(Delivery), marked_as_test(imitated.body)
    # The log belongs to the webhook's organization, whose users may not see payloads of a child organization.
    is_kept = webhook.organization_id in (imitated.organization_id, imitated.learner_organization_id)
    with transaction.atomic(using=using):
        _refuse_beyond_limits(webhook, now=now, using=using)
        # It is about the webhook, and has the id and the body of the other one with the mark.
        event = Event(
            uid=imitated.uid,
            type=TEST,
            version=imitated.version,
            organization_id=webhook.organization_id,
            subject_type=WEBHOOK,
            subject_id=webhook.public_id,
            actor_kind=actor.kind,
            actor_id=actor.stored_id,
            traceparent=imitated.traceparent,
            occurred_at=now,
            body=body if is_kept else "",
            # No other webhook gets it.
            fanned_out_at=now,
            position=OUTSIDE_THE_FEED,
        )
        label(event, {"name": webhook.name})
        event.save(using=using)
        delivery = Delivery.objects.create(
            event=event,
            webhook=webhook,
            priority=Priority.MANUAL,
            due_at=now + timedelta(seconds=webhook.timeout_seconds) + GRACE,
            created_at=now,
        )
        claimed = ClaimedDelivery(
            delivery.pk, webhook.pk, 0, 0, Priority.MANUAL, str(event.uid), event.traceparent, body
        )
        row = WebhookRow(webhook, sealed=webhook.sealed_secrets(now))
        (request,) = make_requests([claimed], webhooks={webhook.pk: row})
        if request.unrendered is not None:
            (request,) = with_contents([request], TimeSpent())
        if not is_kept:
            DeliveryBody.objects.using(using).filter(pk=delivery.pk).delete()
    return request, delivery


def _refuse_beyond_limits(webhook: Webhook, *, now: datetime, using: str) -> None:
    """Raise `LimitReached` if another test of the webhook is in flight, or its organization has sent too many.

    Both rows stay locked until the test is written, so that another request does not begin one before.
    """
    Webhook.objects.lock([webhook.pk], with_state=True)
    tests = Delivery.objects.using(using).filter(webhook=webhook, priority=Priority.MANUAL, event__type=TEST)
    if tests.filter(due_at__gt=now).exists():
        raise LimitReached(
            _("Another test of the webhook is being sent. Try again in a few seconds."), retry_after=BUSY_SECONDS
        )
    limits.lock_organization(webhook.organization_id, using=using)
    sent = Event.objects.using(using).filter(
        type=TEST, organization=webhook.organization_id, occurred_at__gt=now - limits.MINUTE, occurred_at__lte=now
    )
    limits.refuse_test_send(sent, webhook.public_id, now=now)
