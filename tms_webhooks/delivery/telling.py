"""Telling the log and the signals of what became of attempts, once it is written down."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from tms_webhooks import signals
from tms_webhooks.delivery.log_lines import final_status
from tms_webhooks.delivery.outgoing import Parcel, Result
from tms_webhooks.delivery.retry import RetryDecision
from tms_webhooks.models import Delivery

logger = logging.getLogger(__name__)


def tell(results: Sequence[Result], decisions: Mapping[int, RetryDecision | None]) -> None:
    """Tell of each of these results, which were not late; by delivery, when it is tried again."""
    if logger.isEnabledFor(logging.INFO):
        for result in results:
            _log(result, decisions.get(result.parcel.delivery_id))
    if signals.attempt_recorded.has_listeners(Delivery):
        for result in results:
            _tell_of_attempt(result, decisions.get(result.parcel.delivery_id))
    if signals.delivery_finished.has_listeners(Delivery):
        for result in results:
            if decisions.get(result.parcel.delivery_id) is None:
                _tell_of_end(result)


def _log(result: Result, decision: RetryDecision | None) -> None:
    parcel = result.parcel
    logger.info(
        "attempt event=%s delivery=%s webhook=%s number=%s status=%s error=%s ms=%s next=%s",
        parcel.event_id,
        parcel.delivery_id,
        parcel.webhook_id,
        parcel.number,
        result.status,
        result.outcome.error_class,
        round(result.seconds * 1000),
        None if decision is None else round(decision.delay, 1),
    )


def _tell_of_attempt(result: Result, decision: RetryDecision | None) -> None:
    signals.attempt_recorded.send_robust(
        Delivery,
        **_ids(result.parcel),
        number=result.parcel.number,
        started_at=result.started_at,
        seconds=result.seconds,
        status_code=result.status,
        error_class=result.outcome.error_class or "",
        next_delay=None if decision is None else decision.delay,
    )


def _tell_of_end(result: Result) -> None:
    signals.delivery_finished.send_robust(Delivery, **_ids(result.parcel), status=final_status(result).value)


def _ids(parcel: Parcel) -> dict[str, Any]:
    return {"delivery_id": parcel.delivery_id, "event_id": parcel.event_id, "webhook_id": parcel.webhook_id}
