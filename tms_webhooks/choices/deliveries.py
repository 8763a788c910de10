"""Where deliveries stand, and what came of attempts."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class DeliveryStatus(models.TextChoices):
    """Where one event stands for one webhook."""

    PENDING = "pending", _("Pending")
    """Not tried yet."""
    IN_FLIGHT = "in_flight", _("In flight")
    """Held by a worker under a lease."""
    WAITING = "waiting", _("Waiting")
    """Tried, and due again later."""
    DELIVERED = "delivered", _("Delivered")
    """The receiver answered 2xx."""
    EXHAUSTED = "exhausted", _("Exhausted")
    """Every retry failed, or its life ran out."""
    FAILED = "failed", _("Failed")
    """Trying again can't help."""
    SKIPPED = "skipped", _("Skipped")
    """Never tried, because the webhook was disabled; kept so that it can be replayed."""
    CANCELLED = "cancelled", _("Cancelled")
    """Called off by a person."""


class ErrorClass(models.TextChoices):
    """Why an attempt brought no success."""

    HTTP_STATUS = "http_status", _("Unsuccessful status")
    """The receiver answered, but not with 2xx."""
    DNS_ERROR = "dns_error", _("Name not resolved")
    """The host name has no address."""
    CONNECTION_REFUSED = "connection_refused", _("Connection refused")
    """Nobody listens there."""
    CONNECTION_RESET = "connection_reset", _("Connection reset")
    """The connection broke before an answer."""
    NETWORK_UNREACHABLE = "network_unreachable", _("Network unreachable")
    """No route to the receiver."""
    TIMEOUT = "timeout", _("Timed out")
    """No whole answer within the deadline."""
    TLS_ERROR = "tls_error", _("TLS error")
    """No trusted, encrypted connection."""
    BLOCKED_ADDRESS = "blocked_address", _("Blocked address")
    """The host name leads to an address that the app must not call."""
    INVALID_URL = "invalid_url", _("Invalid URL")
    """The URL breaks a rule."""
    BODY_TOO_LARGE = "body_too_large", _("Body too large")
    """Even the thin form is over the limit."""
    SECRET_UNREADABLE = "secret_unreadable", _("Secret unreadable")
    """A secret or header value can't be decrypted."""
    RENDER_FAILED = "render_failed", _("Body not rendered")
    """The event can't be written in the webhook's format."""
    OTHER = "other", _("Other")
    """Anything else; the attempt's message tells."""


class DelayReason(models.TextChoices):
    """Why the next attempt is when it is."""

    SCHEDULE = "schedule", _("Schedule")
    """The next step of the webhook's schedule."""
    RETRY_AFTER = "retry_after", _("Retry-After")
    """The receiver asked for it."""
    TIMEOUT_PENALTY = "timeout_penalty", _("Timeout penalty")
    """A receiver that hangs is left in peace a little longer."""
    THROTTLE = "throttle", _("Throttle")
    """The webhook's own rate limit."""
    BREAKER = "breaker", _("Pause")
    """The webhook is backing off after failures."""


class AttemptResult(models.TextChoices):
    """What came of one attempt, for its delivery."""

    DELIVERED = "delivered", _("Delivered")
    """The receiver answered 2xx."""
    RETRIED = "retried", _("Failed, tried again")
    """It failed, and the next attempt has its time."""
    GIVEN_UP = "given_up", _("Failed, given up")
    """It failed, and was the last one."""


class TotalSpan(models.IntegerChoices):
    """What attempts are counted by; the number is in hours."""

    HOUR = 1, _("Hour")
    """Kept for a few days."""
    DAY = 24, _("Day")
    """Kept for ever."""


class Priority(models.IntegerChoices):
    """In which order deliveries of one webhook go: the lowest number first."""

    MANUAL = 0, _("By hand")
    """Resent by a person: one attempt, at once, also to a webhook that is paused or disabled; inert for its health."""
    LIVE = 1, _("Live")
    """What happens now."""
    REPLAY = 2, _("Replay")
    """What is sent again: one at a time, when nothing live is due."""


class JobKind(models.TextChoices):
    """A long change of many deliveries of one webhook."""

    RECOVER = "recover", _("Recover")
    """Send again what failed in a time range."""
    REPLAY_MISSED = "replay_missed", _("Replay missed")
    """Send what was skipped while it was disabled, and what it asks for today and was never sent."""
    CANCEL_PENDING = "cancel_pending", _("Cancel pending")
    """Call off what waits."""


class JobStatus(models.TextChoices):
    """How far a job is."""

    PENDING = "pending", _("Pending")
    """Not begun."""
    RUNNING = "running", _("Running")
    """Under way."""
    FINISHED = "finished", _("Finished")
    """Done."""
    FAILED = "failed", _("Failed")
    """Given up; the error tells why."""
