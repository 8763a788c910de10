"""Subscriptions: the events that a webhook receives."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models, router, transaction
from django.db.models import F, Q
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from tms_webhooks import catalogue, event_names
from tms_webhooks.filters import criteria, parsing
from tms_webhooks.filters.paths import suggested
from tms_webhooks.models import limits
from tms_webhooks.models.audience import SubscriberScope
from tms_webhooks.models.public_ids import PublicIDModel
from tms_webhooks.models.webhook import Webhook
from tms_webhooks.validators import MOST_DAYS

DEFAULT_WINDOW = (0.0, 30.0)
"""The days window of a subscription without one."""
LONGEST_QUIET_SECONDS = 86_400
"""The longest quiet period, and the longest time that an update waits for one."""
QUIET_PERIODS = 5
"""An update waits for at most this many quiet periods, unless the subscription says otherwise."""


def longest_quiet_seconds(quiet_seconds: int, longest: int | None) -> int:
    """Return the longest time that an update waits for further ones, in seconds; ``longest`` is the configured one, or None."""
    return longest or min(QUIET_PERIODS * quiet_seconds, LONGEST_QUIET_SECONDS)


class SubscriptionQuerySet(models.QuerySet["Subscription"]):
    """Filters for subscriptions."""

    def add_to(self, webhook: Webhook, subscriptions: Sequence[Subscription]) -> None:
        """Save new subscriptions of a webhook in few statements; raise `LimitReached` if they are too many."""
        using = router.db_for_write(self.model)
        for one in subscriptions:
            one.webhook = webhook
        with transaction.atomic(using=using):
            self.refuse_beyond_limit(webhook, adding=len(subscriptions), using=using)
            self.using(using).bulk_create(subscriptions)

    def refuse_beyond_limit(self, webhook: Webhook, *, adding: int, using: str) -> None:
        """Raise `LimitReached` if a webhook may not get this many more. Call it in a transaction.

        The webhook is locked until the transaction ends, so that another request does not add some, too.
        """
        Webhook.objects.lock([webhook.pk])
        present = self.using(using).filter(webhook=webhook).count()
        limits.refuse("SUBSCRIPTIONS_LIMIT", present, adding=adding)

    def of_existing_webhooks(self) -> SubscriptionQuerySet:
        """Leave out those of deleted webhooks. Those of disabled ones stay: their missed events can be replayed."""
        return self.filter(webhook__deleted_at__isnull=True)

    def matching(self, event_types: Iterable[str]) -> SubscriptionQuerySet:
        """Keep those that match at least one of these event types."""
        patterns = {pattern for event_type in event_types for pattern in event_names.patterns_for(event_type)}
        return self.of_existing_webhooks().filter(event_type__in=sorted(patterns))

    def scopes(self) -> set[SubscriberScope]:
        """Return the different scopes of their webhooks."""
        fields = ("webhook__organization_id", "webhook__audience", "webhook__include_children")
        return {SubscriberScope(*row) for row in self.order_by().values_list(*fields).distinct()}


class Subscription(PublicIDModel):
    """One event name or pattern of a webhook, with the days window of ``expiring`` events."""

    PUBLIC_PREFIX = "sub_"

    webhook = models.ForeignKey(
        Webhook, on_delete=models.CASCADE, related_name="subscriptions", verbose_name=_("webhook")
    )
    event_type = models.CharField(
        _("event"), max_length=100, help_text=_("An event such as class.cancelled, all of a noun as class.*, or *.")
    )
    more_than_days = models.FloatField(
        _("more than days"),
        null=True,
        blank=True,
        help_text=_("For expiring events: send while more than this number of days is left."),
    )
    less_than_days = models.FloatField(
        _("less than days"),
        null=True,
        blank=True,
        help_text=_("For expiring events: send once fewer than this number of days is left."),
    )
    filters = models.JSONField(
        _("filters"),
        default=dict,
        blank=True,
        help_text=_('Only matching events: lists of accepted values, such as {"course": [301]}. Empty: all.'),
    )
    condition = models.JSONField(
        _("condition"),
        null=True,
        blank=True,
        help_text=_('A condition that an event must meet, such as {"data.grade": {"gte": 50}}. Empty: anything.'),
    )

    quiet_seconds = models.PositiveIntegerField(
        _("quiet seconds"),
        default=0,
        validators=[MaxValueValidator(LONGEST_QUIET_SECONDS)],
        help_text=_(
            "For updated and progressed events: wait until the object has had no further one for this number of seconds, then "
            "send one request for all. 0: send each immediately."
        ),
    )
    quiet_longest_seconds = models.PositiveIntegerField(
        _("longest wait seconds"),
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(LONGEST_QUIET_SECONDS)],
        help_text=_("Send the request after at most this number of seconds. Empty: five times the quiet seconds."),
    )

    webhook_id: int

    objects = SubscriptionQuerySet.as_manager()

    class Meta:
        verbose_name = _("subscription")
        verbose_name_plural = _("subscriptions")
        ordering = ("webhook", "event_type", "pk")
        indexes = [
            # SubscriptionQuerySet.matching.
            models.Index(fields=["event_type", "webhook"], name="tms_subscription_by_event"),
            # fanout_sql.py: the subscriptions with a quiet period. Partial, because few have one.
            models.Index(fields=["quiet_seconds"], name="tms_subscription_quiet", condition=Q(quiet_seconds__gt=0)),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(less_than_days__isnull=True, more_than_days__isnull=True)
                | Q(less_than_days__isnull=False, less_than_days__gt=0, more_than_days__isnull=True)
                # The first two, because a comparison with NULL is unknown, and a check constraint accepts unknown.
                | Q(
                    less_than_days__isnull=False,
                    more_than_days__isnull=False,
                    more_than_days__gte=0,
                    more_than_days__lt=F("less_than_days"),
                ),
                name="tms_subscription_window_order",
            ),
            models.CheckConstraint(
                condition=Q(quiet_seconds__lte=LONGEST_QUIET_SECONDS, quiet_longest_seconds__isnull=True)
                | Q(
                    quiet_seconds__gt=0,
                    quiet_longest_seconds__isnull=False,
                    quiet_longest_seconds__gte=F("quiet_seconds"),
                    quiet_longest_seconds__lte=LONGEST_QUIET_SECONDS,
                ),
                name="tms_subscription_quiet_range",
            ),
        ]

    def __str__(self) -> str:
        return self.event_type

    CONFIGURED = (
        "event_type",
        "more_than_days",
        "less_than_days",
        "quiet_seconds",
        "quiet_longest_seconds",
        "filters",
        "condition",
    )
    """The fields that a user sets."""

    def save(self, *args: Any, using: str | None = None, **kwargs: Any) -> None:
        """Save the row. Raise `LimitReached` for a new one if the webhook has SUBSCRIPTIONS_LIMIT of them."""
        if not self._state.adding:
            super().save(*args, using=using, **kwargs)
            return
        using = using or router.db_for_write(type(self), instance=self)
        with transaction.atomic(using=using):
            type(self).objects.refuse_beyond_limit(self.webhook, adding=1, using=using)
            super().save(*args, using=using, **kwargs)

    @property
    def window(self) -> tuple[float, float]:
        """The days window, exclusive at both ends: an event is emitted while the days left are between the two."""
        if self.less_than_days is None:
            return DEFAULT_WINDOW
        return (self.more_than_days or 0.0, self.less_than_days)

    @property
    def longest_quiet_seconds(self) -> int:
        """The longest time that an update waits for further ones, in seconds."""
        return longest_quiet_seconds(self.quiet_seconds, self.quiet_longest_seconds)

    @property
    def has_window(self) -> bool:
        """Whether one of its events is about a date that comes near, so that its days window matters."""
        return any(event_type.has_window for event_type in catalogue.expand(self.event_type))

    @property
    def selection(self) -> str:
        """The events that it selects, as text: two subscriptions of a webhook with the same text are duplicates."""
        days = [None if value is None else float(value) for value in (self.more_than_days, self.less_than_days)]
        filters = {
            name: sorted(map(str, values)) if isinstance(values, list) else values
            for name, values in (self.filters if isinstance(self.filters, dict) else {}).items()
        }
        return json.dumps([self.event_type, days, filters, self.condition or None], sort_keys=True, default=str)

    @property
    def is_filtered(self) -> bool:
        """Whether it receives only some of the events that match its name or pattern."""
        return self.filters != {} or self.condition is not None

    def clean(self) -> None:
        """Refuse unknown events, empty windows, quiet periods of statuses, and filters that do not fit the events."""
        event_types = catalogue.expand(self.event_type)
        errors = {**self._window_problems(), **self._quiet_problems([one.name for one in event_types])}
        # An empty one is refused by the field.
        if self.event_type and not event_types:
            errors["event_type"] = _unknown(self.event_type)
        elif not event_names.is_offered(self.event_type):
            errors["event_type"] = _(
                "%(name)s is for one webhook only, and no subscription receives it. Subscribe to other events. A test or a "
                "snapshot of the webhook sends this one."
            ) % {"name": self.event_type}
        checks: dict[str, Callable[..., object]] = {"filters": criteria.check, "condition": parsing.check}
        for name, check in checks.items():
            value = getattr(self, name)
            try:
                if event_types and value not in (None, {}):
                    check(value, event_types)
            except ValidationError as error:
                errors[name] = error
        if errors:
            raise ValidationError(errors)

    def _window_problems(self) -> dict[str, Any]:
        """Return the errors of the two days, by field; only the first one of each."""
        more, less = self.more_than_days, self.less_than_days
        is_undated = bool(catalogue.expand(self.event_type)) and not self.has_window
        errors: dict[str, Any] = {}
        for name, value in (("more_than_days", more), ("less_than_days", less)):
            if value is None:
                continue
            if is_undated:
                problem = _("%(name)s does not depend on a date; leave both days empty.")
            elif not 0 <= value <= MOST_DAYS:
                problem = _("%(value)g is not a number of days from 0 to %(most)s.")
            else:
                continue
            errors[name] = problem % {"value": value, "name": self.event_type, "most": f"{MOST_DAYS:,.0f}"}
        if errors or (more is None and less is None):
            return errors
        if less is None:
            problem = _("Less than days is empty; give the upper end of the window, above %(more)g.")
            return {"less_than_days": problem % {"more": more}}
        if (more or 0) >= less:
            problem = _(
                "More than days is %(more)g, and less than days is %(less)g; the first has to be the smaller one."
            )
            return {"less_than_days" if more is None else "more_than_days": problem % {"more": more or 0, "less": less}}
        return {}

    def _quiet_problems(self, names: Iterable[str]) -> dict[str, Any]:
        quiet, longest = self.quiet_seconds, self.quiet_longest_seconds
        if not quiet:
            if longest is None:
                return {}
            message = _("The longest wait is %(longest)d seconds, but the quiet period is 0 seconds; leave this empty.")
            return {"quiet_longest_seconds": message % {"longest": longest}}
        errors: dict[str, Any] = {}
        if self.event_type and not any(map(event_names.may_be_merged, names)):
            errors["quiet_seconds"] = _(
                "The quiet period is %(value)d seconds, but %(name)s is sent immediately: only updated and progressed events have a "
                "quiet period. Set 0."
            ) % {"value": quiet, "name": self.event_type}
        if longest is not None and longest < quiet:
            errors["quiet_longest_seconds"] = _(
                "The longest wait is %(longest)d seconds, less than the quiet period of %(quiet)d; give at least %(quiet)d."
            ) % {"longest": longest, "quiet": quiet}
        return errors


def duplicates(subscriptions: Iterable[Subscription]) -> dict[int, ValidationError]:
    """Return an error for each subscription that selects the same events as an earlier one, by its index."""
    seen: set[str] = set()
    errors: dict[int, ValidationError] = {}
    for index, one in enumerate(subscriptions):
        if one.selection in seen:
            message = _(
                "Another subscription of the webhook has the same event and the same filters: %(name)s. Remove one, or "
                "change its filters."
            )
            errors[index] = ValidationError(message, code="duplicate", params={"name": one.event_type})
        seen.add(one.selection)
    return errors


def _unknown(pattern: str) -> str:
    message = gettext("Unknown event: %(value)s.") % {"value": pattern}
    similar = suggested(event_names.nearest_patterns(pattern))
    return message + (similar or gettext(" Choose an existing one, all events of a noun as class.*, or *."))
