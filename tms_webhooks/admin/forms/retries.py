"""The retries of a webhook in its form: its schedule, and sentences that say when a delivery is given up.

The sentences are computed from the schedule that is selected; the preview of the form sends them again after an edit.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.html import format_html
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from tms_webhooks.admin.formatting import format_delay
from tms_webhooks.choices import ErrorAction
from tms_webhooks.conf import app_settings
from tms_webhooks.delivery.retry import schedule_for
from tms_webhooks.models import Webhook

STANDARD, OWN = "standard", "own"
_SEPARATOR = re.compile(r"[\s,;]+")


def _choices() -> list[tuple[str, str]]:
    """Return the schedules with their delays. A function, because RETRY_DELAYS_SECONDS is a setting."""
    spelled = {name: ", ".join(map(format_delay, _delays(name))) for name in (STANDARD, "skillable")}
    return [
        (STANDARD, gettext("Standard: retry after %(delays)s") % {"delays": spelled[STANDARD]}),
        ("skillable", gettext("Skillable: retry after %(delays)s") % {"delays": spelled["skillable"]}),
        ("none", gettext("None: no retries")),
        (OWN, gettext("Own delays")),
    ]


class ScheduleWidget(forms.MultiWidget):
    """A select with the named schedules, and a text input for own delays."""

    use_fieldset = False

    def __init__(self, attrs: dict[str, Any] | None = None) -> None:
        delays = {"placeholder": "5, 60, 300", "aria-label": _("Own delays in seconds"), "class": "tms-own-delays"}
        select = forms.Select(choices=_choices)  # type: ignore[arg-type]
        super().__init__([select, forms.TextInput(delays)], attrs)

    def to_data(self, name: str, value: Any) -> dict[str, list[str]]:
        """Return a stored value as a browser submits it."""
        return {f"{name}_{number}": [part] for number, part in enumerate(self.decompress(value))}

    def id_for_label(self, id_: str) -> str:
        """Return the id of the select."""
        return f"{id_}_0"

    def get_context(self, name: str, value: Any, attrs: Any) -> dict[str, Any]:
        """Return the context of the template. Django takes each list for the values of the two inputs."""
        described_by = (attrs or {}).get("aria-describedby")
        if described_by:
            # The page gives the help the id of the label.
            id_ = attrs["id"]
            described_by = described_by.replace(f"{id_}_helptext", f"{self.id_for_label(id_)}_helptext")
            attrs = {**attrs, "aria-describedby": described_by}
        return super().get_context(name, self.parts_of(value), attrs)

    def parts_of(self, value: Any) -> list[Any]:
        """Return the values of the two inputs, of a submitted or of a stored value."""
        is_posted = isinstance(value, list) and value and all(part is None or isinstance(part, str) for part in value)
        return list(value) if is_posted else self.decompress(value)

    def decompress(self, value: Any) -> list[str]:
        """Return the name of a schedule and the text of its own delays."""
        value = _normalized(value)
        return [OWN, ", ".join(map(str, value))] if isinstance(value, list) else [value, ""]


class ScheduleField(forms.MultiValueField):
    """A retry schedule: the name of one, or delays in seconds that are separated by commas or spaces."""

    widget = ScheduleWidget

    def __init__(self, **kwargs: Any) -> None:
        fields = (forms.ChoiceField(choices=_choices), forms.CharField(max_length=500, required=False))
        super().__init__(fields, require_all_fields=False, **kwargs)

    def compress(self, data_list: Sequence[str]) -> str | list[int | float | str]:
        """Return the name, or a list. Invalid numbers stay text, so that the model's validator can name them."""
        name, text = data_list or ["", ""]
        if name != OWN:
            return "" if name == STANDARD else name
        delays = [_number(part) for part in _SEPARATOR.split((text or "").strip("[] \t")) if part]
        if not delays:
            raise ValidationError(gettext("Own delays is empty; list delays in seconds, such as 5, 60, 300."))
        return delays

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Compare the schedules, not their notation."""
        try:
            return _normalized(self.clean(data)) != _normalized(initial)
        except ValidationError:
            return True


class ErrorActionField(forms.ChoiceField):
    """The action when a delivery is given up, each with a sentence that says when it acts."""

    widget = forms.RadioSelect

    def describe(self, webhook: Webhook) -> None:
        """Add the sentences for the schedule of a webhook."""
        sentences = action_sentences(webhook)
        self.choices = [
            (
                value,
                format_html(
                    '{} <span class="help" data-tms-live="action-{}">{}</span>', label, value, sentences.get(value, "")
                ),
            )
            for value, label in ErrorAction.choices
        ]


def attempts_of(webhook: Webhook) -> tuple[int, float]:
    """Return the number of attempts of a failing delivery, and the seconds from the first to the last one, without jitter."""
    delays = _delays(webhook.schedule)
    delays = delays if webhook.max_retries is None else delays[: webhook.max_retries]
    return 1 + len(delays), sum(delays)


def attempts_text(webhook: Webhook) -> str:
    """Return the number of attempts and their time span: "11 attempts within 75.6 h"."""
    attempts, seconds = attempts_of(webhook)
    text = ngettext("%(count)d attempt", "%(count)d attempts", attempts) % {"count": attempts}
    if attempts == 1:
        return text
    return gettext("%(attempts)s within %(time)s") % {"attempts": text, "time": format_delay(seconds)}


def action_sentences(webhook: Webhook) -> dict[str, str]:
    """Return a sentence for each error action that says when it acts, by the webhook's schedule."""
    attempts = {"attempts": attempts_text(webhook)}
    return {
        ErrorAction.LOG: gettext("Only the delivery log shows a delivery that is given up after %(attempts)s.")
        % attempts,
        ErrorAction.NOTIFY: gettext("Also notifies the contacts when a delivery is given up after %(attempts)s.")
        % attempts,
        ErrorAction.DISABLE: gettext("Disables the webhook when one delivery is given up after %(attempts)s.")
        % attempts,
    }


def blocking_sentence(webhook: Webhook) -> str:
    """Return how long a failing delivery holds back the later events of its object, if the webhook is ordered."""
    _attempts, seconds = attempts_of(webhook)
    if not seconds:
        return gettext("A failing delivery does not delay later events, because it has no retries.")
    return gettext(
        "A failing delivery delays the later events of the same object, for up to "
        "%(time)s with this schedule. Other objects do not wait for it."
    ) % {"time": format_delay(seconds)}


def _delays(schedule: Any) -> Sequence[float]:
    """Return the delays of a schedule; none for an invalid one, which has its error."""
    try:
        return schedule_for(schedule, standard=app_settings.RETRY_DELAYS_SECONDS)
    except ValidationError:
        return ()


def _normalized(value: Any) -> str | list[Any]:
    """Return the name of a schedule, or its delays; an empty schedule is the standard one, an empty list has no retries."""
    if isinstance(value, list | tuple):
        return list(value) or "none"
    return value or STANDARD


def _number(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
