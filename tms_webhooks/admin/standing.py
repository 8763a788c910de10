"""How a webhook does, in words: whether it gets requests, why not, and what happens next."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.utils import formats, timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext, pgettext

from tms_webhooks.admin.numbers import written
from tms_webhooks.choices import DisabledReason
from tms_webhooks.conf import app_settings
from tms_webhooks.delivery.health import percent_to_disabling
from tms_webhooks.models import Webhook


@dataclass(frozen=True, slots=True)
class Standing:
    """``kind`` is one of ``well``, ``new``, ``failing``, ``paused`` and ``disabled``; the rest is for people."""

    kind: str
    headline: str
    sentences: tuple[str, ...]


def standing(webhook: Webhook, *, now: datetime) -> Standing:
    """Return how a webhook does."""
    if not webhook.enabled:
        return Standing("disabled", pgettext("webhook", "Disabled"), _why_disabled(webhook))
    if not webhook.is_awake(now):
        probe = _("One request goes out at %(moment)s, to see whether it answers again; what waits until then is kept.")
        sentences = (_failing(webhook), probe % {"moment": moment(webhook.paused_until)}, *_outlook(webhook, now))
        return Standing("paused", _("Failing, and paused"), sentences)
    if webhook.failures:
        return Standing("failing", _("Failing"), (_failing(webhook), *_outlook(webhook, now)))
    if webhook.succeeded_at is None:
        return Standing("new", pgettext("webhook", "Enabled"), (_("Nothing has been delivered to it yet."),))
    told = _("It took the last delivery at %(moment)s.") % {"moment": moment(webhook.succeeded_at)}
    return Standing("well", _("Healthy"), (told,))


def moment(value: datetime | None) -> str:
    """Return a time as people read it, in the zone of the page."""
    if value is None:
        return "–"
    there = timezone.localtime(value) if timezone.is_aware(value) else value
    # Not DATETIME_FORMAT: in English it ends with "p.m.", which is no end of a sentence.
    return f"{formats.date_format(there, 'DATE_FORMAT')}, {formats.date_format(there, 'H:i')}"


def why_disabled(reason: str) -> str:
    """Return a sentence for what made a webhook disabled."""
    told = {
        DisabledReason.GONE: _("The receiver answered 410 Gone: it wants no more requests."),
        DisabledReason.FAILING: _("It failed too often for too long."),
        DisabledReason.RECEIVER_REQUESTED: _(
            "The receiver asked for it, with “webhook-delivery: disable” in its answer."
        ),
        DisabledReason.ADMIN: _("Somebody disabled it, or what to do on errors says so."),
        DisabledReason.BLOCKED_TARGET: _("Its URL leads where this system must not go: change the URL first."),
    }
    return told[DisabledReason(reason)] if reason in DisabledReason.values else _("Nobody wrote down why.")


def _why_disabled(webhook: Webhook) -> tuple[str, ...]:
    since = _("It has got no requests since %(moment)s.") % {"moment": moment(webhook.disabled_at)}
    kept = _("What happens meanwhile is kept as skipped. Once it is enabled, replay what was missed.")
    return (why_disabled(webhook.disabled_reason), *((since,) if webhook.disabled_at else ()), kept)


def _failing(webhook: Webhook) -> str:
    told = ngettext(
        "%(count)d attempt failed, since %(moment)s.",
        "%(count)d attempts in a row failed, since %(moment)s.",
        webhook.failures,
    )
    return told % {"count": webhook.failures, "moment": moment(webhook.failing_since)}


def _outlook(webhook: Webhook, now: datetime) -> tuple[str, ...]:
    percent = percent_to_disabling(webhook, now)
    told = _(
        "After %(failures)d failures in a row and %(days)s days without a success it is disabled; it is %(percent)d %% "
        "of the way there."
    )
    values = {
        "failures": app_settings.DISABLE_AFTER_FAILURES,
        "days": written(app_settings.DISABLE_AFTER_DAYS),
        "percent": percent,
    }
    return (told % values,) if webhook.failing_since else ()
