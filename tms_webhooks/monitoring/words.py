"""Why a webhook gets no requests, and what to do, in words; the faults of the installation that stop all webhooks, too.

Pages, explanations, notices and commands print these sentences. ``moment`` writes a time as the reader needs it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, NamedTuple, TypeAlias

from django.utils import formats
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from tms_webhooks.choices import DisabledReason, ErrorAction, ErrorClass, HoldReason
from tms_webhooks.conf import SETTING_NAME, app_settings
from tms_webhooks.filters.condition import EventValues
from tms_webhooks.models import Webhook, WebhookState, encryption
from tms_webhooks.monitoring.figures import LEAST_SUCCESS_RATE, WebhookHealth
from tms_webhooks.net import proxy

Moment: TypeAlias = Callable[[datetime | None], str]

OUTAGE_REMEDY = (
    "All attempts fail before an answer, for several organizations. Deliveries wait and lose no retries, and people are not "
    "notified. Check DNS, routes, firewall and proxy of the worker's host."
)


class StopReason(NamedTuple):
    """A webhook that gets no new events now: its state, the reason in sentences, and what follows or has to be done."""

    state: str
    reason: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.reason} {self.remedy}".rstrip()


def with_zone(moment: datetime | None) -> str:
    """Return a time with its zone, for a text that is not on a page."""
    return f"{moment:%Y-%m-%d %H:%M:%S %Z}" if moment else "-"


def stop_of(webhook: Webhook, now: datetime, moment: Moment = with_zone) -> StopReason | None:
    """Return why a webhook gets no new events now; None if it gets them. A hold, which stops retries too, hides a pause."""
    if not webhook.enabled:
        reason = disabled_reason(webhook)
        if webhook.disabled_at:
            reason += " " + _("It has received no events since %(moment)s.") % {"moment": moment(webhook.disabled_at)}
        return StopReason("disabled", reason, missed_remedy())
    if webhook.pull_only:
        return StopReason("pull_only", _("Nothing is sent to it: the receiver reads its feed."))
    state = webhook.state
    if state.is_held(now):
        text = (
            _(
                "The webhook is held until %(moment)s because no encryption key decrypts its secrets. The operator has to "
                "put the key back and restart the workers."
            )
            if state.hold_reason == HoldReason.KEYS
            else _("The webhook is held until %(moment)s because the receiver asked for it with 429 or Retry-After.")
        )
        kept = _("Queued deliveries are kept, and lose no retries.")
        return StopReason("held", text % {"moment": moment(state.held_until)}, kept)
    if state.is_paused(now):
        probe = _(
            "The webhook is paused: until %(moment)s only retries that come due are sent, one at a time. Then one new "
            "request tests the receiver. Queued deliveries are kept until then."
        )
        return StopReason("paused", failures(state, moment), probe % {"moment": moment(state.paused_until)})
    return None


def missed_remedy() -> str:
    """Return what becomes of the events of a disabled webhook, and how to send them."""
    return _("New events are kept as skipped. After you enable the webhook, send the missed events.")


def failures(state: WebhookState, moment: Moment = with_zone) -> str:
    """Return the number of failures since the last success, and the result of the last one, such as "HTTP 503"."""
    text = ngettext(
        "%(count)s attempt failed on %(moment)s: %(result)s.",
        "%(count)s attempts in a row have failed since %(moment)s, the last: %(result)s.",
        state.failures,
    )
    return text % {
        "count": formats.number_format(state.failures, force_grouping=True),
        "moment": moment(state.failing_since),
        "result": dict(ErrorClass.choices).get(state.failed_with or ErrorClass.OTHER, f"HTTP {state.failed_with}"),
    }


def health_figures(health: WebhookHealth) -> str:
    """Return the figures that make a webhook degraded, and the deliveries that were recovered; empty without any."""
    rate, lost, recovered = health.hour_rate, health.lost, health.recovered
    text = _("In this hour and the one before %(rate)s of the attempts were delivered.")
    texts = [text % {"rate": percent(rate)}] if rate < LEAST_SUCCESS_RATE else []
    of_day = {
        ngettext(
            "In the last 24 hours %(count)s delivery was given up and not delivered since.",
            "In the last 24 hours %(count)s deliveries were given up and not delivered since.",
            lost,
        ): lost,
        ngettext(
            "In the last 24 hours %(count)s delivery was given up and delivered since.",
            "In the last 24 hours %(count)s deliveries were given up and delivered since.",
            recovered,
        ): recovered,
    }
    texts += [
        one % {"count": formats.number_format(count, force_grouping=True)} for one, count in of_day.items() if count
    ]
    return " ".join(texts)


def percent(share: float) -> str:
    """Return a share from 0 to 1 as a percentage. Only a share of 1 is shown as 100 %."""
    number = min(round(100 * share, 1), 99.9) if share < 1 else 100
    return _("%(share)s %%") % {"share": formats.number_format(number, 1 if number % 1 else 0)}


def disabled_reason(webhook: Webhook) -> str:
    """Return one sentence for the reason a webhook was disabled."""
    reason, disabled_at = webhook.disabled_reason, webhook.disabled_at
    by_error_action = (
        webhook.error_action == ErrorAction.DISABLE
        and disabled_at is not None
        # Otherwise it had failed too often for too long before.
        and percent_to_disabling(webhook.state, disabled_at) < 100
    )
    texts = {
        DisabledReason.GONE: _("The receiver answered 410 Gone: it does not want more requests."),
        DisabledReason.FAILING: _("A delivery was given up, and its error action is to disable it.")
        if by_error_action
        else _("It failed too often for too long."),
        DisabledReason.RECEIVER_REQUESTED: _(
            "The receiver requested it with “webhook-delivery: disable” in its response."
        ),
        DisabledReason.ADMIN: _("A user disabled it."),
        DisabledReason.EXPIRED: _("The hook was not refreshed before its end. It is deleted a day later."),
        DisabledReason.BLOCKED_TARGET: _("Its URL leads to a blocked address. Change the URL first."),
    }
    return texts[DisabledReason(reason)] if reason in DisabledReason.values else _("No reason was recorded.")


def check_sentence(check: Any, values: EventValues, named: Any, *, label: str, met: bool) -> str:
    """Return whether an event meets a check of a subscription, and the event's own values if not: they are payload.

    ``label`` is the name of a filter, empty for a condition. ``named(values, own)`` returns values in words;
    ``own`` is the name in the event, if it has one.
    """
    words = check.words()
    if label:
        words = _("%(path)s is %(values)s") % {"path": label, "values": named(check.condition.values)}
    for path in () if met else check.condition.paths():
        # An event has the name of a course next to its id.
        own_name = label and values.at(path.removesuffix("id") + "name")
        own = named(values.comparables(path, None), own_name)
        words += _("; this event's %(path)s is %(values)s") % {"path": label or path, "values": own}
    return (_("Met: %(words)s.") if met else _("Not met: %(words)s.")) % {"words": words}


def percent_to_disabling(state: WebhookState, now: datetime) -> int:
    """Return how near a failing webhook is to being disabled, 0 to 100.

    A webhook is disabled when it has failed for DISABLE_AFTER_DAYS and for DISABLE_AFTER_FAILURES attempts; the lower
    share of the two is returned.
    """
    if state.failing_since is None:
        return 0
    days = (now - state.failing_since) / timedelta(days=1)
    by_time = days / app_settings.DISABLE_AFTER_DAYS if app_settings.DISABLE_AFTER_DAYS else 1.0
    by_count = state.failures / app_settings.DISABLE_AFTER_FAILURES
    return int(100 * min(by_time, by_count, 1.0))


def counted(number: int, one: str, several: str = "") -> str:
    """Return a number and its noun; without ``several``, the plural is ``one`` with an s.

    >>> counted(1, "event"), counted(0, "event"), counted(2, "delivery", "deliveries")
    ('1 event', '0 events', '2 deliveries')
    """
    return f"{number} {one if number == 1 else several or f'{one}s'}"


def keys_missing() -> str:
    """Return the fault and the remedy if no encryption key decrypts the secrets, for the log, the admins and commands."""
    return (
        "No key decrypts the secrets of the webhooks, so nothing is sent to them. Their deliveries wait and lose no retries. "
        f"Put the key that encrypted the secrets back into {SETTING_NAME}['ENCRYPTION_KEYS'] (into SECRET_KEY or "
        "SECRET_KEY_FALLBACKS if that is empty), and restart the workers. "
        f"Each webhook is tried again within {encryption.KEYS_WAIT:g} s. To try one now: webhooks_replay now --webhook ID."
    )


def proxy_down(failures: int) -> str:
    """Return the fault of the egress proxy and the remedy, after so many failures; empty without failures."""
    configured = proxy.configured_proxy() if failures else None
    if configured is None:
        return ""
    return (
        f"The egress proxy {configured.host}:{configured.port} opens no tunnel: the last {failures} attempts failed. "
        f"Deliveries wait and lose no retries. Check the proxy and {SETTING_NAME}['PROXY_URL']. Each delivery is tried "
        f"again within {proxy.PROXY_WAIT * (1 + app_settings.RETRY_JITTER):.0f} s."
    )
