"""The health of a webhook in words: whether it receives requests, the reason, and the next step."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.utils.translation import gettext as _
from django.utils.translation import ngettext, pgettext

from tms_webhooks.admin.formatting import format_number, format_time
from tms_webhooks.choices import DisabledReason, HoldReason
from tms_webhooks.conf import app_settings
from tms_webhooks.delivery.health import percent_to_disabling
from tms_webhooks.models import Webhook


@dataclass(frozen=True, slots=True)
class HealthText:
    """A headline and sentences for the page. ``kind``: ``healthy``, ``new``, ``failing``, ``held``, ``paused`` or ``disabled``."""

    kind: str
    headline: str
    sentences: tuple[str, ...]


def health_text(webhook: Webhook, *, now: datetime) -> HealthText:
    """Return the health of a webhook in words."""
    if not webhook.enabled:
        return HealthText("disabled", pgettext("webhook", "Disabled"), _disabled_sentences(webhook))
    if webhook.pull_only:
        return HealthText(
            "new", pgettext("webhook", "Pull only"), (_("Nothing is sent to it: the receiver reads its feed."),)
        )
    state = webhook.state(now)
    if state == "paused":
        probe = _(
            "Until %(moment)s only retries that come due are sent, one at a time. Then one new request tests the "
            "receiver. Queued deliveries are kept until then."
        )
        sentences = (
            _failing_sentence(webhook),
            probe % {"moment": format_time(webhook.paused_until)},
            *_held_sentences(webhook, now),
            *_disabling_sentences(webhook, now),
        )
        return HealthText("paused", _("Failing, and paused"), sentences)
    if state == "held":
        return HealthText("held", pgettext("webhook", "Held"), _held_sentences(webhook, now))
    if webhook.failures:
        sentences = (_failing_sentence(webhook), *_disabling_sentences(webhook, now))
        return HealthText("failing", _("Failing"), sentences)
    if webhook.succeeded_at is None:
        return HealthText("new", pgettext("webhook", "Enabled"), (_("Nothing has been delivered to it yet."),))
    success = _("The last successful delivery was at %(moment)s.") % {"moment": format_time(webhook.succeeded_at)}
    return HealthText("healthy", _("Healthy"), (success,))


def disabled_reason_text(reason: str) -> str:
    """Return one sentence for the reason a webhook was disabled."""
    texts = {
        DisabledReason.GONE: _("The receiver answered 410 Gone: it wants no more requests."),
        DisabledReason.FAILING: _("It failed too often for too long."),
        DisabledReason.RECEIVER_REQUESTED: _(
            "The receiver requested it with “webhook-delivery: disable” in its response."
        ),
        DisabledReason.ADMIN: _("A user disabled it, or its error action did."),
        DisabledReason.BLOCKED_TARGET: _("Its URL leads to a blocked address. Change the URL first."),
    }
    return texts[DisabledReason(reason)] if reason in DisabledReason.values else _("No reason was recorded.")


def _disabled_sentences(webhook: Webhook) -> tuple[str, ...]:
    since = _("It has received no requests since %(moment)s.") % {"moment": format_time(webhook.disabled_at)}
    missed = _("New events are kept as skipped. After you enable the webhook, send the missed events.")
    return (disabled_reason_text(webhook.disabled_reason), *((since,) if webhook.disabled_at else ()), missed)


def _held_sentences(webhook: Webhook, now: datetime) -> tuple[str, ...]:
    if not webhook.is_held(now):
        return ()
    text = (
        _("Held until %(moment)s because no encryption key decrypts its secrets. The operator has to put the key back.")
        if webhook.hold_reason == HoldReason.KEYS
        else _("Held until %(moment)s because the receiver asked for it with Retry-After.")
    )
    kept = _("Queued deliveries are kept, and lose no retries.")
    return text % {"moment": format_time(webhook.held_until)}, kept


def _failing_sentence(webhook: Webhook) -> str:
    text = ngettext(
        "%(count)d attempt failed, since %(moment)s.",
        "%(count)d attempts in a row failed, since %(moment)s.",
        webhook.failures,
    )
    return text % {"count": webhook.failures, "moment": format_time(webhook.failing_since)}


def _disabling_sentences(webhook: Webhook, now: datetime) -> tuple[str, ...]:
    text = _(
        "The webhook is disabled after %(failures)d failures in a row and %(days)s days without a success. It has "
        "reached %(percent)d %% of that."
    )
    values = {
        "failures": app_settings.DISABLE_AFTER_FAILURES,
        "days": format_number(app_settings.DISABLE_AFTER_DAYS),
        "percent": percent_to_disabling(webhook, now),
    }
    return (text % values,) if webhook.failing_since else ()
