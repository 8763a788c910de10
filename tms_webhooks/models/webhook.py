"""Webhooks, with their fields of delivery, their signing secrets and their states. `webhook_fields` and `credentials` have the other fields.

People set the columns of `Webhook`, and workers write those of `WebhookState`: health, holds, tokens and lease.

Locks are taken in this order: the webhook, its state, its deliveries. Of several webhooks the one with the lowest key is
first.

- A change of the configuration locks the webhook.
- Successes, claims, and whatever changes several deliveries of a webhook lock the state.
- Failures, which may disable the webhook, and whatever decides by both rows lock both.
"""

from __future__ import annotations

import base64
import math
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import chain
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models, router, transaction
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from tms_webhooks import choices, event_names, validators
from tms_webhooks.conf import LONGEST_TIMEOUT, app_settings
from tms_webhooks.db.sql import database, for_update, numbers, read
from tms_webhooks.models import limits
from tms_webhooks.models.credentials import AuthenticationFields, known_headers
from tms_webhooks.models.encryption import EncryptedTextField, Sealed
from tms_webhooks.models.organization import organization_model
from tms_webhooks.models.public_ids import PublicIDModel
from tms_webhooks.models.webhook_fields import AudienceFields, RequestFormatFields
from tms_webhooks.net.urls import mask_query

LONGEST_DELAY = 86_400
"""Both in seconds."""
MCP_HEADER = "X-MCP-Subscription-Id"
"""The header by which a client of MCP knows the subscription of a request. The hook of a subscription has it."""
HEAVY_COLUMNS = ("headers", "credentials", "content", "contents")
"""The columns that hold secrets or long texts. Lists of webhooks and of their rows defer them."""
OLD_SECRETS_LIMIT = 3
"""Number of old secrets of a webhook that may sign at the same time."""

# Lock webhooks, or their states, in the order of their keys. By primary key.
LOCK = "SELECT id FROM {webhook} WHERE id IN ({ids}) ORDER BY id {lock}"
LOCK_STATES = "SELECT webhook_id FROM {webhookstate} WHERE webhook_id IN ({ids}) ORDER BY webhook_id {lock}"

# The condition of `WebhookSecretQuerySet.signing`, for statements written in SQL.
SIGNS = "(s.expires_at IS NULL OR s.expires_at > %(now)s)"


def heavy_columns(path: str = "webhook") -> list[str]:
    """Return the names of `HEAVY_COLUMNS` for ``defer`` in a query that reaches webhooks by this path."""
    return [f"{path}__{name}" for name in HEAVY_COLUMNS]


class ReceiverQuerySet(models.QuerySet["Webhook"]):
    """Filters and locks for webhooks."""

    def existing(self) -> ReceiverQuerySet:
        """Leave out deleted ones, whose rows stay for the delivery log."""
        return self.filter(deleted_at__isnull=True)

    def enabled(self) -> ReceiverQuerySet:
        """Keep enabled ones that are not deleted."""
        return self.existing().filter(enabled=True)

    def lock(self, keys: Iterable[int], *, with_state: bool = False) -> None:
        """Lock these webhooks until the transaction ends, and their states, too. The module says who locks what.

        Call it before locking anything that belongs to them: with one order of locks, transactions do not deadlock.
        """
        if database().features.has_select_for_update:
            keys = set(keys)
            read(LOCK, ids=numbers(keys), lock=for_update())
            if with_state:
                WebhookState.objects.lock(keys)

    @contextmanager
    def locked(self, key: int, *, with_state: bool = False) -> Iterator[None]:
        """Run the block in a transaction, with this webhook locked."""
        with transaction.atomic(using=router.db_for_write(self.model)):
            self.lock([key], with_state=with_state)
            yield


class Webhook(PublicIDModel, AudienceFields, RequestFormatFields, AuthenticationFields):
    """One receiver of events, of one organization."""

    PUBLIC_PREFIX = "whk_"

    organization = models.ForeignKey(
        organization_model(), on_delete=models.CASCADE, related_name="webhooks", verbose_name=_("organization")
    )
    name = models.CharField(_("name"), max_length=150, validators=[validators.validate_name])
    pull_only = models.BooleanField(
        _("pull only"),
        default=False,
        help_text=_("Nothing is sent: the receiver reads the events from the webhook's feed. The URL is empty then."),
    )
    url = models.CharField(
        _("URL"),
        max_length=2000,
        blank=True,
        default="",
        validators=[validators.validate_webhook_url],
        help_text=_(
            "Where events are sent, such as https://crm.example.com/hooks. It must respond with 2xx within the timeout. "
            "Optional: {tokens} in path and query."
        ),
    )
    verb = models.CharField(_("verb"), max_length=6, choices=choices.Verb.choices, default=choices.Verb.POST)
    delay_seconds = models.PositiveIntegerField(
        _("delay (seconds)"),
        default=0,
        validators=[MaxValueValidator(LONGEST_DELAY)],
        help_text=_("The delay before the first attempt."),
    )
    timeout_seconds = models.PositiveSmallIntegerField(
        _("timeout (seconds)"),
        default=20,
        validators=[MinValueValidator(1), MaxValueValidator(LONGEST_TIMEOUT)],
        help_text=_("The time limit of one attempt."),
    )
    max_retries = models.PositiveSmallIntegerField(
        _("max retries"),
        null=True,
        blank=True,
        validators=[MaxValueValidator(10)],
        help_text=_("The number of retries, 0 to 10. Empty: one per delay of the schedule."),
    )
    schedule = models.JSONField(
        _("schedule"),
        default=str,
        blank=True,
        validators=[validators.validate_schedule],
        help_text=_("standard, skillable, none, or a list of at most 15 delays in seconds. Empty: standard."),
    )
    max_in_flight = models.PositiveSmallIntegerField(
        _("max concurrent requests"),
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(100)],
        help_text=_("The number of concurrent requests to this webhook. Empty: as many as the operator allows."),
    )
    ordered = models.BooleanField(
        _("blocking"),
        default=False,
        help_text=_(
            "One request at a time, in order for each object: later events wait until earlier ones are finished."
        ),
    )
    rate_limit_per_second = models.FloatField(
        _("rate limit per second"),
        null=True,
        blank=True,
        validators=[validators.validate_rate],
        help_text=_("The highest number of requests per second. Further deliveries wait. Empty: no limit."),
    )
    error_action = models.CharField(
        _("error action"),
        max_length=10,
        choices=choices.ErrorAction.choices,
        default=choices.ErrorAction.LOG,
        help_text=_("The action when a delivery is given up."),
    )
    contacts = models.TextField(
        _("contacts"),
        blank=True,
        default="",
        validators=[validators.validate_contacts],
        help_text=_(
            "E-mail addresses, one per line. They get a message when the webhook fails, still fails after a day, is "
            "disabled, or works again."
        ),
    )
    enabled = models.BooleanField(_("enabled"), default=True)
    disabled_reason = models.CharField(
        _("disabled reason"),
        max_length=20,
        choices=choices.DisabledReason.choices,
        blank=True,
        default="",
        editable=False,
    )
    disabled_at = models.DateTimeField(_("disabled at"), null=True, editable=False)
    # Of a hook, which a program has made for itself: the caller, as api/views/webhooks.py names it, and the end.
    hook_of = models.CharField(max_length=120, blank=True, default="", editable=False)
    expires_at = models.DateTimeField(null=True, editable=False)
    deleted_at = models.DateTimeField(_("deleted at"), null=True, editable=False)
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    updated_at = models.DateTimeField(_("updated at"), auto_now=True)

    organization_id: Any
    state: WebhookState

    objects = ReceiverQuerySet.as_manager()

    class Meta:
        verbose_name = _("webhook")
        verbose_name_plural = _("webhooks")
        ordering = ("name", "pk")
        indexes = [
            # The existing webhooks of an organization.
            models.Index(
                fields=["organization"],
                name="tms_webhook_by_organization",
                condition=Q(deleted_at__isnull=True),
            ),
            # sources/interest.py: the few webhooks that receive events of child organizations, which each save reads.
            models.Index(
                fields=["include_children"],
                name="tms_webhook_with_children",
                condition=Q(deleted_at__isnull=True, include_children=True),
            ),
            # manage/hooks.py, hooks.py: the hooks of a caller, and all hooks.
            models.Index(fields=["hook_of"], name="tms_webhook_hooks", condition=Q(hook_of__gt="")),
            # delivery/notices.py: the few webhooks that are disabled.
            models.Index(fields=["disabled_reason"], name="tms_webhook_disabled", condition=Q(enabled=False)),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(pull_only=True, url="") | (Q(pull_only=False) & ~Q(url="")),
                name="tms_webhook_url_unless_pull_only",
            ),
            models.CheckConstraint(
                condition=Q(timeout_seconds__gte=1, timeout_seconds__lte=LONGEST_TIMEOUT),
                name="tms_webhook_timeout_range",
            ),
            models.CheckConstraint(condition=Q(delay_seconds__lte=LONGEST_DELAY), name="tms_webhook_delay_range"),
            models.CheckConstraint(
                condition=Q(max_retries__isnull=True) | Q(max_retries__lte=10), name="tms_webhook_retries_range"
            ),
            models.CheckConstraint(
                condition=Q(max_in_flight__isnull=True) | Q(max_in_flight__gte=1), name="tms_webhook_in_flight_range"
            ),
            models.CheckConstraint(
                condition=Q(rate_limit_per_second__isnull=True) | Q(rate_limit_per_second__gt=0),
                name="tms_webhook_rate_positive",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def save(self, *args: Any, using: str | None = None, secret: str | None = None, **kwargs: Any) -> None:
        """Save the row. In the same transaction a new webhook gets its state, and ``secret`` or a generated one.

        Raise `LimitReached` for a new one if the organization has WEBHOOKS_LIMIT of them.
        """
        if not self._state.adding:
            super().save(*args, using=using, **kwargs)
            return
        using = using or router.db_for_write(type(self), instance=self)
        with transaction.atomic(using=using):
            self.refuse_beyond_limit(using=using)
            super().save(*args, using=using, **kwargs)
            WebhookState.objects.using(using).create(webhook=self)
            self.secrets.model(webhook=self, value=secret or new_secret()).save(using=using)

    def refuse_beyond_limit(self, *, using: str) -> None:
        """Raise `LimitReached` if its organization may not get another webhook. Call it in a transaction.

        The organization is locked until the transaction ends, so that another request does not add one, too.
        """
        limits.lock_organization(self.organization_id, using=using)
        present = type(self).objects.using(using).existing().filter(organization=self.organization_id).count()
        limits.refuse("WEBHOOKS_LIMIT", present)

    def clean(self) -> None:
        """Refuse fields that contradict each other or are incomplete, with all errors together."""
        super().clean()
        problems = chain(
            self.audience_problems(),
            self.header_problems(),
            self.authentication_problems(),
            self._setting_problems(),
        )
        errors: dict[str, list[ValidationError]] = {}
        for name, error in problems:
            errors.setdefault(name, []).append(error)
        if errors:
            raise ValidationError(errors)

    def _setting_problems(self) -> Iterator[tuple[str, ValidationError]]:
        """Yield an error for each setting that another one, or a setting of the operator, does not allow."""
        if self.pull_only and self.url:
            message = _("URL is %(url)s, but nothing is sent to a pull-only webhook; leave it empty.")
            yield "url", ValidationError(message, params={"url": self.url})
        if not self.pull_only and not self.url:
            message = _("URL is empty; give the URL of the receiver, or set pull only.")
            yield "url", ValidationError(message, code="no_url")
        has_content = self.content.strip() or self.contents
        # Requests with these verbs may have no body.
        needs_content = self.verb not in (choices.Verb.GET, choices.Verb.DELETE)
        if self.format == choices.PayloadFormat.CUSTOM and needs_content and not has_content:
            message = _("Content is empty; write the body of the requests, select a preset, or choose another format.")
            yield "content", ValidationError(message, code="empty")
        if self.error_action == choices.ErrorAction.NOTIFY and not (self.contacts.strip() or app_settings.CONTACTS):
            message = _("Contacts is empty; give an e-mail address, or choose another error action.")
            yield "contacts", ValidationError(message, code="no_contacts")
        # The field reports a value that is no number.
        if isinstance(self.max_in_flight, int) and self.max_in_flight > app_settings.MAX_IN_FLIGHT:
            message = _(
                "Too large; the operator allows at most %(limit)s concurrent requests per webhook. Lower the "
                "number, or leave it empty."
            )
            params = {"limit": app_settings.MAX_IN_FLIGHT}
            yield "max_in_flight", ValidationError(message, code="max_value", params=params)

    def is_subject_of(self, event: Any) -> bool:
        """Return whether this is an operational event about the webhook itself, which does not receive it."""
        return bool(event.subject_id == self.public_id) and event_names.is_operational(event.type)

    @property
    def masked_url(self) -> str:
        """The URL for users who may view the webhook only: query values that look like secrets are masked."""
        return mask_query(self.url)

    @property
    def mcp_subscription(self) -> str | None:
        """The id of the MCP subscription that this hook is; empty for any other webhook, None if its headers can't be read."""
        headers = known_headers(self.headers) if self.hook_of else {}
        return None if headers is None else headers.get(MCP_HEADER, "")

    def is_awake(self, now: datetime) -> bool:
        """Return whether it receives new events now: it is enabled, and neither held nor paused after failures."""
        return self.takes_retries(now) and not self.state.is_paused(now)

    def takes_retries(self, now: datetime) -> bool:
        """Return whether deliveries that failed before are tried again now: a pause does not stop them, a hold does."""
        return self.enabled and not self.pull_only and self.deleted_at is None and not self.state.is_held(now)

    def status(self, now: datetime) -> str:
        """Return ``enabled``, ``held`` or ``paused`` (for a time, at a request or after failures), or ``disabled``."""
        if not self.enabled:
            return "disabled"
        if self.state.is_paused(now):
            return "paused"
        return "held" if self.state.is_held(now) else "enabled"

    def signing_secrets(self, now: datetime) -> list[str]:
        """Return the secrets that sign at ``now``, newest first.

        Raise `SecretError` if one of them can't be decrypted.
        """
        return [value.reveal() for value in self.sealed_secrets(now)]

    def sealed_secrets(self, now: datetime) -> list[Sealed]:
        """Return the secrets that sign at ``now``, newest first, still encrypted."""
        rows: Any = self.secrets
        return [secret.value for secret in rows.signing(now).only("webhook_id", "value")]


class WebhookSecretQuerySet(models.QuerySet["WebhookSecret"]):
    """Filters for secrets."""

    def signing(self, now: datetime) -> WebhookSecretQuerySet:
        """Keep those that sign at ``now``, newest first."""
        return self.filter(Q(expires_at__isnull=True) | Q(expires_at__gt=now)).order_by("-pk")


class WebhookSecret(PublicIDModel):
    """One secret of a webhook. The current one has no ``expires_at``; rotated ones sign until theirs."""

    PUBLIC_PREFIX = "sec_"

    webhook = models.ForeignKey(Webhook, on_delete=models.CASCADE, related_name="secrets", verbose_name=_("webhook"))
    value = EncryptedTextField(_("value"), bound_to="webhook_id")
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    expires_at = models.DateTimeField(_("expires at"), null=True, blank=True)

    objects = WebhookSecretQuerySet.as_manager()

    class Meta:
        verbose_name = _("webhook secret")
        verbose_name_plural = _("webhook secrets")
        constraints = [
            models.UniqueConstraint(
                fields=["webhook"], condition=Q(expires_at__isnull=True), name="tms_webhook_one_current_secret"
            ),
        ]

    def __str__(self) -> str:
        return f"secret {self.pk} of webhook {self.webhook_id}"


def new_secret() -> str:
    """Return a fresh signing secret: ``whsec_`` and 32 random bytes in base64, the format of Standard Webhooks."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


# Between the end of a hold and the attempt that renews it.
KEYS_GRACE = timedelta(minutes=1)

NOTICEABLE = Q(failing_since__isnull=False) | Q(given_up_at__isnull=False) | ~Q(notified_of="")
"""The enabled webhooks that are not simply healthy. A condition of the database, for an index."""

NO_FAILURES = {
    "failures": 0,
    "failing_since": None,
    "failing_delivery": None,
    "paused_until": None,
    "pauses": 0,
    "warned_percent": 0,
}
"""The values of a webhook that has not failed since its last success."""
NO_HOLD = {"held_until": None, "hold_reason": ""}


class WebhookStateQuerySet(models.QuerySet["WebhookState"]):
    """Filters and locks for the states of webhooks."""

    def lock(self, keys: Iterable[int]) -> None:
        """Lock the states of these webhooks until the transaction ends, before their deliveries."""
        if database().features.has_select_for_update:
            read(LOCK_STATES, ids=numbers(keys), lock=for_update())

    def without_keys(self, now: datetime) -> WebhookStateQuerySet:
        """Keep those that are held because no encryption key decrypts their secrets, or were a minute before ``now``."""
        held = self.filter(hold_reason=choices.HoldReason.KEYS, held_until__gt=now - KEYS_GRACE)
        return held.filter(webhook__enabled=True, webhook__deleted_at__isnull=True)


class WebhookState(models.Model):
    """The state of one webhook. `Webhook.save` creates it in the transaction that creates the webhook."""

    webhook = models.OneToOneField(
        "tms_webhooks.Webhook", on_delete=models.CASCADE, primary_key=True, related_name="state"
    )
    # The worker that may send, and until when, by the database's clock.
    lease = models.CharField(max_length=36, blank=True, default="")
    leased_until = models.DateTimeField(null=True)
    served_at = models.DateTimeField(null=True)
    # Health: see delivery/health.py.
    failures = models.PositiveIntegerField(default=0)
    failing_since = models.DateTimeField(null=True)
    succeeded_at = models.DateTimeField(null=True)
    paused_until = models.DateTimeField(null=True)
    pauses = models.PositiveSmallIntegerField(default=0)
    # The only delivery that has failed since the last success; empty if several have, or none.
    failing_delivery = models.BigIntegerField(null=True)
    held_until = models.DateTimeField(null=True)
    hold_reason = models.CharField(max_length=12, choices=choices.HoldReason.choices, blank=True, default="")
    warned_percent = models.PositiveSmallIntegerField(default=0)
    # Notifications: see delivery/notices.py.
    failed_at = models.DateTimeField(null=True)
    # The result of the last failed attempt: a status code, or an error class.
    failed_with = models.CharField(max_length=20, blank=True, default="")
    # The last delivery that was given up, where the error action is to notify.
    given_up_at = models.DateTimeField(null=True)
    # The last change that people were notified of. Empty after a recovery.
    notified_of = models.CharField(max_length=20, choices=choices.NoticeKind.choices, blank=True, default="")
    notified_at = models.DateTimeField(null=True)
    # Rate limit: see worker/endpoint_queues.py.
    tokens = models.FloatField(default=0.0)
    tokens_at = models.DateTimeField(null=True)

    webhook_id: Any

    objects = WebhookStateQuerySet.as_manager()

    class Meta:
        indexes = [
            # worker/statements.py: the webhooks that workers hold.
            models.Index(fields=["lease"], name="tms_webhook_leased", condition=Q(lease__gt="")),
            # delivery/notices.py: the few webhooks that people may have to be notified of. Not on the key: MariaDB knows no
            # condition, and would lock rows by this index that others lock by their key.
            models.Index(fields=["notified_of"], name="tms_webhook_noticeable", condition=NOTICEABLE),
        ]

    def is_held(self, now: datetime) -> bool:
        """Return whether it gets no requests because the receiver asked for it, or an encryption key is missing."""
        return self.held_until is not None and self.held_until > now

    def is_paused(self, now: datetime) -> bool:
        """Return whether it gets no new events because it has failed several times."""
        return self.paused_until is not None and self.paused_until > now

    def write(self, **values: Any) -> None:
        """Write these values to the row and to the object. Call it with the row locked, if the values depend on others."""
        for name, value in values.items():
            setattr(self, name, value)
        self.save(update_fields=values)


# The rate limit, as a bucket of tokens that workers keep in the state

# Seconds that the clocks of two machines may differ. A time further ahead was written before a clock was set back.
MAX_CLOCK_SKEW = 5.0
# A rate allows as many requests at a time as in this many seconds, and at least one.
BURST_SECONDS = 0.05
# A rate is kept a little below its number: otherwise requests that leave a moment too early would exceed it.
RATE_MARGIN = 0.98


class RateLimit:
    """How many requests of one webhook may be started, by its rate limit; counted in tokens.

    In any second no more than the rate are allowed. After a clock was set back the count begins again; otherwise
    nothing would be sent until the clock has caught up.
    """

    __slots__ = ("_burst", "_refill", "tokens", "tokens_at")

    def __init__(self, rate: float, tokens: float, tokens_at: datetime | None) -> None:
        # How many requests at a time, and how many a second are added. In no second it is more than the rate.
        self._burst = max(1.0, rate * BURST_SECONDS)
        self._refill = RATE_MARGIN * (rate - (self._burst - 1.0))
        self.tokens, self.tokens_at = tokens, tokens_at

    @classmethod
    def of(cls, webhook: Webhook) -> RateLimit | None:
        """Return the rate limit of a webhook as its last owner left it.

        None without a limit, or where a host wrote an invalid one past the forms.
        """
        rate = webhook.rate_limit_per_second
        if rate is None or not (math.isfinite(rate) and rate > 0):
            return None
        return cls(rate, webhook.state.tokens, webhook.state.tokens_at)

    def allowed(self, now: datetime) -> float:
        """Return how many requests may be started now."""
        if self.tokens_at is None:
            return self._burst
        seconds = (now - self.tokens_at).total_seconds()
        if seconds < -MAX_CLOCK_SKEW:
            return self._burst
        return min(self._burst, self.tokens + self._refill * max(0.0, seconds))

    def take(self, now: datetime) -> None:
        """Count one request that is started now."""
        self.tokens, self.tokens_at = self.allowed(now) - 1.0, now

    def seconds_until_allowed(self, now: datetime) -> float:
        """Return in how many seconds the next request may be started; 0 if it may now."""
        return max(0.0, (1.0 - self.allowed(now)) / self._refill)
