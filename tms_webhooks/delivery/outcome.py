"""Decide from a response, or from an error, whether an attempt succeeded and what follows for delivery and webhook.

Pure functions. `tms_webhooks.delivery.retry` decides when the next attempt is made.
"""

from __future__ import annotations

import html
import http.client
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from itertools import islice
from typing import NamedTuple
from urllib.parse import quote, quote_plus, urlsplit

from tms_webhooks.choices import OUR_OWN_FAULT, DisabledReason, ErrorClass, HoldReason
from tms_webhooks.exceptions import DeliveryError
from tms_webhooks.net.urls import MASK

DISABLE_HEADER = "webhook-delivery"
"""A receiver that responds with ``webhook-delivery: disable`` asks for no more requests."""

MESSAGE_LIMIT = 500
"""Characters of a message that are kept."""
HOST_LIMIT = 260
"""Characters of a ``Location`` without its path that a message quotes: the longest host name, and its scheme."""
LOCATION_LIMIT = 500
"""Characters of a ``Location`` that are kept with the body of the response."""
MOST_HEADERS = 50
"""Headers of a response that are kept."""
HEADER_LIMIT = 300
"""Characters of a header's name, and of its value, that are kept."""
HEADERS_LIMIT = 4_096
"""Characters of all headers that are kept."""
DATE_LIMIT = 64
"""A longer ``Retry-After`` is not parsed as a date."""
LONGEST_WAIT = 366 * 86_400.0
"""Seconds; the upper limit of a ``Retry-After`` of any length. `retry.decide` applies a far lower limit."""

RETRY_AFTER_STATUSES = frozenset({429, 503})
"""Responses whose ``Retry-After`` is read."""

OPERATORS_FAULT = frozenset({ErrorClass.PROXY_ERROR, ErrorClass.KEYS_MISSING})
"""Errors of the operator's own machines and settings. They pass, and neither use up a retry nor count for the webhook's health."""


SHORTEST_SECRET = 4
"""Characters of a value that is masked where a receiver sends it back. A shorter one is in most answers by chance."""
SHORTEST_PART = 8
"""Characters of a value that is masked within a word, too."""

# Not "www-authenticate", which names a scheme.
_SECRET = re.compile(
    r"^(?!www-authenticate$).*(?:auth|cookie|token|secret|key|password|session|signature)", re.IGNORECASE
)


class Outcome(NamedTuple):
    """The outcome of one attempt.

    Attributes:
        success: The receiver accepted the event.
        permanent: No further attempt is made.
        error_class: The kind of failure; ``None`` after a success.
        timed_out: The attempt ran out of time.
        retry_after: Seconds that the receiver asked us to wait; ``None`` if it did not.
        disable: The reason to disable the webhook immediately; ``None`` to leave it enabled.
        counts_for_health: Whether the attempt counts for the webhook's health.
        message: One line for the log. It holds no secret, no body and no value that was sent. Of a redirect's ``Location``
            it has scheme and host.
        own_outage: It failed before an answer, while its worker reached no receiver.
    """

    success: bool
    permanent: bool
    error_class: ErrorClass | None
    timed_out: bool
    retry_after: float | None
    disable: DisabledReason | None
    counts_for_health: bool
    message: str
    own_outage: bool = False

    @property
    def may_stop_webhook(self) -> bool:
        """Whether it may pause, hold or disable the webhook: a failure, or a receiver that asks to be disabled."""
        return not self.success or self.disable is not None

    @property
    def is_operators_fault(self) -> bool:
        """Whether the operator's machines or settings are the cause, and not the receiver."""
        return self.own_outage or self.error_class in OPERATORS_FAULT

    @property
    def hold_reason(self) -> HoldReason | None:
        """The reason to send nothing to the webhook for a time; ``None`` to continue. The attempt is not charged then."""
        if self.retry_after is not None:
            return HoldReason.RETRY_AFTER
        return HoldReason.KEYS if self.error_class == ErrorClass.KEYS_MISSING else None


def of_response(*, status: int, headers: Mapping[str, str], now: datetime) -> Outcome:
    """Return the outcome of a response with this status and these headers (names in lower case). ``now`` must be aware.

    A 2xx status is a success. Any other status, redirects included, is a failure that is retried. The webhook is
    disabled by a 410 and, with any status, by the header ``webhook-delivery: disable``. ``Retry-After`` is read from
    429 and 503 only. A response that defers in this way does not count for health.
    """
    success = 200 <= status <= 299
    disable = DisabledReason.GONE if status == 410 else None
    # The header comes first: a proxy may have set the status.
    if headers.get(DISABLE_HEADER, "").strip().lower() == "disable":
        disable = DisabledReason.RECEIVER_REQUESTED
    defers = status in RETRY_AFTER_STATUSES and not disable
    retry_after = _retry_after(headers.get("retry-after", ""), now) if defers else None
    message = f"HTTP {status} {http.client.responses.get(status, '')}".rstrip()
    if 300 <= status <= 399 and (location := headers.get("location")):
        shown = _scheme_and_host(one_line(location, LOCATION_LIMIT))
        message += f"; redirects are not followed. Location: {shown}"
    return Outcome(
        success=success,
        permanent=disable is not None and not success,
        error_class=None if success else ErrorClass.HTTP_STATUS,
        timed_out=False,
        retry_after=retry_after,
        disable=disable,
        counts_for_health=retry_after is None,
        message=message,
    )


def of_error(error: DeliveryError) -> Outcome:
    """Return the outcome of an attempt without a response."""
    permanent = error.permanent or error.error_class in OUR_OWN_FAULT
    return Outcome(
        success=False,
        permanent=permanent,
        error_class=error.error_class,
        timed_out=error.error_class == ErrorClass.TIMEOUT,
        retry_after=None,
        disable=None,
        counts_for_health=not permanent and error.error_class not in OPERATORS_FAULT,
        message=one_line(str(error), MESSAGE_LIMIT),
    )


def response_texts(
    status: int, headers: Mapping[str, str], body: str, *, echoes: Sequence[str], is_cut: bool = False
) -> tuple[str, str]:
    """Return headers and body of a response for the log, with `MASK` in place of secrets; a body that ``is_cut`` is incomplete.

    The headers are lines, bounded. The body of a redirect follows its whole ``Location``. Show them only where payloads are
    shown: they may name an internal network.
    """
    body = mask_echoes(body, echoes, is_cut=is_cut)
    values = "\n".join(headers.values())
    if mask_echoes(values, echoes) != values:
        headers = {name: mask_echoes(value, echoes) for name, value in headers.items()}
    if 300 <= status <= 399 and (location := headers.get("location")):
        body = f"Location: {one_line(location, LOCATION_LIMIT)}\n\n{body}"
    lines = [
        f"{name[:HEADER_LIMIT]}: {MASK if _SECRET.search(name) else one_line(value, HEADER_LIMIT)}"
        for name, value in islice(headers.items(), MOST_HEADERS)
    ]
    return "\n".join(lines).replace("\x00", "\ufffd")[:HEADERS_LIMIT], body.replace("\x00", "\ufffd")


def echoes_of(values: Iterable[str]) -> tuple[str, ...]:
    """Return the forms in which a receiver may send these secrets back: as they are, or escaped for JSON, HTML or a URL."""
    forms: set[str] = set()
    # A scheme and a token are two words: the token is secret alone, too.
    for secret in {part for value in values for part in (value, value.partition(" ")[2])}:
        in_json = json.dumps(secret)[1:-1]
        forms |= {secret, in_json, in_json.replace("/", "\\/"), html.escape(secret)}
        forms |= {quote(secret), quote(secret, safe=""), quote_plus(secret)}
    return tuple(sorted((form for form in forms if len(form) >= SHORTEST_SECRET), key=len, reverse=True))


def mask_echoes(text: str, echoes: Iterable[str], *, is_cut: bool = False) -> str:
    """Return a text of the receiver with `MASK` in place of these forms; if it ``is_cut``, also of one that its end cuts."""
    for form in echoes:
        if len(form) >= SHORTEST_PART:
            text = text.replace(form, MASK)
        elif form in text:
            text = re.sub(rf"(?<!\w){re.escape(form)}(?!\w)", MASK, text)
        start = text.rfind(form[:SHORTEST_PART]) if is_cut else -1
        if start >= 0 and form.startswith(text[start:]):
            text = text[:start] + MASK
    return text


def _retry_after(value: str, now: datetime) -> float | None:
    """Return the seconds from now to a ``Retry-After`` value, a number or an HTTP date; ``None`` if it is neither."""
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


def _scheme_and_host(location: str) -> str:
    """Return a ``Location`` without user-info, port, path and query, which may hold secrets and personal data."""
    try:
        parts = urlsplit(location)
        host = parts.hostname
    except ValueError:
        return "not a URL"
    if "\\" in location:  # A browser reads it as the end of the host, and `urlsplit` does not.
        return "not a URL"
    if host is None:
        return "the same host" if not parts.scheme else "a URL without a host"
    shown = f"[{host}]" if ":" in host else host
    return one_line(f"{parts.scheme}://{shown}" if parts.scheme else shown, HOST_LIMIT)


def one_line(text: str, limit: int) -> str:
    """Return a text on one line, cut to this number of characters."""
    clean = text[: limit + 1]
    if not clean.isprintable():
        clean = "".join(character if character.isprintable() else " " for character in clean)
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"
