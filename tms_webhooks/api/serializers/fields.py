"""Fields that take what they mean and nothing that looks like it: no "5" for 5, no "yes" for true."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from django.utils import timezone
from django.utils.dateparse import parse_datetime
from rest_framework import serializers

from tms_webhooks.net.timing import Timing

# Its classes are generic for the type checker alone.
if TYPE_CHECKING:
    _Field = serializers.Field[Any, Any, Any, Any]
else:
    _Field = serializers.Field


MOMENT_FAULTS = {
    "invalid": "It is no moment; write it as 2026-11-24T15:04:05Z.",
    "zone": "It has no time zone; write it as 2026-11-24T15:04:05Z.",
}


def kind_of(value: object) -> str:
    """Return what a value is in JSON, in words."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    for kinds, words in (((int, float), "a number"), (str, "a string"), (list, "a list")):
        if isinstance(value, kinds):
            return words
    return "an object"


class TextField(serializers.CharField):
    """A string, kept as it is."""

    default_error_messages = {
        "invalid": "It is {kind}; give a string.",
        "blank": "It is empty; give a text.",
        "null": "It is null; give a string.",
        "required": "It is missing; give a string.",
        "max_length": "It has more than {max_length} characters; give at most so many.",
    }

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"trim_whitespace": False, **kwargs})

    def run_validation(self, data: Any = serializers.empty) -> Any:
        """Refuse a text of nothing but blanks where it may not be empty."""
        if isinstance(data, str) and not self.allow_blank and not data.strip():
            self.fail("blank")
        return super().run_validation(data)

    def to_internal_value(self, data: Any) -> str:
        """Return the string."""
        if not isinstance(data, str):
            self.fail("invalid", kind=kind_of(data))
        return str(data)


class WholeNumberField(serializers.IntegerField):
    """A whole number."""

    default_error_messages = {
        "invalid": "It is {kind}; give a whole number.",
        "null": "It is null; give a whole number.",
        "required": "It is missing; give a whole number.",
        "max_value": "It is too large; give at most {max_value}.",
        "min_value": "It is too small; give at least {min_value}.",
    }

    def to_internal_value(self, data: Any) -> int:
        """Return the number."""
        if isinstance(data, bool) or not isinstance(data, int):
            self.fail("invalid", kind="a number with a fraction" if isinstance(data, float) else kind_of(data))
        return int(data)


class NumberField(serializers.FloatField):
    """A number."""

    default_error_messages = {
        "invalid": "It is {kind}; give a number.",
        "null": "It is null; give a number.",
        "required": "It is missing; give a number.",
        "too_large": "It is too large; give a smaller number.",
    }

    def to_internal_value(self, data: Any) -> float:
        """Return the number."""
        if isinstance(data, bool) or not isinstance(data, int | float):
            self.fail("invalid", kind=kind_of(data))
        try:
            return float(data)
        except OverflowError:
            self.fail("too_large")


class TruthField(serializers.BooleanField):
    """True or false."""

    default_error_messages = {
        "invalid": "It is {kind}; give true or false.",
        "null": "It is null; give true or false.",
        "required": "It is missing; give true or false.",
    }

    def to_internal_value(self, data: Any) -> bool:
        """Return it."""
        if not isinstance(data, bool):
            self.fail("invalid", kind=kind_of(data))
        return bool(data)


class OneOfField(serializers.ChoiceField):
    """One string or number of a closed list."""

    default_error_messages = {
        "invalid_choice": "{input} is none of them; choose one of {names}.",
        "null": "It is null; choose one of the list.",
        "required": "It is missing; choose one of the list.",
    }

    def to_internal_value(self, data: Any) -> Any:
        """Return it."""
        if data == "" and self.allow_blank:
            return ""
        for choice in self.choices:
            if type(data) is type(choice) and data == choice:
                return choice
        shown = repr(data[:40]) if isinstance(data, str) else kind_of(data).capitalize()
        return self.fail("invalid_choice", input=shown, names=", ".join(str(choice) for choice in self.choices))


class NotAMoment(ValueError):
    """What is no moment; ``code`` says why, as a key of `MOMENT_FAULTS`."""

    def __init__(self, code: str) -> None:
        super().__init__(MOMENT_FAULTS[code])
        self.code = code


def moment_of(value: Any) -> datetime:
    """Return the moment that a text means, in UTC; raise `NotAMoment` for one that means none."""
    try:
        moment = parse_datetime(value) if isinstance(value, str) else None
    except ValueError:
        moment = None
    if moment is None:
        raise NotAMoment("invalid")
    if timezone.is_naive(moment):
        raise NotAMoment("zone")
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise NotAMoment("invalid") from error


class MomentField(serializers.DateTimeField):
    """An instant in UTC, as ``2026-11-24T15:04:05.123456Z``; one with another offset is understood."""

    default_error_messages = {
        **MOMENT_FAULTS,
        "null": "It is null; write a moment as 2026-11-24T15:04:05Z.",
        "required": "It is missing; write a moment as 2026-11-24T15:04:05Z.",
    }

    def to_internal_value(self, value: Any) -> datetime:
        """Return the moment."""
        try:
            return moment_of(value)
        except NotAMoment as error:
            self.fail(error.code)

    def to_representation(self, value: Any) -> Any:
        """Return it in UTC."""
        return None if value is None else moment_text(value)


def moment_text(value: datetime) -> str:
    """Return a moment as the API writes it."""
    aware = timezone.make_aware(value) if timezone.is_naive(value) else value
    return aware.astimezone(UTC).isoformat().replace("+00:00", "Z")


def milliseconds(seconds: float | None) -> float | None:
    """Return a duration as the API writes it."""
    return None if seconds is None else round(seconds * 1000, 3)


def timing_told(timing: Timing) -> dict[str, float | None]:
    """Return the parts of an exchange in milliseconds; null for what it had not, or what is not known of it."""
    return {name: milliseconds(seconds) for name, seconds in asdict(timing).items()}


class AnythingField(serializers.JSONField):
    """Whatever JSON can hold; its model says what is right."""

    default_error_messages = {
        "null": "It is null; leave it out, or give a value.",
        "required": "It is missing; give a value.",
    }


class ObjectField(serializers.DictField):
    """An object."""

    default_error_messages = {
        "not_a_dict": "It is no object; give one, such as {{}}.",
        "null": "It is null; give an object, or leave it out.",
        "required": "It is missing; give an object.",
    }


class ListOfField(serializers.ListField):
    """A list."""

    default_error_messages = {
        "not_a_list": "It is no list; give one, such as [].",
        "null": "It is null; give a list, or leave it out.",
        "required": "It is missing; give a list.",
        "empty": "It is empty; give at least one.",
        "min_length": "It is too short; give at least {min_length}.",
        "max_length": "It is too long; give at most {max_length}.",
    }


class KeyField(_Field):
    """Our own key of a row, as an opaque string."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"read_only": True, **kwargs})

    def to_representation(self, value: Any) -> str:
        """Return it."""
        return str(value)


class OrganizationKeyField(serializers.ReadOnlyField):
    """The host's own key of an organization, as it is."""
