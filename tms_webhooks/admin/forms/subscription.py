"""The form of one subscription: the filters of its event as form fields, and the filters in words, with names for ids."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django import forms
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from tms_webhooks import event_names
from tms_webhooks.admin.formatting import format_duration, format_number
from tms_webhooks.admin.forms.fields import ConditionField
from tms_webhooks.catalogue import EventType, registry
from tms_webhooks.choices import ActorKind
from tms_webhooks.filters.condition import in_words
from tms_webhooks.filters.criteria import FIRST_OCCURRENCE, has_field, statuses_of, values_by_name
from tms_webhooks.filters.parsing import parse
from tms_webhooks.models import Subscription
from tms_webhooks.models.subscription import DEFAULT_WINDOW
from tms_webhooks.sources.objects import FILTERED_BY_ID, impossible_ids
from tms_webhooks.sources.registry import sources_of_noun

EMPTY: tuple[Any, ...] = (None, "", [], False)
DAYS = ("more_than_days", "less_than_days")
QUIET = ("quiet_seconds", "quiet_longest_seconds")
FIELDS = {QUIET: _("Quiet period"), ("condition",): _("Condition")}
"""The labels of fields of the model that a user adds and removes together."""
Names = Mapping[str, Mapping[str, str]]
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
STATUSES = ("status_from", "status_to", "completion_status")
LABELS = {
    "course": _("Course"),
    "class": _("Class"),
    "organization": _("Organization"),
    "status_from": _("Status before"),
    "status_to": _("Status after"),
    "completion_status": _("Completion status"),
    "actor_kind": _("Caused by"),
    FIRST_OCCURRENCE: _("Only the first time for each object"),
}


def fields_for(event_types: Sequence[EventType], stored: Mapping[str, Any]) -> dict[str, forms.Field]:
    """Return the fields of the filters that all of these events have, with the values that are possible or stored."""
    after, fields = _after(event_types), dict[str, forms.Field]()
    # The event says what became of the status, or that it did not change.
    implied = {"status_to" if "status" in after else "status_from" if len(event_types) == 1 else "", *after}
    for name, label in LABELS.items():
        options: dict[str, Any] = {"label": label, "required": False}
        if name in implied or not all(name == FIRST_OCCURRENCE or has_field(one, name) for one in event_types):
            continue
        if name == FIRST_OCCURRENCE:
            fields[name] = forms.BooleanField(**options)
        elif name in FILTERED_BY_ID:
            # The script makes it a search.
            options["widget"] = forms.TextInput({"data-tms-objects": name})
            fields[name] = IdsField(help_text=_("Ids, separated by commas."), **options)
        else:
            choices = labels_of(name, event_types)
            if name == "status_from":
                # A class that is cancelled was something else before, or is new.
                if after.get("status") not in stored.get(name, ()):
                    choices.pop(after.get("status"), None)
                choices[NONE] = _("None: it is new") if after else _("None: it did not change")
            coerce = str if name == "actor_kind" else _status
            options |= {"choices": choices.items(), "coerce": coerce, "widget": forms.CheckboxSelectMultiple}
            fields[name] = forms.TypedMultipleChoiceField(**options)
    return fields


def labels_of(name: str, event_types: Sequence[EventType]) -> dict[Any, Any]:
    """Return the values of a filter with their labels; none of ids."""
    if name == "actor_kind":
        return dict(ActorKind.choices)
    return {int(member): member.label for member in statuses_of(name, event_types)} if name in STATUSES else {}


def _after(event_types: Sequence[EventType]) -> dict[str, Any]:
    """Return the statuses after the change that the only one of these event types implies, by the names of their fields."""
    if len(event_types) != 1:
        return {}
    (one,) = event_types
    found = {name: one.sample[name]["code"] for name in one.sample_previous if name in ("status", "completion_status")}
    for source in sources_of_noun(one.noun.name):
        for rule in source.rules:
            found |= rule.result(one.name) if one.name in rule.event_types else {}
    return found


def _status(value: str) -> int | None:
    return None if value == NONE else int(value)


def initial_value(name: str, stored: Any, event_types: Sequence[EventType]) -> Any:
    """Return the field value for the stored value of a filter. Statuses become numbers, also if stored by name."""
    if not isinstance(stored, list):
        return stored
    if name not in STATUSES:
        # A repeated value is one check box.
        return stored if name in FILTERED_BY_ID else list(dict.fromkeys(stored))
    numbers = values_by_name(name, event_types)
    found = [numbers.get(value.lower(), value) if isinstance(value, str) else value for value in stored]
    return list(dict.fromkeys(NONE if value is None else value for value in found))


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

    names: Names = {}
    """The names of objects, by noun and by id."""

    def __init__(self, data: Any = None, *, instance: Subscription, prefix: str | None = None) -> None:
        """Add the fields of the filters."""
        super().__init__(data, instance=instance, prefix=prefix)
        event_types = registry.expand(instance.event_type)
        stored = instance.filters if isinstance(instance.filters, dict) else {}
        stored = {name: initial_value(name, value, event_types) for name, value in stored.items()}
        self.filter_fields = fields_for(event_types, stored)
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
        self.initial.update({name: value for name, value in stored.items() if name in self.filter_fields})

    @property
    def parts(self) -> Iterator[Any]:
        """The filters of the event: the name of the first field, the label, the fields, and whether the page shows them."""
        single = {(name,): field.label for name, field in self.filter_fields.items()}
        for names, label in ({DAYS: _("Days before the date")} | single | FIELDS).items():
            if fields := [self[name] for name in names if name in self.fields]:
                fields[0].field.widget.attrs["data-tms-names"] = json.dumps(self.names.get(names[0], {}))
                yield names[0], label, fields, any(field.value() not in EMPTY or field.errors for field in fields)

    def clean_quiet_seconds(self) -> int:
        return self.cleaned_data["quiet_seconds"] or 0

    def clean(self) -> dict[str, Any]:
        """Set the filters of the subscription."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        for name in FILTERED_BY_ID:
            # Text of a search box that was not selected, and new ids that no object can have.
            searched = str(self.data.get(self.add_prefix(f"{name}-search"), "")).strip()
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


def described(subscription: Subscription, names: Names) -> Iterator[tuple[str, str]]:
    """Yield the filters of a stored subscription, each with its name and in words; the default window has no name."""
    event_types = registry.expand(subscription.event_type)
    if subscription.has_window:
        more, less = map(format_number, subscription.window)
        text = gettext("Days before the date: more than %(more)s and less than %(less)s") % {"more": more, "less": less}
        yield ("" if subscription.less_than_days is None else DAYS[0]), text
    for name, label in LABELS.items():
        values = subscription.filters.get(name)
        if isinstance(values, list):
            known = {NONE: None, **names.get(name, {}), **labels_of(name, event_types)}
            words = [known.get(one, known.get(str(one), one)) for one in initial_value(name, values, event_types)]
            yield name, f"{label}: {in_words(tuple(words))}"
        elif values:
            yield name, str(label)
    if subscription.quiet_seconds:
        yield QUIET[0], gettext("Quiet period: %(time)s") % {"time": format_duration(subscription.quiet_seconds)}
    if subscription.condition is not None:
        try:
            text = str(parse(subscription.condition, event_types))
        except ValidationError:
            text = json.dumps(subscription.condition)
        yield "condition", gettext("Condition: %(condition)s") % {"condition": text}
