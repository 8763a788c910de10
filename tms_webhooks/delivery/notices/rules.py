"""When people are notified of a webhook: the pure rule, and the filter of the database that finds the candidates.

A webhook remembers the last change that people were notified of (``notified_of``). The rule compares it with the webhook's
health, so each change is one notice, whichever process notices it first:

- failing: no attempt has succeeded for ``NOTIFY_AFTER_SECONDS``
- failing for a day: the same, for 24 hours
- disabled: by the system or the receiver; a user who disables a webhook knows it
- recovered, after one of these: a delivery has succeeded since the last failure, which is ``NOTIFY_AFTER_SECONDS`` ago. A
  receiver that fails again and again is not reported as recovered in between.
- given up: a delivery was given up, the error action is to notify, and people were not notified of anything since the
  last recovery

Test sends and manual resends change none of these times.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db.models import F, Q

from tms_webhooks.choices import DISABLED_BY_USER, NoticeKind
from tms_webhooks.models import Webhook
from tms_webhooks.models.webhook import NOTICEABLE

DAY = timedelta(hours=24)
FAILING_KINDS = (NoticeKind.FAILING, NoticeKind.FAILING_FOR_A_DAY)


def due_notice(webhook: Webhook, *, now: datetime, after: timedelta) -> NoticeKind | None:
    """Return the notice that a webhook is due, or None. ``after`` is NOTIFY_AFTER_SECONDS."""
    if webhook.pull_only or webhook.deleted_at is not None:
        return None
    if not webhook.enabled:
        return _notice_of_disabled(webhook)
    if webhook.failing_since is not None:
        failing_for = now - webhook.failing_since
        if failing_for >= DAY and webhook.notified_of != NoticeKind.FAILING_FOR_A_DAY:
            return NoticeKind.FAILING_FOR_A_DAY
        is_known = webhook.notified_of in FAILING_KINDS
        if failing_for >= after and not is_known:
            return NoticeKind.FAILING
    elif webhook.notified_of and _has_recovered(webhook, now - after):
        return NoticeKind.RECOVERED
    return NoticeKind.GIVEN_UP if webhook.given_up_at is not None and not webhook.notified_of else None


def is_outage_known(webhook: Webhook) -> bool:
    """Return whether people were notified that a webhook fails or was disabled, and it still does or is."""
    if webhook.pull_only or webhook.deleted_at is not None:
        return False
    if not webhook.enabled:
        return webhook.notified_of == NoticeKind.DISABLED and _notice_of_disabled(webhook) is None
    return webhook.failing_since is not None and webhook.notified_of in FAILING_KINDS


def candidates(now: datetime, after: timedelta) -> Q:
    """Return the filter for the webhooks that `due_notice` is not None for, by the index ``tms_webhook_noticeable``."""
    failing_for_a_day = Q(failing_since__lte=now - DAY) & ~Q(notified_of=NoticeKind.FAILING_FOR_A_DAY)
    failing = Q(failing_since__lte=now - after) & ~Q(notified_of__in=FAILING_KINDS)
    succeeded_since = Q(failed_at__isnull=True) | Q(failed_at__lte=now - after, failed_at__lt=F("succeeded_at"))
    recovered = Q(succeeded_since, ~Q(notified_of=""), failing_since__isnull=True, succeeded_at__isnull=False)
    given_up = Q(given_up_at__isnull=False, notified_of="")
    disabled = ~Q(disabled_reason__in=DISABLED_BY_USER) & (
        ~Q(notified_of=NoticeKind.DISABLED) | Q(disabled_at__gt=F("notified_at"))
    )
    of_enabled = Q(enabled=True) & (failing_for_a_day | failing | recovered | given_up)
    return NOTICEABLE & Q(deleted_at__isnull=True, pull_only=False) & (of_enabled | (Q(enabled=False) & disabled))


def _notice_of_disabled(webhook: Webhook) -> NoticeKind | None:
    if webhook.disabled_reason in DISABLED_BY_USER:
        return None
    # It may have been enabled and disabled again since the last notice.
    is_known = (
        webhook.notified_of == NoticeKind.DISABLED
        and webhook.notified_at is not None
        and (webhook.disabled_at is None or webhook.disabled_at <= webhook.notified_at)
    )
    return None if is_known else NoticeKind.DISABLED


def _has_recovered(webhook: Webhook, limit: datetime) -> bool:
    """Return whether an attempt has succeeded since the last failure, which was at ``limit`` or before."""
    if webhook.succeeded_at is None or webhook.failed_at is None:
        return webhook.succeeded_at is not None
    return webhook.failed_at <= limit and webhook.failed_at < webhook.succeeded_at
