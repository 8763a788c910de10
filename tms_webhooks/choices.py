"""Statuses and other closed lists. Each member has a docstring."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

# --- Access ---


class ActorKind(models.TextChoices):
    """The kind of actor that caused a change."""

    USER = "user", _("User")
    """A signed-in person acting for themselves."""
    ADMINISTRATOR = "administrator", _("Administrator")
    """A signed-in member of staff."""
    API = "api", _("API")
    """Another system, through the host's API."""
    SYSTEM = "system", _("System")
    """A scheduled task, a command, the shell."""
    RECONCILE = "reconcile", _("Reconciliation")
    """Unknown: reconciliation detected an out-of-band change."""


class Action(models.TextChoices):
    """An action on the webhooks of an organization that the access policy may allow."""

    VIEW = "view", _("View")
    """View webhooks, deliveries and their results, without payloads and responses."""
    MANAGE = "manage", _("Manage")
    """Create, change, test, enable, disable and delete webhooks, and rotate and expire their secrets."""
    VIEW_PAYLOAD = "view_payload", _("View payloads")
    """View payloads and responses: personal data, and possibly data from an internal network."""
    REVEAL_SECRET = "reveal_secret", _("Reveal secrets")
    """View a signing secret after its creation."""
    REPLAY = "replay", _("Replay")
    """Resend, recover, try and cancel deliveries, and send snapshots."""


class AuditAction(models.TextChoices):
    """A recorded action, by its name in the audit log."""

    WEBHOOK_CREATED = "webhook.created", _("Webhook created")
    """A webhook was created, with its subscriptions."""
    WEBHOOK_UPDATED = "webhook.updated", _("Webhook changed")
    """Fields of a webhook were changed; the entry names them."""
    WEBHOOK_DELETED = "webhook.deleted", _("Webhook deleted")
    """A webhook was deleted; its log stays."""
    WEBHOOK_ENABLED = "webhook.enabled", _("Webhook enabled")
    """A user or a successful test send enabled a webhook."""
    WEBHOOK_DISABLED = "webhook.disabled", _("Webhook disabled")
    """A user or the engine disabled a webhook; the entry names the reason."""
    WEBHOOK_TESTED = "webhook.tested", _("Webhook tested")
    """A test was sent."""
    SECRET_ROTATED = "secret.rotated", _("Secret rotated")
    """A webhook got a new secret."""
    SECRET_REVEALED = "secret.revealed", _("Secret revealed")
    """A user viewed a secret."""
    SECRET_EXPIRED = "secret.expired", _("Secret expired")
    """A user ended an older secret before its time."""
    SUBSCRIPTION_CREATED = "subscription.created", _("Subscription created")
    """A subscription was added to a webhook."""
    SUBSCRIPTION_UPDATED = "subscription.updated", _("Subscription changed")
    """A subscription was changed; the entry names the fields."""
    SUBSCRIPTION_DELETED = "subscription.deleted", _("Subscription deleted")
    """A subscription was removed from a webhook."""
    DELIVERY_RESENT = "delivery.resent", _("Delivery resent")
    """One delivery was resent."""
    DELIVERY_SENT_NOW = "delivery.sent_now", _("Delivery sent now")
    """A user had one waiting delivery attempted immediately."""
    JOB_STARTED = "job.started", _("Job started")
    """A recovery, a replay, a cancellation, a snapshot or an attempt of all queued deliveries was started."""


# --- Deliveries ---


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


OUR_OWN_FAULT = {
    ErrorClass.BLOCKED_ADDRESS,
    ErrorClass.INVALID_URL,
    ErrorClass.BODY_TOO_LARGE,
    ErrorClass.SECRET_UNREADABLE,
    ErrorClass.RENDER_FAILED,
}
"""Errors from before the request left. Another attempt fails in the same way, and the receiver is not the cause."""


class DelayReason(models.TextChoices):
    """The reason for the time of the next attempt."""

    SCHEDULE = "schedule", _("Schedule")
    """The next step of the webhook's schedule."""
    RETRY_AFTER = "retry_after", _("Retry-After")
    """The receiver requested the delay, or limits its rate by 429."""
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

    HOUR = 1
    """Kept for a few days."""
    DAY = 24
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
    """The kind of a job. Those that users start change many deliveries of one webhook."""

    RECOVER = "recover", _("Resend failed deliveries")
    """Resend the failed deliveries of a time range."""
    RESEND_CANCELLED = "resend_cancelled", _("Resend cancelled deliveries")
    """Resend the cancelled deliveries of a time range."""
    REPLAY_MISSED = "replay_missed", _("Send missed events")
    """Send the events that were skipped while it was disabled, and matching events that were never sent."""
    CANCEL_PENDING = "cancel_pending", _("Cancel queued deliveries")
    """Cancel the deliveries that are queued, and end jobs that would queue more."""
    SEND_NOW = "send_now", _("Try queued deliveries now")
    """Make an extra attempt of each delivery that is queued, which uses up no retry."""
    SNAPSHOT = "snapshot", _("Send a snapshot")
    """Send the current state of every object of some nouns."""
    MOVE = "move", _("Emit what moved along")
    """Emit events of objects that moved with another one, such as a user's assignments, or with a branch of organizations."""


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


# --- Training ---


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
    """The status of a learner's enrollment in a class."""

    REQUEST = 0, _("Request")
    CANCEL = 10, _("Cancel")
    WAITLIST = 20, _("Waitlist")
    APPROVE = 30, _("Approve")
    DENY = 40, _("Deny")
    AUDIT = 50, _("Audit")
    ENROLL = 60, _("Enroll")


class CompletionStatus(models.IntegerChoices):
    """The completion status of an enrolled learner."""

    UNKNOWN = 0, _("Unknown")
    ATTENDING = 10, _("Attending")
    COMPLETE = 20, _("Complete")
    INCOMPLETE = 30, _("Incomplete")
    NO_SHOW = 40, _("No Show")
    FAILED = 50, _("Failed")


class AssignmentCompletion(models.IntegerChoices):
    """The progress of a learner in an assigned course; derived from its dates, never stored."""

    NOT_STARTED = 0, _("Not Started")
    INCOMPLETE = 10, _("Incomplete")
    COMPLETE = 30, _("Complete")


class AssignmentStatus(models.IntegerChoices):
    """The status of a course assignment. The real system publishes the names only, not the numbers."""

    ACTIVE = 0, _("Active")
    CANCELLED = 10, _("Cancelled")


class LocationType(models.IntegerChoices):
    """Where a learner attends a class."""

    TO_BE_DETERMINED = 0, _("To Be Determined")
    CLASSROOM = 10, _("Classroom")
    REMOTE_CLASSROOM = 20, _("Remote Classroom")
    VIRTUAL = 30, _("Virtual")


class ActivityType(models.IntegerChoices):
    """What a learner does in one step of a course."""

    SCORM_MODULE = 2, _("Scorm Module")
    LAB = 4, _("Lab")
    SURVEY = 10, _("Survey")
    INSTRUCTOR_SURVEY = 20, _("Instructor Survey")
    ORGANIZATION_SURVEY = 30, _("Organization Survey")
    EXTERNAL_LINK = 40, _("External Link")
    ASSESSMENT = 50, _("Assessment")
    VIDEO = 60, _("Video")
    DOCUMENT = 70, _("Document")
    SECTION = 80, _("Section")


# --- Webhooks ---


class FieldPrivacy(models.TextChoices):
    """The privacy class of a payload field."""

    ID = "id", _("Identifier")
    """Internal and external ids."""
    BASIC = "basic", _("Basic")
    """Facts about the training: names of courses, dates, statuses."""
    PERSONAL = "personal", _("Personal")
    """Names, titles, e-mail addresses, telephone numbers, postal addresses and free text of people."""


class Audience(models.TextChoices):
    """The events that a webhook receives, by organization."""

    OWNER = "owner", _("Classes we run")
    """Events of objects that belong to its organization, such as its classes and their enrollments."""
    LEARNER = "learner", _("Our learners, anywhere")
    """Events of its organization's own learners, in every organization."""
    BOTH = "both", _("Both")
    """Both of these."""


class CheckResult(models.TextChoices):
    """The result of one check of whether a webhook receives an event."""

    YES = "yes", _("Yes")
    """The webhook receives the event."""
    NO = "no", _("No")
    """The webhook does not receive the event."""
    HELD = "held", _("Held back")
    """The event is kept as a skipped delivery, and is not sent automatically."""


class Verb(models.TextChoices):
    """The HTTP method of a webhook's requests."""

    POST = "POST", "POST"
    PUT = "PUT", "PUT"
    PATCH = "PATCH", "PATCH"
    GET = "GET", "GET"
    DELETE = "DELETE", "DELETE"


class PayloadFormat(models.TextChoices):
    """The format of the request body."""

    STANDARD = "standard", _("Standard")
    """The event as it is stored: an envelope around its data."""
    SKILLABLE = "skillable", _("Skillable API")
    """One flat object with the field names of the training system's own API."""
    CLOUDEVENTS = "cloudevents", _("CloudEvents")
    """CloudEvents 1.0 in structured mode, with the standard event as its data."""
    CLOUDEVENTS_BINARY = "cloudevents_binary", _("CloudEvents, binary mode")
    """The standard event, with the attributes of CloudEvents 1.0 as headers."""
    CUSTOM = "custom", _("Custom content")
    """The webhook's own content, with its tokens filled in."""


class PayloadDetail(models.TextChoices):
    """The fields of an event that a webhook receives."""

    FULL = "full", _("Everything")
    """All fields."""
    NO_PERSONAL = "no_personal", _("No personal fields")
    """All fields except names, titles, e-mail addresses, telephone numbers, postal addresses and free text of people."""
    THIN = "thin", _("Ids only")
    """Ids and external ids; the receiver requests the other fields."""


class AuthenticationKind(models.TextChoices):
    """How requests authenticate at the receiver."""

    NONE = "none", pgettext_lazy("authentication", "None")
    """No authentication: the signature alone shows the sender."""
    BASIC = "basic", _("Basic (user name and password)")
    """HTTP Basic authentication."""
    BEARER = "bearer", _("Bearer token")
    """A fixed token in the header ``Authorization``."""
    HEADER = "header", _("Key in a header")
    """A fixed value in a header of the receiver's choice."""
    OAUTH2 = "oauth2", _("OAuth 2 client credentials")
    """An access token that a token URL issues for client id and client secret, and that is renewed."""


class ClientAuthentication(models.TextChoices):
    """How client id and client secret are sent to an OAuth 2 token URL."""

    BASIC = "basic", _("In the header Authorization (Basic)")
    """The way that each server supports."""
    BODY = "body", _("In the body")
    """For servers that do not read the header."""


class Health(models.TextChoices):
    """How well a webhook works, in one word, the most urgent first: from its state and its attempts and deliveries, without tests."""

    DISABLED = "disabled", pgettext_lazy("webhook", "Disabled")
    """Nothing is sent to it."""
    FAILING = "failing", _("Failing")
    """It was paused after failures in a row, and has had no success since."""
    DEGRADED = "degraded", _("Degraded")
    """A delivery was given up in the last 24 hours and not delivered since. Or fewer than 95 % of the attempts of the last hour
    were delivered. Or it is held, or a failed delivery waits for its retry."""
    HEALTHY = "healthy", _("Healthy")
    """Enabled, with attempts in the last 24 hours, and none of the above."""
    IDLE = "idle", _("Idle")
    """Enabled, without attempts in the last 24 hours, and none of the above."""


class DisabledReason(models.TextChoices):
    """The reason that a webhook is disabled."""

    GONE = "gone", _("Gone")
    """The receiver answered 410."""
    FAILING = "failing", _("Failing")
    """It failed too often for too long, or a delivery was given up and its error action is to disable it."""
    RECEIVER_REQUESTED = "receiver_requested", _("Receiver's request")
    """The receiver answered with the header ``webhook-delivery: disable``."""
    ADMIN = "admin", _("Administrator")
    """A user disabled it."""
    EXPIRED = "expired", pgettext_lazy("hook", "Expired")
    """The hook was not refreshed before its end."""
    BLOCKED_TARGET = "blocked_target", _("Blocked target")
    """Its URL, or the token URL of its authentication, has a blocked address."""


DISABLED_BY_USER = ("", DisabledReason.ADMIN, DisabledReason.EXPIRED)
"""The reasons of webhooks that a user disabled, or let expire: nothing has failed."""


class HoldReason(models.TextChoices):
    """The reason that a webhook is held: it gets no requests until a known time, and has not failed."""

    RETRY_AFTER = "retry_after", _("Retry-After")
    """The receiver requested it with a 429 or 503, or limits its rate."""
    KEYS = "keys", _("Encryption keys")
    """No key of ``ENCRYPTION_KEYS`` decrypts its secrets."""


class ErrorAction(models.TextChoices):
    """The action when a delivery is given up."""

    LOG = "log", pgettext_lazy("error action", "Log")
    """Record it in the delivery log only."""
    NOTIFY = "notify", _("Send notification")
    """Also notify the contacts of the first delivery that is given up, until the webhook works again."""
    DISABLE = "disable", _("Disable the webhook")
    """Disable the webhook until a user enables it."""


class Preset(models.TextChoices):
    """A preset of custom content, for a receiver that needs bodies of its own."""

    SLACK = "slack", "Slack"
    """A message for an incoming webhook of Slack."""
    TEAMS = "teams", "Microsoft Teams"
    """An adaptive card for a workflow of Teams."""
    POWER_AUTOMATE = "power_automate", "Power Automate"
    """A flat JSON object for a flow that an HTTP request starts."""


class NoticeKind(models.TextChoices):
    """What people are notified of: a change in the health of a webhook."""

    GIVEN_UP = "given_up", _("Delivery given up")
    """A delivery was given up, and the error action is to notify."""
    FAILING = "failing", pgettext_lazy("notification", "Failing")
    """No attempt has succeeded for ``NOTIFY_AFTER_SECONDS``."""
    FAILING_FOR_A_DAY = "failing_for_a_day", _("Failing for a day")
    """No attempt has succeeded for 24 hours."""
    DISABLED = "disabled", pgettext_lazy("notification", "Disabled")
    """The system disabled it, or the receiver did."""
    RECOVERED = "recovered", _("Recovered")
    """A delivery succeeded, and none has failed for ``NOTIFY_AFTER_SECONDS``."""


class NoticeChannel(models.TextChoices):
    """The way of a notification."""

    EMAIL = "email", _("E-mail")
    """One mail to all its recipients."""
    SLACK = "slack", "Slack"
    """A message to an incoming webhook of Slack."""
    TEAMS = "teams", "Microsoft Teams"
    """An adaptive card to a workflow of Teams."""


class NoticeStatus(models.TextChoices):
    """The state of a notification."""

    PENDING = "pending", pgettext_lazy("notification", "Pending")
    """It is sent at its next time; a former attempt may have failed."""
    SENDING = "sending", _("Sending, or interrupted")
    """A process has begun to send it. It is not sent again: if the process was killed, it may have arrived."""
    SENT = "sent", _("Sent")
    """The mail server, Slack or Teams accepted it."""
    FAILED = "failed", pgettext_lazy("notification", "Failed")
    """It was not sent, and is not tried again."""
