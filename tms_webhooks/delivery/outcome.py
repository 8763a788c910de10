"""What an attempt's answer, or its error, means for the delivery and its webhook.

Pure: the table of the semantics as two functions. What happens next in time is `tms_webhooks.delivery.retry`.
"""

from __future__ import annotations

import http
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Literal

from tms_webhooks.choices import ErrorClass
from tms_webhooks.exceptions import DeliveryError

DISABLE_HEADER = "webhook-delivery"
"""A receiver that answers with ``webhook-delivery: disable`` wants no more requests."""

MESSAGE_LIMIT = 500
LOCATION_LIMIT = 200
DATE_LIMIT = 64
LONGEST_WAIT = 366 * 86_400.0
"""Seconds. Only keeps a ``Retry-After`` of a thousand digits a number; `retry.decide` cuts it far shorter."""

RETRY_AFTER_STATUSES = frozenset({429, 503})

OUR_OWN_FAULT = frozenset(
    {
        ErrorClass.BLOCKED_ADDRESS,
        ErrorClass.INVALID_URL,
        ErrorClass.BODY_TOO_LARGE,
        ErrorClass.SECRET_UNREADABLE,
        ErrorClass.RENDER_FAILED,
    }
)
"""Errors from before a request left: trying again can't help, and the receiver is not to blame."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The meaning of one attempt.

    Attributes:
        success: The receiver has the event.
        permanent: Trying again can't help.
        error_class: Why there was no success; ``None`` after one.
        timed_out: The attempt ran out of time.
        retry_after: Seconds that the receiver asked to be left in peace for.
        disable: Why the webhook must be disabled at once; ``None`` if it need not.
        counts_for_health: Whether the attempt says anything, good or bad, about the receiver's health.
        message: One line for the log; holds no secret, no body and no value that we sent.
    """

    success: bool
    permanent: bool
    error_class: ErrorClass | None
    timed_out: bool
    retry_after: float | None
    disable: Literal["gone", "receiver_requested"] | None
    counts_for_health: bool
    message: str


def of_response(*, status: int, headers: Mapping[str, str], now: datetime) -> Outcome:
    """Judge an answer by its ``status`` and ``headers`` (names in any case); ``now`` must be aware.

    2xx is success and everything else, redirects included, a failure that is retried. A 410 or, on any status, the
    header ``webhook-delivery: disable`` has the webhook disabled. ``Retry-After`` is read from 429 and 503 only.
    """
    known = {name.lower(): value for name, value in headers.items()}
    success = 200 <= status <= 299
    disable = _disable(status, known)
    return Outcome(
        success=success,
        permanent=disable is not None and not success,
        error_class=None if success else ErrorClass.HTTP_STATUS,
        timed_out=False,
        retry_after=_retry_after(known.get("retry-after", ""), now) if status in RETRY_AFTER_STATUSES else None,
        disable=disable,
        counts_for_health=True,
        message=_message(status, known),
    )


def of_error(error: DeliveryError) -> Outcome:
    """Judge an attempt that got no answer."""
    permanent = error.permanent or error.error_class in OUR_OWN_FAULT
    return Outcome(
        success=False,
        permanent=permanent,
        error_class=error.error_class,
        timed_out=error.error_class == ErrorClass.TIMEOUT,
        retry_after=None,
        disable=None,
        counts_for_health=not permanent,
        message=_one_line(str(error), MESSAGE_LIMIT),
    )


def _disable(status: int, headers: Mapping[str, str]) -> Literal["gone", "receiver_requested"] | None:
    # A word said on purpose tells more than a status that a proxy may have made.
    if headers.get(DISABLE_HEADER, "").strip().lower() == "disable":
        return "receiver_requested"
    return "gone" if status == http.HTTPStatus.GONE else None


def _retry_after(value: str, now: datetime) -> float | None:
    """Return the seconds in a ``Retry-After`` value, a count or an HTTP date; ``None`` if it is neither."""
    value = value.strip()
    if value.isascii() and value.isdigit():
        # Not int(): it refuses more than 4300 digits. float() makes them infinity.
        return min(float(value), LONGEST_WAIT)
    if len(value) > DATE_LIMIT:
        return None
    try:
        moment = parsedate_to_datetime(value)
        if moment.tzinfo is None:  # "-0000", which HTTP reads as UTC
            moment = moment.replace(tzinfo=UTC)
        return min(max((moment - now).total_seconds(), 0.0), LONGEST_WAIT)
    except (ValueError, OverflowError):
        return None


def _message(status: int, headers: Mapping[str, str]) -> str:
    try:
        text = f"HTTP {status} {http.HTTPStatus(status).phrase}"
    except ValueError:
        text = f"HTTP {status}"
    if 300 <= status <= 399 and "location" in headers:
        text += f"; redirects are not followed. Location: {_one_line(headers['location'], LOCATION_LIMIT)}"
    return text


def _one_line(text: str, limit: int) -> str:
    clean = "".join(character if character.isprintable() else " " for character in text[: limit + 1])
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"
