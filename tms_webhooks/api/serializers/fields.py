"""Serializer fields that accept only the right JSON type: no "5" for 5, no "yes" for true."""

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


DATE_TIME_ERRORS = {
    "invalid": "Not a valid time; write it as 2026-11-24T15:04:05Z.",
    "zone": "The time zone is missing; write the time as 2026-11-24T15:04:05Z.",
}


class StrictCharField(serializers.CharField):
    """A string, which keeps its whitespace."""

    default_error_messages = {
        "invalid": "Expected a string, got {kind}.",
        "blank": "This field must not be blank; write some text.",
        "null": "Expected a string, got null.",
        "required": "This field is required; give a string.",
        "max_length": "Use at most {max_length} characters.",
    }

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"trim_whitespace": False, **kwargs})

    def run_validation(self, data: Any = serializers.empty) -> Any:
        """Reject a string of whitespace where the field must not be blank."""
        if isinstance(data, str) and not self.allow_blank and not data.strip():
            self.fail("blank")
        return super().run_validation(data)

    def to_internal_value(self, data: Any) -> str:
        """Return the string."""
        if not isinstance(data, str):
            self.fail("invalid", kind=json_type_of(data))
        return str(data)


class StrictIntegerField(serializers.IntegerField):
    """A whole number."""

    default_error_messages = {
        "invalid": "Expected a whole number, got {kind}.",
        "null": "Expected a whole number, got null.",
        "required": "This field is required; give a whole number.",
        "max_value": "Too large; use at most {max_value}.",
        "min_value": "Too small; use at least {min_value}.",
    }

    def to_internal_value(self, data: Any) -> int:
        """Return the number."""
        if isinstance(data, bool) or not isinstance(data, int):
            self.fail("invalid", kind="a number with a fraction" if isinstance(data, float) else json_type_of(data))
        return int(data)


class StrictFloatField(serializers.FloatField):
    """A number."""

    default_error_messages = {
        "invalid": "Expected a number, got {kind}.",
        "null": "Expected a number, got null.",
        "required": "This field is required; give a number.",
        "too_large": "Too large; use a smaller number.",
    }

    def to_internal_value(self, data: Any) -> float:
        """Return the number."""
        if isinstance(data, bool) or not isinstance(data, int | float):
            self.fail("invalid", kind=json_type_of(data))
        try:
            return float(data)
        except OverflowError:
            self.fail("too_large")


class StrictBooleanField(serializers.BooleanField):
    """``true`` or ``false``."""

    default_error_messages = {
        "invalid": "Expected true or false, got {kind}.",
        "null": "Expected true or false, got null.",
        "required": "This field is required; give true or false.",
    }

    def to_internal_value(self, data: Any) -> bool:
        """Return the boolean."""
        if not isinstance(data, bool):
            self.fail("invalid", kind=json_type_of(data))
        return bool(data)


class StrictChoiceField(serializers.ChoiceField):
    """One string or number of a closed list."""

    default_error_messages = {
        "invalid_choice": "{input} is not a valid choice; choose one of {names}.",
        "null": "null is not a valid choice; choose one of the list.",
        "required": "This field is required; choose one of the list.",
    }

    def to_internal_value(self, data: Any) -> Any:
        """Return the choice."""
        if data == "" and self.allow_blank:
            return ""
        for choice in self.choices:
            if type(data) is type(choice) and data == choice:
                return choice
        shown = repr(data[:40]) if isinstance(data, str) else json_type_of(data).capitalize()
        return self.fail("invalid_choice", input=shown, names=", ".join(str(choice) for choice in self.choices))


class UTCDateTimeField(serializers.DateTimeField):
    """A time, written in UTC as ``2026-11-24T15:04:05.123456Z`` and read with any offset."""

    default_error_messages = {
        **DATE_TIME_ERRORS,
        "null": "Expected a time, got null; write it as 2026-11-24T15:04:05Z.",
        "required": "This field is required; write a time as 2026-11-24T15:04:05Z.",
    }

    def to_internal_value(self, value: Any) -> datetime:
        """Return the time in UTC."""
        try:
            return parse_utc(value)
        except InvalidDateTime as error:
            self.fail(error.code)

    def to_representation(self, value: Any) -> Any:
        """Return the time as text in UTC."""
        return None if value is None else format_utc(value)


class JSONValueField(serializers.JSONField):
    """Any JSON value; the model validates it."""

    default_error_messages = {
        "null": "This field must not be null; omit it or give a value.",
        "required": "This field is required.",
    }


class JSONObjectField(serializers.DictField):
    """A JSON object."""

    default_error_messages = {
        "not_a_dict": "Expected an object, such as {{}}.",
        "null": "Expected an object, got null; omit the field or give an object.",
        "required": "This field is required; give an object.",
    }


class StrictListField(serializers.ListField):
    """A list."""

    default_error_messages = {
        "not_a_list": "Expected a list, such as [].",
        "null": "Expected a list, got null; omit the field or give a list.",
        "required": "This field is required; give a list.",
        "empty": "The list is empty; give at least one item.",
        "min_length": "The list is too short; the smallest number of items is {min_length}.",
        "max_length": "The list is too long; give at most {max_length} items.",
    }


class IDField(_Field):
    """The public id of one of the app's rows, an opaque string."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"read_only": True, **kwargs})

    def to_representation(self, value: Any) -> str:
        """Return the id."""
        return str(value)


class OrganizationIDField(serializers.ReadOnlyField):
    """The primary key of a host's organization, unchanged: a number or a string."""


class InvalidDateTime(ValueError):
    """A value that is not a time with an offset; ``code`` is a key of `DATE_TIME_ERRORS`."""

    def __init__(self, code: str) -> None:
        super().__init__(DATE_TIME_ERRORS[code])
        self.code = code


def parse_utc(value: Any) -> datetime:
    """Return the time of an ISO 8601 text in UTC; raise `InvalidDateTime` for any other value."""
    try:
        # Django reads the digits of other scripts, too.
        time = parse_datetime(value) if isinstance(value, str) and value.isascii() else None
    except ValueError:
        time = None
    if time is None:
        raise InvalidDateTime("invalid")
    if timezone.is_naive(time):
        raise InvalidDateTime("zone")
    try:
        return time.astimezone(UTC)
    except OverflowError as error:
        raise InvalidDateTime("invalid") from error


def format_utc(value: datetime) -> str:
    """Return a time as the API writes it, such as ``2026-11-24T15:04:05.123456Z``."""
    aware = timezone.make_aware(value) if timezone.is_naive(value) else value
    return aware.astimezone(UTC).isoformat().replace("+00:00", "Z")


def milliseconds(seconds: float | None) -> float | None:
    """Return a duration in milliseconds, with three digits after the point."""
    return None if seconds is None else round(seconds * 1000, 3)


def timing_in_ms(timing: Timing) -> dict[str, float | None]:
    """Return the phases of an HTTP exchange in milliseconds, None for a phase that did not happen or is not known."""
    return {name: milliseconds(seconds) for name, seconds in asdict(timing).items()}


def json_type_of(value: object) -> str:
    """Return the JSON type of a value in words, such as "a string"."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    for types, words in (((int, float), "a number"), (str, "a string"), (list, "a list")):
        if isinstance(value, types):
            return words
    return "an object"
