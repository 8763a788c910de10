"""What a subscription can be narrowed to, as fields of a form: which of them an event has, and how they are written."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from tms_webhooks.admin.numbers import written
from tms_webhooks.catalogue import EventType, status_name
from tms_webhooks.choices import ActorKind
from tms_webhooks.filters.criteria import CRITERIA, FIRST_OCCURRENCE

Choices = list[tuple[Any, Any]]

_PART = re.compile(r"""\s*(?:("(?:[^"]|"")*")(?=\s*(?:[,\n]|$))|([^,\n]+))""")
_SPECIAL = re.compile(r'[,"\n]')


class IdsField(forms.CharField):
    """Ids with commas between them: whole numbers as numbers, everything else as text.

    An id that a comma is part of, or a blank at its end, stands in quotation marks.
    """

    def to_python(self, value: Any) -> Any:
        """Return a list."""
        return [_id(part) for part in _parts(super().to_python(value) or "")]

    def prepare_value(self, value: Any) -> Any:
        """Return what stands in the box."""
        return ", ".join(_written(str(one)) for one in value) if isinstance(value, list | tuple) else value

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Compare the ids, not how they are written."""
        return [str(one) for one in self.to_python(data)] != [str(one) for one in initial or []]


class ChoicesField(forms.TypedMultipleChoiceField):
    """Check boxes."""

    widget = forms.CheckboxSelectMultiple


NONE = "none"
IDS = {
    "course": _("Courses"),
    "class": _("Classes"),
    "organization": _("Organizations"),
}
STATUSES = {
    "status_from": _("Status before"),
    "status_to": _("Status after"),
    "completion_status": _("Completion status"),
}


def fields_for(event_types: Sequence[EventType]) -> dict[str, forms.Field]:
    """Return the fields of the filters that all of these events can be narrowed by."""
    possible = {name for name, one in CRITERIA.items() if all(one.has(event_type) for event_type in event_types)}
    fields: dict[str, forms.Field] = {}
    for name, label in IDS.items():
        fields[name] = IdsField(label=label, help_text=_("Ids, with commas between them."), required=False)
    for name, label in STATUSES.items():
        choices: Choices = [(int(member), member.label) for member in _members(CRITERIA[name], event_types)]
        if name == "status_from":
            choices.append((NONE, _("None: it did not change")))
        fields[name] = ChoicesField(label=label, choices=choices, coerce=_code, required=False)
    kinds = [(kind.value, kind.label) for kind in ActorKind]
    fields["actor_kind"] = ChoicesField(label=_("Caused by"), choices=kinds, coerce=str, required=False)
    offered = {name: field for name, field in fields.items() if name in possible and not _is_settled(name, event_types)}
    once = forms.BooleanField(label=_("Only the first time for each object"), required=False)
    return {**offered, FIRST_OCCURRENCE: once}


def shown(name: str, stored: Any, event_types: Sequence[EventType]) -> Any:
    """Return the stored value of a filter as its field has it: statuses by their numbers, however they were written."""
    if not isinstance(stored, list):
        return stored
    if name not in STATUSES:
        # What stands there twice is one check box.
        return stored if name in IDS else list(dict.fromkeys(stored))
    numbers = {status_name(member).lower(): int(member) for member in _members(CRITERIA[name], event_types)}
    return list(
        dict.fromkeys(
            NONE if value is None else numbers.get(value.lower(), value) if isinstance(value, str) else value
            for value in stored
        )
    )


def in_words(field: forms.BoundField) -> str:
    """Return what a filter is set to, as people read it; nothing where its label says it all."""
    value: Any = field.value()
    if value is True:
        return ""
    if isinstance(value, float):
        return written(value)
    if isinstance(field.field, ChoicesField):
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


def _is_settled(name: str, event_types: Sequence[EventType]) -> bool:
    """Return whether an event itself says what the filter would ask."""
    if len(event_types) != 1 or name not in ("status_from", "status_to"):
        return False
    changes = "status" in event_types[0].sample_previous
    return changes if name == "status_to" else not changes


def _parts(text: str) -> Iterator[str]:
    for quoted, plain in _PART.findall(text):
        part = quoted[1:-1].replace('""', '"') if quoted else plain.strip()
        if part:
            yield part


def _written(text: str) -> str:
    is_plain = text == text.strip() and not _SPECIAL.search(text)
    return text if is_plain else '"{}"'.format(text.replace('"', '""'))


def _id(text: str) -> int | str:
    """Return a whole number where the text is one; not of 007, which another system may tell from 7."""
    is_number = text.isascii() and text.isdecimal() and len(text) < 19 and (text == "0" or text[0] != "0")
    return int(text) if is_number else text


def _code(value: str) -> int | None:
    return None if value == NONE else int(value)


def has_days(event_types: Iterable[EventType]) -> bool:
    """Return whether one of these events comes days before something ends."""
    return any(event_type.name.endswith(".expiring") for event_type in event_types)


def composed(cleaned: Mapping[str, Any], fields: Iterable[str], *, before: Mapping[str, Any]) -> dict[str, Any]:
    """Return what to store: what was filled in, and of what was there before that which the form has no field for."""
    names = set(fields)
    kept = {key: value for key, value in before.items() if key not in names}
    return {**kept, **{name: cleaned[name] for name in names if cleaned.get(name)}}
