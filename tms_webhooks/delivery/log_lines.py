"""What is written down of a result: its line in the log of attempts, and what it adds to the totals."""

from __future__ import annotations

from tms_webhooks.choices import AttemptResult, DeliveryStatus
from tms_webhooks.delivery.outcome import MESSAGE_LIMIT
from tms_webhooks.delivery.outgoing import Result
from tms_webhooks.delivery.retry import RetryDecision
from tms_webhooks.models.attempt import AttemptLine
from tms_webhooks.models.total import Counted


def final_status(result: Result) -> DeliveryStatus:
    """Return how a delivery ends with a result that is its last."""
    if result.outcome.success:
        return DeliveryStatus.DELIVERED
    return DeliveryStatus.FAILED if result.outcome.permanent else DeliveryStatus.EXHAUSTED


def line_of(result: Result, decision: RetryDecision | None, *, late: bool) -> AttemptLine:
    """Return the line of an attempt, with what was decided of the next one. A late one has no number."""
    waits = None if late else decision
    return AttemptLine(
        delivery_id=result.parcel.delivery_id,
        number=None if late else result.parcel.number,
        charged=not late and (decision is None or decision.charged),
        started_at=result.started_at,
        duration_ms=round(result.seconds * 1000),
        status_code=result.status,
        error_class=result.outcome.error_class or "",
        message=result.outcome.message[:MESSAGE_LIMIT],
        response_body=result.body,
        next_delay=None if waits is None else waits.delay,
        delay_reason="" if waits is None else waits.reason.value,
        timing=result.timing.as_text(),
    )


def counted(result: Result, decision: RetryDecision | None) -> Counted:
    """Return what an attempt adds to its webhook's totals."""
    kind = AttemptResult.DELIVERED if result.outcome.success else AttemptResult.RETRIED
    answered = result.status is not None or result.outcome.timed_out
    return Counted(
        webhook_id=result.parcel.webhook_id,
        started_at=result.started_at,
        result=kind if result.outcome.success or decision is not None else AttemptResult.GIVEN_UP,
        duration_ms=round(result.seconds * 1000) if answered else None,
    )
