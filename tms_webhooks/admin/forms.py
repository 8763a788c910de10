"""The forms of a webhook and of what it subscribes to."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from django import forms
from django.utils.translation import gettext_lazy as _

from tms_webhooks.catalogue import registry
from tms_webhooks.delivery import rendering
from tms_webhooks.event_names import EVERYTHING
from tms_webhooks.models import Subscription, Webhook

# Django's own classes are not generic at run time.
if TYPE_CHECKING:
    _WebhookForm = forms.ModelForm[Webhook]
    _SubscriptionForm = forms.ModelForm[Subscription]
    _SubscriptionFormSet = forms.BaseInlineFormSet[Any, Any, Any]
else:
    _WebhookForm = _SubscriptionForm = forms.ModelForm
    _SubscriptionFormSet = forms.BaseInlineFormSet

_SEPARATOR = re.compile(r"[\s,;]+")
_BEGINS_LIKE_A_LIST = re.compile(r"[\[\d.+-]")

Choices = list[tuple[Any, Any]]


class ScheduleField(forms.CharField):
    """A retry schedule as people write it: a name, or delays in seconds with commas between them."""

    def to_python(self, value: Any) -> Any:
        """Return the name, or a list; what is no number stays text, for the validator to name."""
        text = super().to_python(value) or ""
        if not _BEGINS_LIKE_A_LIST.match(text):
            return text
        return [_number(part) for part in _SEPARATOR.split(text.strip("[] \t")) if part]

    def prepare_value(self, value: Any) -> Any:
        """Return what stands in the box."""
        return ", ".join(f"{delay}" for delay in value) if isinstance(value, list | tuple) else value

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Compare what is meant, not how it is written."""
        return bool(self.to_python(data) != (initial or ""))


class WebhookForm(_WebhookForm):
    """A webhook."""

    schedule = ScheduleField(
        label=_("Schedule"),
        required=False,
        max_length=500,
        help_text=_(
            "When to try again: standard (11 attempts over three days), skillable (5 retries within seconds), none, or at "
            "most 15 delays in seconds, such as 5, 60, 300. Empty: standard."
        ),
    )

    def _post_clean(self) -> None:
        """Check content and URL once the webhook has its new values, against all events that there are."""
        super()._post_clean()  # type: ignore[misc]
        if not self.errors:
            problems = rendering.problems_of(self.instance, registry.all_types())
            if problems is not None:
                self.add_error(None, problems)


class SubscriptionForm(_SubscriptionForm):
    """One event of a webhook, chosen from all there are."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Offer the events of today, and the one that is chosen even if it is none of them."""
        super().__init__(*args, **kwargs)
        if "event_type" in self.fields:
            # Not a ChoiceField: the model's own words for an event that does not exist name those that look like it.
            self.fields["event_type"].widget = forms.Select(choices=event_choices(self["event_type"].value()))


class SubscriptionFormSet(_SubscriptionFormSet):
    """The events of a webhook."""

    def clean(self) -> None:
        """Check content and URL against the events that are chosen, where they are right for any at all."""
        super().clean()
        if any(self.errors):
            return
        patterns = [form.cleaned_data.get("event_type", "") for form in self.forms if form not in self.deleted_forms]
        chosen = [event_type for pattern in patterns for event_type in registry.expand(pattern)]
        webhook = self.instance
        if chosen and rendering.problems_of(webhook, registry.all_types()) is None:
            problems = rendering.problems_of(webhook, list(dict.fromkeys(chosen)))
            if problems is not None:
                raise forms.ValidationError([error for errors in problems.error_dict.values() for error in errors])


def event_choices(current: str | None = None) -> Choices:
    """Return every pattern that can be chosen, by noun, and ``current`` if it is unknown."""
    choices: Choices = [("", "---------"), (EVERYTHING, _("* (everything in training)"))]
    known = {EVERYTHING}
    for noun, event_types in registry.grouped().items():
        names = [event_type.name for event_type in event_types]
        # The names of a noun's events need not begin with it, as those of a host's own.
        whole = [f"{noun}.*"] if any(name.startswith(f"{noun}.") for name in names) else []
        patterns = [*whole, *names]
        choices.append((event_types[0].noun.title, [(pattern, pattern) for pattern in patterns]))
        known.update(patterns)
    if current and current not in known:
        choices.append((_("Other"), [(current, current)]))
    return choices


def _number(text: str) -> int | float | str:
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        return text
