"""The filters of a subscription as form fields: the filters that an event has, and their text format."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from tms_webhooks import event_names
from tms_webhooks.admin.formatting import format_number
from tms_webhooks.catalogue import EventType, status_name
from tms_webhooks.choices import ActorKind
from tms_webhooks.filters.criteria import CRITERIA, FIRST_OCCURRENCE

Choices = list[tuple[Any, Any]]

_PART = re.compile(r"""\s*(?:("(?:[^"]|"")*")(?=\s*(?:[,\n]|$))|([^,\n]+))""")
_SPECIAL = re.compile(r'[,"\n]')


class IdsField(forms.CharField):
    """Ids separated by commas. Integers are stored as numbers, other ids as text.

    Ids that contain a comma, or begin or end with a space, are quoted.
    """

    def to_python(self, value: Any) -> Any:
        """Return a list of ids."""
        return [_id(part) for part in _parts(super().to_python(value) or "")]

    def prepare_value(self, value: Any) -> Any:
        """Return the text of the input."""
        return ", ".join(_quoted(str(one)) for one in value) if isinstance(value, list | tuple) else value

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Compare the ids, not their notation."""
        return [str(one) for one in self.to_python(data)] != [str(one) for one in initial or []]


class CheckboxesField(forms.TypedMultipleChoiceField):
    """A multiple choice shown as check boxes."""

    widget = forms.CheckboxSelectMultiple


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


NAMES = (*CRITERIA, FIRST_OCCURRENCE)
"""The names of all filters."""


def fields_for(event_types: Sequence[EventType]) -> dict[str, forms.Field]:
    """Return the fields of the filters that all of these events have."""
    possible = {name for name, one in CRITERIA.items() if all(one.has(event_type) for event_type in event_types)}
    fields: dict[str, forms.Field] = {}
    for name, label in IDS.items():
        fields[name] = IdsField(label=label, help_text=_("Ids, separated by commas."), required=False)
        if name in PICKED:
            # The script adds a search.
            fields[name].widget.attrs["data-tms-objects"] = name
    for name, label in STATUSES.items():
        choices: Choices = [(int(member), member.label) for member in _members(CRITERIA[name], event_types)]
        if name == "status_from":
            choices.append((NONE, _("None: it did not change")))
        fields[name] = CheckboxesField(label=label, choices=choices, coerce=_code, required=False)
    kinds = [(kind.value, kind.label) for kind in ActorKind]
    fields["actor_kind"] = CheckboxesField(label=_("Caused by"), choices=kinds, coerce=str, required=False)
    offered = {name: field for name, field in fields.items() if name in possible and not _is_implied(name, event_types)}
    once = forms.BooleanField(label=_("Only the first time for each object"), required=False)
    return {**offered, FIRST_OCCURRENCE: once}


def initial_value(name: str, stored: Any, event_types: Sequence[EventType]) -> Any:
    """Return the field value for the stored value of a filter. Statuses become numbers, also if stored by name."""
    if not isinstance(stored, list):
        return stored
    if name not in STATUSES:
        # A repeated value is one check box.
        return stored if name in IDS else list(dict.fromkeys(stored))
    numbers = {status_name(member).lower(): int(member) for member in _members(CRITERIA[name], event_types)}
    return list(
        dict.fromkeys(
            NONE if value is None else numbers.get(value.lower(), value) if isinstance(value, str) else value
            for value in stored
        )
    )


def value_text(field: forms.BoundField) -> str:
    """Return the value of a filter as text, or an empty string for a check box."""
    value: Any = field.value()
    if value is True:
        return ""
    if isinstance(value, float):
        return format_number(value)
    if isinstance(field.field, CheckboxesField):
        choices: Any = field.field.choices
        labels = {key: str(label) for key, label in choices}
        return ", ".join(labels.get(one, str(one)) for one in value)
    return str(value)


def _members(criterion: Any, event_types: Sequence[EventType]) -> list[Any]:
    wanted = getattr(criterion, "field", "")
    members = {
        member: None
        for event_type in event_types
        for field in event_type.fields
        if field.name == wanted and field.choices is not None
        for member in field.choices
    }
    return list(members)


def _is_implied(name: str, event_types: Sequence[EventType]) -> bool:
    """Return whether the event itself implies the status before or after."""
    if len(event_types) != 1 or name not in ("status_from", "status_to"):
        return False
    changes = "status" in event_types[0].sample_previous
    return changes if name == "status_to" else not changes


def _parts(text: str) -> Iterator[str]:
    for quoted, plain in _PART.findall(text):
        part = quoted[1:-1].replace('""', '"') if quoted else plain.strip()
        if part:
            yield part


def _quoted(text: str) -> str:
    is_plain = text == text.strip() and not _SPECIAL.search(text)
    return text if is_plain else '"{}"'.format(text.replace('"', '""'))


def _id(text: str) -> int | str:
    """Return an integer id as a number. An id with leading zeros stays text: 007 may differ from 7 elsewhere."""
    is_number = text.isascii() and text.isdecimal() and len(text) < 19 and (text == "0" or text[0] != "0")
    return int(text) if is_number else text


def _code(value: str) -> int | None:
    return None if value == NONE else int(value)


def may_be_merged(event_types: Iterable[EventType]) -> bool:
    """Return whether one of these events may wait for a quiet period."""
    return any(event_names.may_be_merged(event_type.name) for event_type in event_types)


def merged_filters(cleaned: Mapping[str, Any], fields: Iterable[str], *, before: Mapping[str, Any]) -> dict[str, Any]:
    """Return the filters to store: the values of the form, and the stored filters that have no field."""
    names = set(fields)
    kept = {key: value for key, value in before.items() if key not in names}
    return {**kept, **{name: cleaned[name] for name in names if cleaned.get(name)}}
