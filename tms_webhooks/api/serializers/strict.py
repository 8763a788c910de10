"""The base serializers: they reject unknown names and read-only fields, and validate a row with its model's ``clean()``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.exceptions import NON_FIELD_ERRORS
from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import models
from rest_framework import serializers
from rest_framework.settings import api_settings

from tms_webhooks.api.filters import unknown_name_message
from tms_webhooks.api.serializers.fields import (
    JSONValueField,
    StrictBooleanField,
    StrictCharField,
    StrictChoiceField,
    StrictFloatField,
    StrictIntegerField,
    UTCDateTimeField,
    json_type_of,
)

MAX_UNKNOWN_FIELDS = 20
"""The maximum number of unknown fields in one error: finding similar names for thousands takes seconds."""


class StrictMixin(serializers.Serializer):
    """Mixed into a serializer, it rejects unknown names and read-only fields."""

    default_error_messages = {"null": "Expected an object, got null."}

    read_only_remedies: Mapping[str, str] = {}
    """For some read-only fields, how to change them instead. The default is to omit them."""

    def to_internal_value(self, data: Any) -> Any:
        """Return the values; raise ``ValidationError`` with all errors, including unknown names."""
        if not isinstance(data, Mapping):
            error = serializers.ErrorDetail(f"Expected an object, got {json_type_of(data)}.", code="invalid")
            raise serializers.ValidationError({api_settings.NON_FIELD_ERRORS_KEY: [error]})
        errors = self._errors_of_names(data)
        try:
            values = super().to_internal_value(data)
        except serializers.ValidationError as error:
            raise serializers.ValidationError({**errors, **_as_dict(error.detail)}) from error
        if errors:
            raise serializers.ValidationError(errors)
        return values

    def _errors_of_names(self, data: Mapping[Any, Any]) -> dict[str, Any]:
        writable = [name for name, field in self.fields.items() if not field.read_only]
        errors: dict[str, Any] = {}
        for name in data:
            if name in writable:
                continue
            if len(errors) >= MAX_UNKNOWN_FIELDS:
                break
            if name in self.fields:
                remedy = self.read_only_remedies.get(name, "omit it")
                detail, code = f"This field is read-only here; {remedy}.", "read_only"
            else:
                detail, code = unknown_name_message(name, writable, kind="field"), "unknown"
            errors[name] = [serializers.ErrorDetail(detail, code=code)]
        return errors


class StrictSerializer(StrictMixin, serializers.Serializer):
    """A strict serializer without a model."""


class StrictModelSerializer(StrictMixin, serializers.ModelSerializer):
    """A strict serializer of a model. Override `check_row` for rules that the model's ``clean()`` leaves out."""

    serializer_field_mapping = {
        **serializers.ModelSerializer.serializer_field_mapping,
        models.BooleanField: StrictBooleanField,
        models.CharField: StrictCharField,
        models.DateTimeField: UTCDateTimeField,
        models.FloatField: StrictFloatField,
        models.JSONField: JSONValueField,
        models.PositiveIntegerField: StrictIntegerField,
        models.PositiveSmallIntegerField: StrictIntegerField,
        models.TextField: StrictCharField,
    }
    serializer_choice_field = StrictChoiceField

    def apply_and_validate(self, row: models.Model, values: Mapping[str, Any]) -> None:
        """Set these values on the row; raise ``ValidationError`` if the row is then invalid."""
        for name, value in values.items():
            setattr(row, name, value)
        errors: dict[str, Any] = {}
        for check in (row.clean, lambda: self.check_row(row)):
            try:
                check()
            except DjangoValidationError as error:
                # A later check reports no field of which an earlier one has an error.
                errors = {**to_drf_detail(error), **errors}
        if errors:
            raise serializers.ValidationError(errors)

    def check_row(self, row: Any) -> None:
        """Raise Django's ``ValidationError`` if the row breaks another rule. The default checks nothing."""


def to_drf_detail(error: DjangoValidationError) -> dict[str, Any]:
    """Return the errors of a Django form or model in the structure of a serializer's errors.

    An error in a part of a field's value, such as filters, is nested in the names and indexes that lead to the part.
    """
    by_field = error.error_dict if hasattr(error, "error_dict") else {NON_FIELD_ERRORS: error.error_list}
    details: dict[str, Any] = {}
    for name, errors in by_field.items():
        for item in errors:
            place = details.setdefault(api_settings.NON_FIELD_ERRORS_KEY if name == NON_FIELD_ERRORS else name, {})
            for step in getattr(item, "at", ()):
                place = place.setdefault(str(step), {})
            place.setdefault(api_settings.NON_FIELD_ERRORS_KEY, []).extend(
                serializers.ErrorDetail(message, code=item.code or "invalid") for message in item.messages
            )
    return details


def _as_dict(detail: Any) -> dict[str, Any]:
    return dict(detail) if isinstance(detail, Mapping) else {api_settings.NON_FIELD_ERRORS_KEY: detail}
