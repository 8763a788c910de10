"""The form of one subscription: the filters of its event as form fields with their text format, and the filters in words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from django import forms
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from tms_webhooks import event_names
from tms_webhooks.admin.formatting import format_number
from tms_webhooks.admin.forms.fields import ConditionField
from tms_webhooks.catalogue import EventType, registry
from tms_webhooks.choices import ActorKind
from tms_webhooks.filters.criteria import FIRST_OCCURRENCE, has_field, statuses_of, values_by_name
from tms_webhooks.models import Subscription
from tms_webhooks.models.subscription import DEFAULT_WINDOW
from tms_webhooks.sources.objects import impossible_ids

EMPTY: tuple[Any, ...] = (None, "", [], False)
DAYS = ("more_than_days", "less_than_days")
QUIET = ("quiet_seconds", "quiet_longest_seconds")
_NUMBER = re.compile(r"0|[1-9][0-9]{0,17}")


class IdsField(forms.CharField):
    """Ids separated by commas. Integers are stored as numbers, other ids as text."""

    def to_python(self, value: Any) -> Any:
        parts = [part.strip() for part in (super().to_python(value) or "").replace("\n", ",").split(",")]
        return [_id(part) for part in parts if part]

    def prepare_value(self, value: Any) -> Any:
        return ", ".join(map(str, value)) if isinstance(value, list | tuple) else value

    def has_changed(self, initial: Any, data: Any) -> bool:
        return bool(self.to_python(self.prepare_value(initial)) != self.to_python(data))


NONE = "none"
IDS = {
    "course": _("Courses"),
    "class": _("Classes"),
    "organization": _("Organizations"),
}
PICKED = ("course", "class")
STATUSES = {
    "status_from": _("Status before"),
    "status_to": _("Status after"),
    "completion_status": _("Completion status"),
}


def fields_for(event_types: Sequence[EventType]) -> dict[str, forms.Field]:
    """Return the fields of the filters that all of these events have."""
    fields: dict[str, forms.Field] = {
        name: IdsField(label=label, help_text=_("Ids, separated by commas."), required=False)
        for name, label in IDS.items()
    }
    for name in PICKED:
        # The script adds a search.
        fields[name].widget.attrs["data-tms-objects"] = name
    for name, label in STATUSES.items():
        choices = [(int(member), member.label) for member in statuses_of(name, event_types)]
        none = [(NONE, _("None: it did not change"))] if name == "status_from" else []
        fields[name] = _checkboxes(label, [*choices, *none], coerce=lambda value: None if value == NONE else int(value))
    fields["actor_kind"] = _checkboxes(_("Caused by"), ActorKind.choices, coerce=str)
    fields = {
        name: field
        for name, field in fields.items()
        if all(has_field(event_type, name) for event_type in event_types) and not _is_implied(name, event_types)
    }
    return {
        **fields,
        FIRST_OCCURRENCE: forms.BooleanField(label=_("Only the first time for each object"), required=False),
    }


def _checkboxes(label: Any, choices: Any, **options: Any) -> forms.Field:
    widget = forms.CheckboxSelectMultiple
    return forms.TypedMultipleChoiceField(label=label, choices=choices, required=False, widget=widget, **options)


def initial_value(name: str, stored: Any, event_types: Sequence[EventType]) -> Any:
    """Return the field value for the stored value of a filter. Statuses become numbers, also if stored by name."""
    if not isinstance(stored, list):
        return stored
    if name not in STATUSES:
        # A repeated value is one check box.
        return stored if name in IDS else list(dict.fromkeys(stored))
    numbers = values_by_name(name, event_types)
    found = [numbers.get(value.lower(), value) if isinstance(value, str) else value for value in stored]
    return list(dict.fromkeys(NONE if value is None else value for value in found))


def value_text(field: forms.BoundField) -> str:
    """Return the value of a filter as text, or an empty string for a check box."""
    value: Any = field.value()
    if value is True:
        return ""
    if isinstance(value, float):
        return format_number(value)
    if isinstance(field.field, forms.TypedMultipleChoiceField):
        labels: dict[Any, Any] = dict(field.field.choices)  # type: ignore[arg-type]
        return ", ".join(str(labels.get(key, key)) for key in value)
    return str(value)


def _is_implied(name: str, event_types: Sequence[EventType]) -> bool:
    """Return whether the event itself implies the status before or after."""
    if len(event_types) != 1 or name not in ("status_from", "status_to"):
        return False
    changes = "status" in event_types[0].sample_previous
    return changes if name == "status_to" else not changes


def _id(text: str) -> int | str:
    """Return an integer id as a number. An id with leading zeros stays text: 007 may differ from 7 elsewhere."""
    return int(text) if _NUMBER.fullmatch(text) else text


class FiltersForm(forms.ModelForm):
    """The days, the filters and the quiet period of a subscription: those that its event has."""

    condition = ConditionField(
        label=_("Condition"),
        required=False,
        help_text=_('A condition on the fields of the event, as JSON: {"data.grade": {"gte": 50}}.'),
    )

    class Meta:
        model = Subscription
        fields = (*DAYS, *QUIET, "condition")

    def __init__(self, data: Any = None, *, instance: Subscription) -> None:
        """Add the fields of the filters."""
        super().__init__(data, instance=instance)
        event_types = registry.expand(instance.event_type)
        self.filter_fields = fields_for(event_types)
        self.fields["quiet_seconds"].required = False
        # Empty for 0, as the other fields that are not set.
        self.initial["quiet_seconds"] = instance.quiet_seconds or None
        for name, default in zip(DAYS, DEFAULT_WINDOW, strict=True):
            self.fields[name].widget.attrs["placeholder"] = f"{default:g}"
        if not instance.has_window:
            del self.fields[DAYS[0]], self.fields[DAYS[1]]
        if not any(event_names.may_be_merged(event_type.name) for event_type in event_types):
            del self.fields[QUIET[0]], self.fields[QUIET[1]]
        self.fields.update(self.filter_fields)
        self.order_fields([*DAYS, *self.filter_fields, *QUIET, "condition"])
        stored = instance.filters if isinstance(instance.filters, dict) else {}
        names = [name for name in self.filter_fields if name in stored]
        self.initial.update({name: initial_value(name, stored[name], event_types) for name in names})

    def clean_quiet_seconds(self) -> int:
        return self.cleaned_data["quiet_seconds"] or 0

    def clean(self) -> dict[str, Any]:
        """Set the filters of the subscription."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        for name in IDS:
            # Text of a search box that was not selected, and new ids that no object can have.
            searched = str(self.data.get(f"{name}-search", "")).strip()
            if searched and name in self.fields:
                self.fields[name].widget.attrs["data-tms-searched"] = searched
                message = gettext("“%(text)s” was not selected. Select an object in the search box, or clear the box.")
                self.add_error(name, message % {"text": searched})
            elif name in self.changed_data and (texts := impossible_ids(name, cleaned.get(name) or [])):
                message = gettext("No object can have these ids: %(ids)s. Enter ids, not names.")
                self.add_error(name, message % {"ids": ", ".join(texts)})
        before = self.instance.filters if isinstance(self.instance.filters, dict) else {}
        # Others stay as they are stored, with or without a field.
        changed = [name for name in self.filter_fields if name in self.changed_data]
        kept = {name: value for name, value in before.items() if name not in changed}
        self.instance.filters = kept | {name: cleaned[name] for name in changed if cleaned.get(name)}
        if not self.instance.condition and cleaned.get("condition") in (None, ""):
            self.instance.condition = None
        return cleaned

    def add_error(self, field: str | None, error: Any) -> None:
        """Add an error; show those of model fields at the form's fields, or above them."""
        if hasattr(error, "error_dict"):
            by_field: dict[str, list[ValidationError]] = {}
            for name, problems in error.error_dict.items():
                for problem in problems:
                    # Each message about filters begins with the name of its filter.
                    at = str(problem.message).partition(":")[0] if name == "filters" else name
                    by_field.setdefault(at if at in self.fields else NON_FIELD_ERRORS, []).append(problem)
            error = ValidationError(by_field)
        super().add_error(field, error)


def described(subscription: Subscription) -> list[tuple[Any, str]]:
    """Return the days window of a stored subscription, and its filters, as (label, value)."""
    texts: list[tuple[Any, str]] = []
    if subscription.has_window:
        text = gettext("Days before the date: more than %(more)s and less than %(less)s")
        if subscription.has_default_window:
            text = gettext("Days before the date: more than %(more)s and less than %(less)s, the default")
        more, less = map(format_number, subscription.window)
        texts.append((text % {"more": more, "less": less}, ""))
    if subscription.is_filtered or subscription.quiet_seconds:
        form = FiltersForm(instance=subscription)
        fields = [form[name] for name in (*QUIET, *form.filter_fields, "condition") if name in form.fields]
        texts += [(field.label, value_text(field)) for field in fields if field.value() not in EMPTY]
    return texts
