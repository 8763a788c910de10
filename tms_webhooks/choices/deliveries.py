"""The statuses of deliveries and jobs, and the results of attempts."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class DeliveryStatus(models.TextChoices):
    """The status of one event for one webhook."""

    PENDING = "pending", _("Pending")
    """Not attempted yet."""
    WAITING = "waiting", _("Waiting")
    """Attempted, and due again later."""
    DELIVERED = "delivered", _("Delivered")
    """The receiver answered 2xx."""
    EXHAUSTED = "exhausted", _("Gave up after all retries")
    """Every retry failed, or the delivery became too old. The admin shows "Failed, no retry" after a single attempt."""
    FAILED = "failed", _("Can't be retried")
    """It failed in a way that a retry can't fix."""
    SKIPPED = "skipped", _("Skipped")
    """The webhook was disabled before it was delivered. A replay can send it."""
    CANCELLED = "cancelled", _("Cancelled")
    """Cancelled by a user."""
    MERGED = "merged", _("Merged")
    """Not sent itself: the request of a later event of its quiet period carries the changes."""


class ErrorClass(models.TextChoices):
    """The reason that an attempt failed."""

    HTTP_STATUS = "http_status", _("Unsuccessful status")
    """The receiver answered, but not with 2xx."""
    DNS_ERROR = "dns_error", _("Name not resolved")
    """The host name has no address that webhooks may call."""
    CONNECTION_REFUSED = "connection_refused", _("Connection refused")
    """No server listens on the port."""
    CONNECTION_RESET = "connection_reset", _("Connection reset")
    """The connection closed before a response."""
    NETWORK_UNREACHABLE = "network_unreachable", _("Network unreachable")
    """No route to the receiver."""
    TIMEOUT = "timeout", _("Timed out")
    """No complete response within the deadline."""
    TLS_ERROR = "tls_error", _("TLS error")
    """No trusted, encrypted connection."""
    PROXY_ERROR = "proxy_error", _("Proxy error")
    """The operator's proxy opened no tunnel. The attempt uses up no retry."""
    TOKEN_ERROR = "token_error", _("No access token")
    """The token URL of the webhook's OAuth 2 authentication issued no access token."""
    BLOCKED_ADDRESS = "blocked_address", _("Blocked address")
    """The URL has an address that is not allowed, instead of a host name."""
    INVALID_URL = "invalid_url", _("Invalid URL")
    """The URL breaks a rule."""
    BODY_TOO_LARGE = "body_too_large", _("Body too large")
    """The body exceeds the limit, even in its thin form."""
    SECRET_UNREADABLE = "secret_unreadable", _("Secret unreadable")
    """A secret or header value can't be decrypted."""
    KEYS_MISSING = "keys_missing", _("Encryption key missing")
    """No key of ``ENCRYPTION_KEYS`` decrypts the secrets: the setting is wrong."""
    RENDER_FAILED = "render_failed", _("Body not rendered")
    """The event can't be written in the webhook's format."""
    OTHER = "other", _("Other")
    """Any other error; see the message of the attempt."""


OUR_OWN_FAULT = frozenset(
    {
        ErrorClass.BLOCKED_ADDRESS,
        ErrorClass.INVALID_URL,
        ErrorClass.BODY_TOO_LARGE,
        ErrorClass.SECRET_UNREADABLE,
        ErrorClass.RENDER_FAILED,
    }
)
"""Errors from before the request left. Another attempt fails in the same way, and the receiver is not the cause."""


class DelayReason(models.TextChoices):
    """The reason for the time of the next attempt."""

    SCHEDULE = "schedule", _("Schedule")
    """The next step of the webhook's schedule."""
    RETRY_AFTER = "retry_after", _("Retry-After")
    """The receiver requested the delay."""
    TIMEOUT_PENALTY = "timeout_penalty", _("Timeout penalty")
    """The delay is longer after a timeout."""
    THROTTLE = "throttle", _("Throttle")
    """The webhook's own rate limit."""
    PROXY = "proxy", _("Proxy")
    """The operator's proxy opened no tunnel. The attempt uses up no retry."""
    BREAKER = "breaker", _("Hold")
    """The webhook is held for a fault of this installation: no encryption key decrypts its secrets, or its worker reaches no receiver."""


class AttemptResult(models.TextChoices):
    """The result of one attempt for its delivery."""

    DELIVERED = "delivered", _("Delivered")
    """The receiver answered 2xx."""
    RETRIED = "retried", _("Failed, retried")
    """It failed, and the next attempt is scheduled."""
    GIVEN_UP = "given_up", _("Failed, given up")
    """It failed, and was the last attempt."""


class TotalSpan(models.IntegerChoices):
    """The span of one row of totals, in hours."""

    HOUR = 1, _("Hour")
    """Kept for a few days."""
    DAY = 24, _("Day")
    """Never deleted."""


class Priority(models.IntegerChoices):
    """In which order deliveries of one webhook go: the lowest number first."""

    MANUAL = 0, _("Manual")
    """Sent by a user: one immediate attempt, even if the webhook is paused or disabled. It does not affect the health."""
    LIVE = 1, _("Live")
    """New events."""
    REPLAY = 2, _("Replay")
    """Replayed events, and those of a snapshot: a quarter of the requests while live deliveries are due, else all."""


class JobKind(models.TextChoices):
    """The kind of a job that changes many deliveries of one webhook."""

    RECOVER = "recover", _("Resend failed deliveries")
    """Resend the failed and cancelled deliveries of a time range."""
    REPLAY_MISSED = "replay_missed", _("Send missed events")
    """Send the events that were skipped while it was disabled, and matching events that were never sent."""
    CANCEL_PENDING = "cancel_pending", _("Cancel queued deliveries")
    """Cancel the deliveries that are queued, and end jobs that would queue more."""
    SEND_NOW = "send_now", _("Try queued deliveries now")
    """Make an extra attempt of each delivery that is queued, which uses up no retry."""
    SNAPSHOT = "snapshot", _("Send a snapshot")
    """Send the current state of every object of some nouns."""


class JobStatus(models.TextChoices):
    """The status of a job."""

    PENDING = "pending", _("Pending")
    """Not started."""
    RUNNING = "running", _("Running")
    """In progress."""
    FINISHED = "finished", _("Finished")
    """Done."""
    FAILED = "failed", _("Failed")
    """Given up; see the error of the job."""
