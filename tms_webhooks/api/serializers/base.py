"""The fields and serializers that all others are made of.

They accept only the right JSON type: no "5" for 5, no "yes" for true. They reject unknown names and read-only fields, and
validate a row with its model's ``clean()``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, TypeAlias

from django.core.exceptions import NON_FIELD_ERRORS
from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import models
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from rest_framework import serializers
from rest_framework.settings import api_settings

from tms_webhooks.api.problems import unknown_name_message
from tms_webhooks.models.organization import has_whole_number_key

Schema: TypeAlias = dict[str, Any]
"""A JSON Schema."""

InvalidValues = serializers.ValidationError
"""The error of a serializer, for callers outside of the API."""

Path: TypeAlias = Sequence[str | int]
"""The names and indexes that lead to a value in a body."""


def one_of(values: Iterable[str]) -> Schema:
    """Return the schema of a closed list of strings."""
    return {"type": "string", "enum": [str(value) for value in values]}


class DescribedField(serializers.Field):
    """A field that gives its own JSON Schema to the OpenAPI document. With ``component``, the schema is a component."""

    json_schema: Schema = {}
    component = ""


class _OneTypeField(serializers.Field):
    """Accepts values of ``types`` only: a boolean is no number, and "5" neither."""

    types: tuple[type, ...]
    expected: str
    """A value of these types in words."""
    default_error_messages = {"invalid": "Expected {expected}, got {kind}."}

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, self.types) or (isinstance(data, bool) and bool not in self.types):
            kind = json_type_of(data)
            if isinstance(data, float) and self.types == (int,):
                is_whole = data.is_integer()
                kind = f"{data}; write it in digits alone" if is_whole else "a number with a fraction"
            self.fail("invalid", expected=self.expected, kind=kind)
        return data


class StrictCharField(_OneTypeField, serializers.CharField):
    """A string, which keeps its whitespace."""

    types, expected = (str,), "a string"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"trim_whitespace": False, **kwargs})

    def run_validation(self, data: Any = serializers.empty) -> Any:
        """Reject a string of whitespace where the field must not be blank."""
        if isinstance(data, str) and not self.allow_blank and not data.strip():
            self.fail("blank")
        return super().run_validation(data)


class StrictIntegerField(_OneTypeField, serializers.IntegerField):
    """A whole number."""

    types, expected = (int,), "a whole number"


class StrictFloatField(_OneTypeField, serializers.FloatField):
    """A number."""

    types, expected = (int, float), "a number"


class StrictBooleanField(_OneTypeField, serializers.BooleanField):
    """``true`` or ``false``."""

    types, expected = (bool,), "true or false"


class StrictChoiceField(serializers.ChoiceField):
    """One string or number of a closed list."""

    default_error_messages = {"invalid_choice": "{input} is not a valid choice; choose one of {names}."}

    def to_internal_value(self, data: Any) -> Any:
        if data == "" and self.allow_blank:
            return ""
        for choice in self.choices:
            if type(data) is type(choice) and data == choice:
                return choice
        shown = repr(data[:40]) if isinstance(data, str) else json_type_of(data).capitalize()
        return self.fail("invalid_choice", input=shown, names=", ".join(str(choice) for choice in self.choices))


class UTCDateTimeField(serializers.DateTimeField):
    """A time, written in UTC as ``2026-11-24T15:04:05.123456Z`` and read with any offset."""

    def to_internal_value(self, value: Any) -> datetime:
        return parse_utc(value)

    def to_representation(self, value: datetime) -> str:
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


class IDField(DescribedField):
    """The public id of one of the app's rows, an opaque string."""

    json_schema = {"type": "string", "pattern": "^[a-z]{3}_([0-9a-f]{32}){1,2}$"}

    def to_representation(self, value: Any) -> str:
        return str(value)


class EventIDField(IDField):
    """The public id of an event."""

    json_schema = {"type": "string", "pattern": "^evt_[0-9a-f]{32}$"}


class OrganizationIDField(DescribedField, serializers.ReadOnlyField):
    """The primary key of a host's organization, unchanged: a number or a string."""

    json_schema = {
        "type": "integer" if has_whole_number_key() else "string",
        "description": "The organization's id.",
    }


class WordField(DescribedField, serializers.CharField):
    """A word of a closed list. Where "" is in the list, it stands for None."""

    def __init__(self, words: Iterable[str], *, component: str = "", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.json_schema = one_of(words)
        self.component = component

    def get_attribute(self, instance: Any) -> Any:
        word = super().get_attribute(instance)
        return "" if word is None and "" in self.json_schema["enum"] else word


class NumberField(DescribedField, serializers.FloatField):
    """A number."""

    json_schema = {"type": "number"}


class MillisecondsField(NumberField):
    """A duration that is stored in seconds, in milliseconds with three digits after the point."""

    def to_representation(self, value: float) -> float:
        return round(value * 1000, 3)


class PayloadField(serializers.CharField):
    """A text that only callers who may see payloads get: ``shows_payloads`` of the view. Others get null."""

    def get_attribute(self, instance: Any) -> Any:
        """Return the text, or None if the caller may not see it."""
        return super().get_attribute(instance) if self.context["view"].shows_payloads else None

    def to_representation(self, value: str | bytes) -> str:
        return value.decode() if isinstance(value, bytes) else value


def parse_utc(value: Any) -> datetime:
    """Return the time of an ISO 8601 text in UTC; raise Django's ``ValidationError`` for any other value."""
    with suppress(ValueError, OverflowError):
        # Django reads the digits of other scripts, too.
        if isinstance(value, str) and value.isascii() and (time := parse_datetime(value)):
            if timezone.is_naive(time):
                message = "The time zone is missing; write the time as 2026-11-24T15:04:05Z."
                raise DjangoValidationError(message, code="zone")
            return time.astimezone(UTC)
    raise DjangoValidationError("Not a valid time; write it as 2026-11-24T15:04:05Z.", code="invalid")


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


MAX_UNKNOWN_FIELDS = 20
"""The maximum number of unknown fields in one error: finding similar names for thousands takes seconds."""


class StrictSerializer(serializers.Serializer):
    """A serializer that rejects unknown names and read-only fields."""

    remedies: Mapping[str, str] = {}
    """For some names that a request may not have, what to do instead. The default is to omit them."""

    def to_internal_value(self, data: Any) -> Any:
        """Return the values; raise ``ValidationError`` with all errors, including unknown names."""
        errors: dict[str, Any] = {}
        writable = [name for name, field in self.fields.items() if not field.read_only]
        refused = [name for name in data if name not in writable] if isinstance(data, Mapping) else []
        for name in refused[:MAX_UNKNOWN_FIELDS]:
            if name in self.fields:
                detail, code = f"This field is read-only here; {self.remedies.get(name, 'omit it')}.", "read_only"
            elif name in self.remedies:
                detail, code = f"Omit it: {self.remedies[name]}.", "unknown"
            else:
                detail, code = unknown_name_message(name, writable, kind="field"), "unknown"
            errors[name] = [serializers.ErrorDetail(detail, code=code)]
        try:
            values = super().to_internal_value(data)
        except serializers.ValidationError as error:
            raise serializers.ValidationError({**errors, **serializers.as_serializer_error(error)}) from error
        if errors:
            raise serializers.ValidationError(errors)
        return values


class StrictModelSerializer(StrictSerializer, serializers.ModelSerializer):
    """A strict serializer of a model."""

    serializer_field_mapping = {
        **serializers.ModelSerializer.serializer_field_mapping,
        models.BooleanField: StrictBooleanField,
        models.CharField: StrictCharField,
        models.DateTimeField: UTCDateTimeField,
        models.FloatField: StrictFloatField,
        models.PositiveIntegerField: StrictIntegerField,
        models.PositiveSmallIntegerField: StrictIntegerField,
        models.TextField: StrictCharField,
    }
    serializer_choice_field = StrictChoiceField


def apply_and_validate(
    row: models.Model, values: Mapping[str, Any], problems: Callable[[], DjangoValidationError | None] = lambda: None
) -> None:
    """Set these values on a row; raise ``ValidationError`` if the row is then invalid, or has other ``problems``."""
    for name, value in values.items():
        setattr(row, name, value)
    errors: dict[str, Any] = {}
    try:
        row.clean()
    except DjangoValidationError as error:
        errors = to_drf_detail(error)
    if (more := problems()) is not None:
        errors = {**to_drf_detail(more), **errors}
    if errors:
        raise serializers.ValidationError(errors)


def invalid(*paths: Path, error: object, code: str) -> serializers.ValidationError:
    """Return an error of the values at these paths of the body."""
    return serializers.ValidationError(nested((path, str(error), code) for path in paths))


def nested(errors: Iterable[tuple[Path, str, str]]) -> dict[str, Any]:
    """Return errors, each with its path in the body, its message and its code, in the structure of a serializer's errors."""
    details: dict[str, Any] = {}
    for path, message, code in errors:
        place = details
        for step in path:
            place = place.setdefault(str(step), {})
        place.setdefault(api_settings.NON_FIELD_ERRORS_KEY, []).append(serializers.ErrorDetail(message, code=code))
    return details


def to_drf_detail(error: DjangoValidationError) -> dict[str, Any]:
    """Return the errors of a Django form or model in the structure of a serializer's errors.

    An error in a part of a field's value, such as filters, is nested in the names and indexes that lead to the part.
    """
    by_field = error.error_dict if hasattr(error, "error_dict") else {NON_FIELD_ERRORS: error.error_list}
    return nested(
        ((*(() if name == NON_FIELD_ERRORS else (name,)), *getattr(item, "at", ())), message, item.code or "invalid")
        for name, errors in by_field.items()
        for item in errors
        for message in item.messages
    )
