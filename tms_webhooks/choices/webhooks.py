"""The configuration choices of a webhook, and the reasons for which it is disabled."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy


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
    """How well a webhook works, in one word: from its state and its figures of the last 24 hours, without tests."""

    HEALTHY = "healthy", _("Healthy")
    """Enabled, at least 95 % of its attempts were delivered, and no delivery was given up."""
    DEGRADED = "degraded", _("Degraded")
    """Enabled, but fewer than 95 % of its attempts were delivered, a delivery was given up, or its last attempt failed over
    24 hours ago."""
    FAILING = "failing", _("Failing")
    """It was paused after failures in a row, and has had no success since."""
    DISABLED = "disabled", pgettext_lazy("webhook", "Disabled")
    """Nothing is sent to it."""
    IDLE = "idle", _("Idle")
    """Enabled, and nothing was sent to it."""


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
    BLOCKED_TARGET = "blocked_target", _("Blocked target")
    """Its URL, or the token URL of its authentication, has a blocked address."""


DISABLED_BY_USER: tuple[str, ...] = ("", DisabledReason.ADMIN)
"""The reasons of webhooks that a user disabled."""


class HoldReason(models.TextChoices):
    """The reason that a webhook is held: it gets no requests until a known time, and has not failed."""

    RETRY_AFTER = "retry_after", _("Retry-After")
    """The receiver requested it with a 429 or 503."""
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
