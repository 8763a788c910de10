"""How a webhook wants to be told, and what becomes of it."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy


class FieldPrivacy(models.TextChoices):
    """What a payload field may reveal."""

    ID = "id", _("Identifier")
    """Internal and external ids."""
    BASIC = "basic", _("Basic")
    """Facts about the training: names of courses, dates, statuses."""
    PERSONAL = "personal", _("Personal")
    """Names, e-mail addresses and free text of people."""


class Audience(models.TextChoices):
    """Whose events a webhook is told of."""

    OWNER = "owner", _("Owner organization")
    """What belongs to its organization: a class, and whoever is enrolled in it."""
    LEARNER = "learner", _("Learner organization")
    """What its organization's own learners do, wherever they do it."""
    BOTH = "both", _("Both")
    """Either."""


class CheckResult(models.TextChoices):
    """Whether a webhook gets an event, as far as one question of it says."""

    YES = "yes", _("Yes")
    """It does."""
    NO = "no", _("No")
    """It doesn't."""
    HELD = "held", _("Held back")
    """It is kept for it as a skipped delivery, and not sent by itself."""


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

    LOG = "log", pgettext_lazy("error action", "Log")
    """Nothing more than the delivery log."""
    NOTIFY = "notify", _("Send notification")
    """E-mail the contacts, once until the webhook works again."""
    DISABLE = "disable", _("Disable the webhook")
    """Stop sending until a person has looked."""
