"""Serializers that refuse what they don't know by name, and check a row as its model does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from django.core.exceptions import NON_FIELD_ERRORS
from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import models
from rest_framework import serializers
from rest_framework.settings import api_settings

from tms_webhooks.api.filters import unknown_name
from tms_webhooks.api.serializers.fields import (
    AnythingField,
    MomentField,
    NumberField,
    OneOfField,
    TextField,
    TruthField,
    WholeNumberField,
    kind_of,
)

# Its classes are generic for the type checker alone.
if TYPE_CHECKING:
    _Serializer = serializers.Serializer[Any]
    _ModelSerializer = serializers.ModelSerializer[Any]
else:
    _Serializer = serializers.Serializer
    _ModelSerializer = serializers.ModelSerializer


MOST_STRANGERS = 20
"""That are told: to look for the nearest names of thousands would take long."""


class Strict(_Serializer):
    """Mixed into a serializer: a name that is no field of it, and one that only the system sets, is refused."""

    default_error_messages = {"null": "It is null; give an object."}

    read_only_remedies: Mapping[str, str] = {}
    """What to do instead of setting a field that can't be set; by default to leave it out."""

    def to_internal_value(self, data: Any) -> Any:
        """Return the values; raise ``ValidationError`` with all that is wrong, unknown names included."""
        if not isinstance(data, Mapping):
            error = serializers.ErrorDetail(f"It is {kind_of(data)}; give an object.", code="invalid")
            raise serializers.ValidationError({api_settings.NON_FIELD_ERRORS_KEY: [error]})
        errors = self._strangers(data)
        try:
            values = super().to_internal_value(data)
        except serializers.ValidationError as error:
            raise serializers.ValidationError({**errors, **_as_dict(error.detail)}) from error
        if errors:
            raise serializers.ValidationError(errors)
        return values

    def _strangers(self, data: Mapping[Any, Any]) -> dict[str, Any]:
        writable = [name for name, field in self.fields.items() if not field.read_only]
        errors: dict[str, Any] = {}
        for name in data:
            if name in writable:
                continue
            if len(errors) >= MOST_STRANGERS:
                break
            if name in self.fields:
                remedy = self.read_only_remedies.get(name, "leave it out")
                detail, code = f"It can't be set here; {remedy}.", "read_only"
            else:
                detail, code = unknown_name(name, writable, what="field"), "unknown"
            errors[name] = [serializers.ErrorDetail(detail, code=code)]
        return errors


class StrictSerializer(Strict, _Serializer):
    """A body that is no row."""


class RowSerializer(Strict, _ModelSerializer):
    """A row, its fields by their kinds. Override `check` for what the model's own ``clean`` leaves out."""

    serializer_field_mapping = {
        **serializers.ModelSerializer.serializer_field_mapping,
        models.BooleanField: TruthField,
        models.CharField: TextField,
        models.DateTimeField: MomentField,
        models.FloatField: NumberField,
        models.JSONField: AnythingField,
        models.PositiveIntegerField: WholeNumberField,
        models.PositiveSmallIntegerField: WholeNumberField,
        models.TextField: TextField,
    }
    serializer_choice_field = OneOfField

    def validated_row(self, row: models.Model, values: Mapping[str, Any]) -> None:
        """Set these values, and raise ``ValidationError`` where the row as a whole is wrong."""
        for name, value in values.items():
            setattr(row, name, value)
        try:
            row.clean()
            self.check(row)
        except DjangoValidationError as error:
            raise serializers.ValidationError(as_detail(error)) from error

    def check(self, row: Any) -> None:
        """Raise Django's ``ValidationError`` for what else is wrong. Here: nothing."""


def as_detail(error: DjangoValidationError) -> dict[str, Any]:
    """Return the errors of a form or model as those of a serializer."""
    by_field = error.error_dict if hasattr(error, "error_dict") else {NON_FIELD_ERRORS: error.error_list}
    return {
        api_settings.NON_FIELD_ERRORS_KEY if name == NON_FIELD_ERRORS else name: [
            serializers.ErrorDetail(message, code=item.code or "invalid")
            for item in errors
            for message in item.messages
        ]
        for name, errors in by_field.items()
    }


def _as_dict(detail: Any) -> dict[str, Any]:
    return dict(detail) if isinstance(detail, Mapping) else {api_settings.NON_FIELD_ERRORS_KEY: detail}
