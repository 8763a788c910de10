"""One event in the form of a webhook: whether it is chosen, and to what it is narrowed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from django import forms
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.utils.functional import cached_property
from django.utils.translation import gettext, pgettext
from django.utils.translation import gettext_lazy as _

from tms_webhooks.admin.forms import filters
from tms_webhooks.catalogue import EventType, registry
from tms_webhooks.models import Subscription

# Django's own classes are not generic at run time.
if TYPE_CHECKING:
    _SubscriptionForm = forms.ModelForm[Subscription]
else:
    _SubscriptionForm = forms.ModelForm

EMPTY: tuple[Any, ...] = (None, "", [], False)
DAYS = ("more_than_days", "less_than_days")


class ConditionField(forms.JSONField):
    """A condition as JSON, in as many lines as it is easy to read in."""

    widget = forms.Textarea

    def prepare_value(self, value: Any) -> Any:
        """Return what stands in the box."""
        if value is None:
            return ""
        return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)


class SubscriptionRow(_SubscriptionForm):
    """A check box with what belongs to it. What is not checked is not looked at."""

    chosen = forms.BooleanField(required=False)
    key = forms.IntegerField(required=False, widget=forms.HiddenInput)
    condition = ConditionField(
        label=_("Condition"),
        required=False,
        help_text=_('As JSON: what an event has to hold, such as {"data.grade": {"gte": 50}}.'),
    )

    class Meta:
        model = Subscription
        fields = ("event_type", *DAYS, "condition")
        widgets = {"event_type": forms.HiddenInput}

    def __init__(self, *args: Any, pattern: str, again: bool = False, **kwargs: Any) -> None:
        """Make the fields that events of this pattern can be narrowed by. ``again``: there is such a row already."""
        super().__init__(*args, **kwargs)
        self.pattern = pattern
        self.again = again
        self.event_types: Sequence[EventType] = registry.expand(pattern)
        self.initial["chosen"] = self.instance.pk is not None
        self.initial["key"] = self.instance.pk
        self.initial["event_type"] = pattern
        if not filters.has_days(self.event_types) and not any(getattr(self.instance, name) for name in DAYS):
            for name in DAYS:
                del self.fields[name]
        self.filter_fields = filters.fields_for(self.event_types)
        self.fields.update(self.filter_fields)
        stored = self.instance.filters if isinstance(self.instance.filters, dict) else {}
        names = [name for name in self.filter_fields if name in stored]
        self.initial.update({name: filters.shown(name, stored[name], self.event_types) for name in names})

    @cached_property
    def is_chosen(self) -> bool:
        """Whether the box is checked."""
        return bool(self["chosen"].value())

    @property
    def is_narrowed(self) -> bool:
        """Whether the fold with the filters should stand open."""
        names = (*self.filter_fields, "condition")
        return self.is_chosen and any(self.errors.get(name) or self[name].value() not in EMPTY for name in names)

    @property
    def days(self) -> list[Any]:
        """The fields of the days window, for the page."""
        return [self[name] for name in DAYS if name in self.fields]

    @property
    def narrowing(self) -> list[Any]:
        """The fields of the filters, for the page."""
        return [self[name] for name in self.filter_fields]

    @property
    def told(self) -> list[tuple[str, str]]:
        """What the event is narrowed to, for those who may only look: (label, value in words)."""
        fields = [*self.days, *self.narrowing, self["condition"]]
        return [(field.label, filters.in_words(field)) for field in fields if field.value() not in EMPTY]

    @property
    def label(self) -> str:
        """The event's name for people: "Guaranteed to run"."""
        if self.pattern == "*":
            return gettext("Everything in training")
        if self.pattern.endswith(".*"):
            return gettext("All of this group")
        verb = self.pattern.rpartition(".")[2].replace("_", " ")
        return pgettext("event", verb[:1].upper() + verb[1:])

    @property
    def summary(self) -> str:
        """One sentence on what the event tells."""
        if self.pattern.endswith("*"):
            return gettext("Also what is added to it later.")
        return gettext(self.event_types[0].summary) if self.event_types else gettext("This event no longer exists.")

    def full_clean(self) -> None:
        """Check the row if it is chosen."""
        if self.is_bound and not self.is_chosen:
            self._errors: Any = forms.utils.ErrorDict()
            self.cleaned_data = {}
            return
        super().full_clean()

    def clean(self) -> dict[str, Any]:
        """Put the filters together."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        before = self.instance.filters if isinstance(self.instance.filters, dict) else {}
        self.instance.filters = filters.composed(cleaned, self.filter_fields, before=before)
        if not self.instance.condition and cleaned.get("condition") in (None, ""):
            self.instance.condition = None
        return cleaned

    def _update_errors(self, errors: ValidationError) -> None:
        """Show what the model finds beside the field it is about, or at the row where it has none."""
        found = errors.error_dict if hasattr(errors, "error_dict") else {NON_FIELD_ERRORS: errors.error_list}
        placed: dict[str, list[ValidationError]] = {}
        for name, problems in found.items():
            for problem in problems:
                placed.setdefault(self._place_of(name, problem), []).append(problem)
        super()._update_errors(ValidationError(placed))  # type: ignore[misc]

    def _place_of(self, name: str, problem: ValidationError) -> str:
        if name == "filters":
            # Each begins with the filter that it is about.
            name = str(problem.message).partition(":")[0]
        return name if name in self.fields else NON_FIELD_ERRORS
