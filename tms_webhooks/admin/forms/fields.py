"""The form fields of a webhook that need their own conversion or comparison."""

from __future__ import annotations

import json
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _


class TrimmedTextField(forms.CharField):
    """A text field that ignores changes by the browser: its line ends, and blanks that Django strips from both ends."""

    def to_python(self, value: Any) -> Any:
        """Return the text with ``\\n`` as its line end."""
        text = super().to_python(value)
        return text.replace("\r\n", "\n") if isinstance(text, str) else text

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Compare the values as they would be stored."""
        return bool(self.to_python(initial) != self.to_python(data))


class DaysField(forms.FloatField):
    """A number of days."""

    def clean(self, value: Any) -> Any:
        """Return the number; name the value if it is none."""
        try:
            return super().clean(value)
        except ValidationError as error:
            if error.code != "invalid":
                raise
            problem = _("%(value)s is not a number of days; write one such as 7 or 0.5.")
            raise ValidationError(problem, code="invalid", params={"value": str(value)[:40]}) from None


class HiddenTextField(forms.CharField):
    """A hidden field with state of the form, which the user can't change."""

    widget = forms.HiddenInput

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Return False: the state of the form is no change of the webhook."""
        return False


class YesNoField(forms.TypedChoiceField):
    """A boolean as a choice of two texts. A form without a choice means False."""

    widget = forms.RadioSelect

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(coerce=_is_true, required=False, **kwargs)
        self.empty_value: Any = False

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Compare the booleans."""
        return bool(initial) != _is_true(data)


class ConditionField(forms.JSONField):
    """A condition as indented JSON."""

    widget = forms.Textarea

    def to_python(self, value: Any) -> Any:
        """Return the object; refuse lists in lists and numbers of thousands of digits like other text that is not JSON."""
        try:
            return super().to_python(value)
        except (RecursionError, ValueError):
            raise ValidationError(self.error_messages["invalid"], code="invalid", params={"value": ""}) from None

    def prepare_value(self, value: Any) -> Any:
        """Return the text of the input."""
        if value is None:
            return ""
        return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)


def _is_true(value: Any) -> bool:
    return str(value) == "True"


class ContentsField(forms.JSONField):
    """Contents by event, as JSON; an empty text for none."""

    widget = forms.Textarea(attrs={"rows": 4, "class": "vLargeTextField", "spellcheck": "false"})

    def prepare_value(self, value: Any) -> Any:
        """Return indented JSON, or an empty text for no contents."""
        if not value or isinstance(value, str):
            return value or ""
        return json.dumps(value, ensure_ascii=False, indent=2)

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Return whether the contents differ, however they are written."""
        return super().has_changed(initial or None, data)

    def clean(self, value: Any) -> Any:
        """Return the contents, {} for an empty text."""
        return super().clean(value) or {}
