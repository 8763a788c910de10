"""The parts of a webhook's form: what everybody needs, and folds for the rest, each with a line on what it sets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext, pgettext, pgettext_lazy

from tms_webhooks.admin.formatting import format_delay, format_moment, format_number
from tms_webhooks.admin.forms.credentials import FIELD_NAMES as CREDENTIAL_FIELDS
from tms_webhooks.admin.forms.fields import action_sentences, attempts_text, blocking_sentence
from tms_webhooks.choices import AuthenticationKind, ErrorAction, PayloadDetail, PayloadFormat
from tms_webhooks.models import Webhook
from tms_webhooks.models.credentials import known_headers

EVENTS = "tms-events"
"""The class of the fieldset with the events, which has a template of its own."""
FOLD = "tms-fold"

FIELDSETS: Any = (
    (gettext_lazy("General"), {"fields": ("name", "organization", "health", "log")}),
    (gettext_lazy("Endpoint"), {"fields": ("url", "masked_url")}),
    (gettext_lazy("Events"), {"fields": (), "classes": (EVENTS,)}),
    (
        gettext_lazy("Retries and alerts"),
        {
            "fields": (
                "schedule",
                "max_retries",
                "delay_seconds",
                "timeout_seconds",
                "error_action",
                "contacts",
                "enabled",
                "failures",
                "failing_since",
                "paused_until",
                "held_until",
                "succeeded_at",
            ),
            "classes": (FOLD, "retries"),
        },
    ),
    (
        pgettext_lazy("part of a form", "Request"),
        {
            "fields": ("verb", "headers", "header_names", "authentication", *CREDENTIAL_FIELDS, "credentials_shown"),
            "classes": (FOLD, "request"),
        },
    ),
    (
        pgettext_lazy("part of a form", "Content"),
        {
            "fields": ("preset", "format", "payload", "content", "contents", "payload_version"),
            "classes": (FOLD, "content"),
        },
    ),
    (
        pgettext_lazy("part of a form", "Delivery"),
        {
            "fields": (
                "audience",
                "include_children",
                "ordered",
                "max_in_flight",
                "rate_limit_per_second",
                "skip_own",
                "integration_kind",
                "integration_id",
                "pull_only",
            ),
            "classes": (FOLD, "delivery"),
        },
    ),
    (
        gettext_lazy("Security"),
        {"fields": ("signing", "body_signature_header", "body_signature_prefix"), "classes": (FOLD, "security")},
    ),
)
"""The fieldsets of the form. The second class of a fold is its name."""


@dataclass(frozen=True, slots=True)
class FormPart:
    """One part of the page. ``name`` is empty for a part that is always open, or else the name of the fold."""

    fieldset: Any
    name: str
    summary: str
    is_open: bool

    @property
    def is_events(self) -> bool:
        """Whether it is the list of events."""
        return EVENTS in str(self.fieldset.classes)


def parts_of(adminform: Any) -> Iterator[FormPart]:
    """Yield the parts of the page, in order. A fold is open if it has an error, or a field that an error mentions."""
    form = adminform.form
    summaries = summaries_of(form.instance)
    for fieldset in adminform:
        classes = str(fieldset.classes).split()
        name = classes[-1] if FOLD in classes else ""
        is_open = any(form.errors.get(one) or one in form.mentioned_fields for one in fieldset.fields)
        yield FormPart(fieldset, name, summaries.get(name, ""), is_open)


def live_texts(webhook: Webhook) -> dict[str, str]:
    """Return the texts of the form that follow from its values, by the name of the element that shows each."""
    actions = {f"action-{value}": sentence for value, sentence in action_sentences(webhook).items()}
    summaries = {f"summary-{name}": text for name, text in summaries_of(webhook).items()}
    return {**actions, **summaries, "blocking": blocking_sentence(webhook)}


def summaries_of(webhook: Webhook) -> Mapping[str, str]:
    """Return what each fold sets, in a line, by the name of the fold."""
    return {
        "retries": _of_retries(webhook),
        "request": _of_request(webhook),
        "content": _of_content(webhook),
        "delivery": _of_delivery(webhook),
        "security": _of_security(webhook),
    }


def _of_retries(webhook: Webhook) -> str:
    names = {
        "": _("Standard schedule"),
        "standard": _("Standard schedule"),
        "skillable": _("Skillable schedule"),
        "none": _("No retries"),
    }
    schedule = webhook.schedule
    name = names.get(schedule, "") if isinstance(schedule, str) else _("Own schedule")
    parts = [f"{name}, {attempts_text(webhook)}", _action(webhook)]
    if webhook.delay_seconds:
        parts.append(_("first attempt after %(time)s") % {"time": format_delay(webhook.delay_seconds)})
    if webhook.timeout_seconds:
        parts.append(_("timeout %(time)s") % {"time": format_delay(webhook.timeout_seconds)})
    if not webhook.enabled:
        parts.append(pgettext("webhook", "disabled"))
    return "; ".join(parts)


def _action(webhook: Webhook) -> str:
    if webhook.error_action == ErrorAction.DISABLE:
        return _("disables the webhook when a delivery is given up")
    count = len(webhook.contacts.split())
    if webhook.error_action == ErrorAction.NOTIFY and count:
        text = ngettext(
            "notifies %(count)d contact when a delivery is given up",
            "notifies %(count)d contacts when a delivery is given up",
            count,
        )
        return text % {"count": count}
    if webhook.error_action == ErrorAction.NOTIFY:
        return _("notifies the organization's contacts when a delivery is given up")
    return _("no notification when a delivery is given up")


def _of_request(webhook: Webhook) -> str:
    known = known_headers(webhook.headers)
    if known is None:
        headers = _("headers that can't be read")
    elif known:
        headers = ngettext("%(count)d header", "%(count)d headers", len(known)) % {"count": len(known)}
    else:
        headers = _("no headers")
    is_open = webhook.authentication == AuthenticationKind.NONE
    authentication = _("no authentication") if is_open else str(webhook.get_authentication_display())
    return f"{webhook.verb}, {headers}, {authentication}"


def _of_content(webhook: Webhook) -> str:
    parts = [_("format %(name)s") % {"name": webhook.get_format_display()}]
    own = len(webhook.contents) if webhook.format == PayloadFormat.CUSTOM and isinstance(webhook.contents, dict) else 0
    if own:
        parts.append(ngettext("%(count)d event has its own", "%(count)d events have their own", own) % {"count": own})
    if webhook.payload != PayloadDetail.FULL:
        parts.append(str(webhook.get_payload_display()))
    version = webhook.payload_version
    parts.append(_("newest version") if version is None else _("at most version %(version)d") % {"version": version})
    return ", ".join(parts)


def _of_delivery(webhook: Webhook) -> str:
    parts = [str(webhook.get_audience_display())]
    if webhook.include_children:
        parts.append(_("with child organizations"))
    if webhook.ordered:
        parts.append(_("one request at a time, in order for each object"))
    if webhook.max_in_flight is not None:
        text = ngettext(
            "at most %(count)d request at a time", "at most %(count)d requests at a time", webhook.max_in_flight
        )
        parts.append(text % {"count": webhook.max_in_flight})
    if webhook.rate_limit_per_second:
        rate = format_number(webhook.rate_limit_per_second)
        number = 1 if webhook.rate_limit_per_second == 1 else 2
        text = ngettext("at most %(rate)s request per second", "at most %(rate)s requests per second", number)
        parts.append(text % {"rate": rate})
    if webhook.skip_own:
        parts.append(_("own changes left out"))
    parts.append(_("kept for the feed, nothing is sent") if webhook.pull_only else _("sent to the URL"))
    return "; ".join(parts)


def _of_security(webhook: Webhook) -> str:
    secret = webhook.secrets.filter(expires_at__isnull=True).order_by("-pk").first() if webhook.pk else None
    if secret is not None:
        text = _("Secret created %(moment)s") % {"moment": format_moment(secret.created_at)}
    else:
        text = _("No secret") if webhook.pk else _("A secret is created when you save")
    if webhook.body_signature_header:
        text += f"; {_('body signature in %(name)s') % {'name': webhook.body_signature_header}}"
    return text
