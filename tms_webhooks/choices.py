"""Statuses and other closed lists, each member with a sentence. The training system's numbers are its API's own."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class ClassStatus(models.IntegerChoices):
    """A class's confirmation status."""

    SCHEDULED = 0, _("Scheduled")
    GUARANTEED_TO_RUN = 1, _("Guaranteed To Run")
    CANCELLED = 2, _("Cancelled")
    RESCHEDULED = 3, _("Rescheduled")
    TENTATIVE = 4, _("Tentative")
    REQUESTED = 5, _("Requested")
    DENIED = 6, _("Denied")
    COMPLETED = 7, _("Completed")


class DeliveryType(models.IntegerChoices):
    """How a class is held."""

    PHYSICAL = 1, _("Physical")
    VIRTUAL = 2, _("Virtual")
    MIXED = 3, _("Mixed")


class EnrollmentStatus(models.IntegerChoices):
    """Where a learner's place in a class stands."""

    REQUEST = 0, _("Request")
    CANCEL = 10, _("Cancel")
    WAITLIST = 20, _("Waitlist")
    APPROVE = 30, _("Approve")
    DENY = 40, _("Deny")
    AUDIT = 50, _("Audit")
    ENROLL = 60, _("Enroll")


class CompletionStatus(models.IntegerChoices):
    """How an enrolled learner did."""

    UNKNOWN = 0, _("Unknown")
    ATTENDING = 10, _("Attending")
    COMPLETE = 20, _("Complete")
    INCOMPLETE = 30, _("Incomplete")
    NO_SHOW = 40, _("No Show")
    FAILED = 50, _("Failed")


class AssignmentCompletion(models.IntegerChoices):
    """How far a learner is with an assigned course; derived from its dates, never stored."""

    NOT_STARTED = 0, _("Not Started")
    INCOMPLETE = 10, _("Incomplete")
    COMPLETE = 30, _("Complete")


class AssignmentStatus(models.IntegerChoices):
    """Whether a course assignment still stands. The real system publishes the names only, not the numbers."""

    ACTIVE = 0, _("Active")
    CANCELLED = 10, _("Cancelled")


class FieldPrivacy(models.TextChoices):
    """What a payload field may reveal."""

    ID = "id", _("Identifier")
    """Internal and external ids."""
    BASIC = "basic", _("Basic")
    """Facts about the training: names of courses, dates, statuses."""
    PERSONAL = "personal", _("Personal")
    """Names, e-mail addresses and free text of people."""


class ActorKind(models.TextChoices):
    """Who or what caused a change."""

    USER = "user", _("User")
    """A signed-in person acting for themselves."""
    ADMINISTRATOR = "administrator", _("Administrator")
    """A signed-in member of staff."""
    API = "api", _("API")
    """Another system, through the host's API."""
    SYSTEM = "system", _("System")
    """A scheduled task, a command, the shell."""


class Audience(models.TextChoices):
    """Whose events a webhook is told of."""

    OWNER = "owner", _("Owner organization")
    """What belongs to its organization: a class, and whoever is enrolled in it."""
    LEARNER = "learner", _("Learner organization")
    """What its organization's own learners do, wherever they do it."""
    BOTH = "both", _("Both")
    """Either."""


class Verb(models.TextChoices):
    """The HTTP method of a webhook's requests."""

    POST = "POST", "POST"
    PUT = "PUT", "PUT"
    PATCH = "PATCH", "PATCH"
    GET = "GET", "GET"
    DELETE = "DELETE", "DELETE"


class PayloadFormat(models.TextChoices):
    """What the body of a webhook's requests looks like."""

    STANDARD = "standard", _("Standard")
    """The event as it is stored: an envelope around its data."""
    SKILLABLE = "skillable", _("Skillable API")
    """One flat object with the field names of the training system's own API."""
    CLOUDEVENTS = "cloudevents", _("CloudEvents")
    """CloudEvents 1.0 in structured mode, with the standard event as its data."""
    CUSTOM = "custom", _("Custom content")
    """The webhook's own content, with its tokens filled in."""


class PayloadDetail(models.TextChoices):
    """How much of an event a webhook is told."""

    FULL = "full", _("Everything")
    """All fields."""
    NO_PERSONAL = "no_personal", _("No personal fields")
    """All fields but names, e-mail addresses and free text of people."""
    THIN = "thin", _("Ids only")
    """Ids and external ids; the receiver asks for the rest."""


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


class DisabledReason(models.TextChoices):
    """Why a webhook gets no requests."""

    GONE = "gone", _("Gone")
    """The receiver answered 410."""
    FAILING = "failing", _("Failing")
    """It failed too often for too long."""
    RECEIVER_REQUESTED = "receiver_requested", _("Receiver's request")
    """The receiver answered with the header ``webhook-delivery: disable``."""
    ADMIN = "admin", _("Administrator")
    """A person disabled it."""
    BLOCKED_TARGET = "blocked_target", _("Blocked target")
    """Its URL leads where the app must not go."""


class ErrorAction(models.TextChoices):
    """What to do when a delivery is given up."""

    LOG = "log", _("Log")
    """Nothing more than the delivery log."""
    NOTIFY = "notify", _("Send notification")
    """E-mail the contacts, once until the webhook works again."""
    DISABLE = "disable", _("Disable the webhook")
    """Stop sending until a person has looked."""


class Lane(models.IntegerChoices):
    """In which order deliveries of one webhook go: the lowest number first."""

    BY_HAND = 0, _("By hand")
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


class Action(models.TextChoices):
    """What somebody may be allowed to do with the webhooks of an organization."""

    VIEW = "view", _("View")
    """See webhooks, deliveries and their outcome, but no payload and no answer of a receiver."""
    MANAGE = "manage", _("Manage")
    """Create, change, test, enable, disable and delete webhooks, and rotate their secrets."""
    VIEW_PAYLOAD = "view_payload", _("View payloads")
    """See what was sent and what receivers answered: people's data, and a way to read an inner network."""
    REVEAL_SECRET = "reveal_secret", _("Reveal secrets")
    """See a signing secret after it was made."""
    REPLAY = "replay", _("Replay")
    """Send again, recover, and call off what waits."""


class AuditAction(models.TextChoices):
    """What was done by somebody, as the audit log names it."""

    WEBHOOK_CREATED = "webhook.created", _("Webhook created")
    """A webhook was made, with its subscriptions."""
    WEBHOOK_UPDATED = "webhook.updated", _("Webhook changed")
    """Fields of a webhook were changed; the entry names them."""
    WEBHOOK_DELETED = "webhook.deleted", _("Webhook deleted")
    """A webhook was deleted; its log stays."""
    WEBHOOK_ENABLED = "webhook.enabled", _("Webhook enabled")
    """A person enabled a webhook."""
    WEBHOOK_DISABLED = "webhook.disabled", _("Webhook disabled")
    """A person disabled a webhook."""
    WEBHOOK_TESTED = "webhook.tested", _("Webhook tested")
    """A test was sent."""
    SECRET_ROTATED = "secret.rotated", _("Secret rotated")
    """A webhook got a new secret."""
    SECRET_REVEALED = "secret.revealed", _("Secret revealed")
    """Somebody was shown a secret."""
    SUBSCRIPTION_CREATED = "subscription.created", _("Subscription created")
    """A webhook was subscribed to more."""
    SUBSCRIPTION_UPDATED = "subscription.updated", _("Subscription changed")
    """A subscription was changed; the entry names the fields."""
    SUBSCRIPTION_DELETED = "subscription.deleted", _("Subscription deleted")
    """A webhook was unsubscribed from something."""
    DELIVERY_RESENT = "delivery.resent", _("Delivery resent")
    """One delivery was sent again."""
    JOB_STARTED = "job.started", _("Job started")
    """A recovery, a replay or a cancellation was begun."""
