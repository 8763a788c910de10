"""The form fields of a webhook that need their own conversion or comparison."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from django import forms
from django.contrib.admin.utils import display_for_field
from django.core.exceptions import ValidationError
from django.utils.html import format_html
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from tms_webhooks.admin.formatting import format_duration
from tms_webhooks.choices import ErrorAction
from tms_webhooks.conf import app_settings
from tms_webhooks.models import Webhook

STANDARD, OWN = "standard", "own"
_SEPARATOR = re.compile(r"[\s,;]+")


class TrimmedTextField(forms.CharField):
    """A text field that ignores changes by the browser: its line ends, and spaces that Django strips from both ends."""

    def to_python(self, value: Any) -> Any:
        text = super().to_python(value)
        return text.replace("\r\n", "\n") if isinstance(text, str) else text

    def has_changed(self, initial: Any, data: Any) -> bool:
        return bool(self.to_python(initial) != self.to_python(data))


class ConditionDecoder(json.JSONDecoder):
    """Refuses lists in lists and numbers of thousands of digits like other text that is not JSON."""

    def decode(self, s: str, *args: Any) -> Any:
        try:
            return super().decode(s, *args)
        except (RecursionError, ValueError):
            raise json.JSONDecodeError("Not JSON", "", 0) from None


class ConditionField(forms.JSONField):
    """A condition as indented JSON."""

    widget = forms.Textarea

    def __init__(self, **options: Any) -> None:
        super().__init__(decoder=ConditionDecoder, **options)

    def prepare_value(self, value: Any) -> Any:
        if value is None:
            return ""
        return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)


class ContentsWidget(forms.Widget):
    """The contents of some events: for each an input for its name and a text area, and an empty pair for another one."""

    template_name = "admin/tms_webhooks/webhook/contents.html"

    def get_context(self, name: str, value: Any, attrs: Any) -> dict[str, Any]:
        pairs = value.items() if isinstance(value, dict) else value or ()
        return {**super().get_context(name, value, attrs), "pairs": [*pairs, ("", "")]}

    def value_from_datadict(self, data: Any, files: Any, name: str) -> list[tuple[str, str]]:
        """Return the pairs that are not empty."""
        events, texts = data.getlist(f"{name}-event"), data.getlist(f"{name}-text")
        pairs = zip(events, texts, strict=False)
        return [(event.strip(), text.replace("\r\n", "\n")) for event, text in pairs if event.strip() or text.strip()]

    def value_omitted_from_data(self, data: Any, files: Any, name: str) -> bool:
        """Return False: a form without a pair removes the contents."""
        return False


class ContentsField(forms.Field):
    """Contents by event, as a dictionary."""

    widget = ContentsWidget

    def has_changed(self, initial: Any, data: Any) -> bool:
        return [*(initial or {}).items()] != [*(data or ())]

    def to_python(self, value: Any) -> dict[str, str]:
        """Return the contents; refuse one without an event, and two of one event."""
        found: dict[str, str] = {}
        for event, text in value or ():
            if not event:
                raise ValidationError(_("A content has no event. Write an event such as class.cancelled, or class.*."))
            if event in found:
                message = _("%(event)s has two contents. Remove one.")
                raise ValidationError(message, params={"event": event})
            found[event] = text
        return found


# Retries


def schedule_choices() -> list[tuple[str, str]]:
    """Return the schedules with their delays. A function, because RETRY_DELAYS_SECONDS is a setting."""
    texts = {
        STANDARD: gettext("Standard: retry after %(delays)s"),
        "skillable": gettext("Skillable: retry after %(delays)s"),
    }
    named = [(name, text % {"delays": ", ".join(map(format_duration, _delays(name)))}) for name, text in texts.items()]
    return [*named, ("none", gettext("None: no retries")), (OWN, gettext("Own delays"))]


def schedule_texts(schedule: Any) -> tuple[str, str]:
    """Return the choice for a stored schedule, and the text of its own delays. An empty list has no retries."""
    if isinstance(schedule, list | tuple):
        return (OWN, ", ".join(map(str, schedule))) if schedule else ("none", "")
    return schedule or STANDARD, ""


def parse_delays(text: str) -> list[int | float | str]:
    """Return the delays of a text. Invalid numbers stay text, so that the model's validator can name them."""
    return [_number(part) for part in _SEPARATOR.split(text.strip("[] \t")) if part]


def attempts_text(webhook: Webhook) -> str:
    """Return the number of attempts and their time span: "11 attempts within 75.6 h"."""
    delays = _delays(webhook.schedule)[: webhook.max_retries]
    text = ngettext("%(count)d attempt", "%(count)d attempts", 1 + len(delays)) % {"count": 1 + len(delays)}
    if not delays:
        return text
    return gettext("%(attempts)s within %(time)s") % {"attempts": text, "time": format_duration(sum(delays))}


def error_actions() -> list[tuple[str, str]]:
    """Return the actions when a delivery is given up, each with a sentence."""
    sentences = {
        ErrorAction.LOG: gettext("Only the delivery log shows it."),
        ErrorAction.NOTIFY: gettext("Its contacts are notified, too."),
        ErrorAction.DISABLE: gettext("The webhook is disabled after one such delivery."),
    }
    html = '{} <span class="help">{}</span>'
    return [(value, format_html(html, label, sentences[ErrorAction(value)])) for value, label in ErrorAction.choices]


def contacts_help() -> str:
    """Return the help of the contacts. A function, because NOTIFY_AFTER_SECONDS is a setting."""
    text = gettext(
        "E-mail addresses, one per line. They get a message when the webhook fails for %(time)s or a day, is disabled, or "
        "works again. With “Send notification”, also when a delivery is given up."
    )
    return text % {"time": format_duration(app_settings.NOTIFY_AFTER_SECONDS)}


def shown_value(field: Any, value: Any) -> str:
    """Return the value of a model field as text."""
    if isinstance(value, bool):
        return gettext("Yes") if value else gettext("No")
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "-"
    is_text = isinstance(value, str) and value and not field.flatchoices
    return str(value if is_text else display_for_field(value, field, "-"))


def _delays(schedule: Any) -> Sequence[float]:
    """Return the delays of a schedule; none for an invalid one, which has its error."""
    from tms_webhooks.delivery.retry import schedule_for

    try:
        return schedule_for(schedule, standard=app_settings.RETRY_DELAYS_SECONDS)
    except ValidationError:
        return ()


def _number(text: str) -> int | float | str:
    try:
        return float(text) if "." in text or not text.lstrip("-").isdecimal() else int(text)
    except ValueError:
        return text
