"""The form fields of a webhook that need their own conversion or comparison."""

from __future__ import annotations

import json
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _


class TrimmedTextField(forms.CharField):
    """A text field that ignores changes by the browser: its line ends, and spaces that Django strips from both ends."""

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

    def bound_data(self, data: Any, initial: Any) -> Any:
        """Return the object of posted text, or the text itself if it is none."""
        try:
            return super().bound_data(data, initial)
        except (RecursionError, ValueError):
            return data

    def prepare_value(self, value: Any) -> Any:
        """Return the text of the input."""
        if value is None:
            return ""
        return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)


def _is_true(value: Any) -> bool:
    return str(value) == "True"


class ContentsWidget(forms.Widget):
    """The contents of some events: for each an input for its name and a text area, and an empty pair for another one."""

    template_name = "admin/tms_webhooks/webhook/contents.html"

    def get_context(self, name: str, value: Any, attrs: Any) -> dict[str, Any]:
        """Return the context of the template, with the pairs of event and content."""
        return {**super().get_context(name, value, attrs), "pairs": [*self.decompress(value), ("", "")]}

    def value_from_datadict(self, data: Any, files: Any, name: str) -> list[tuple[str, str]]:
        """Return the pairs that are not empty."""
        events, texts = data.getlist(f"{name}-event"), data.getlist(f"{name}-text")
        pairs = zip(events, texts, strict=False)
        found = [(event.strip(), text.replace("\r\n", "\n")) for event, text in pairs]
        return [(event, text) for event, text in found if event or text.strip()]

    def value_omitted_from_data(self, data: Any, files: Any, name: str) -> bool:
        """Return False: a form without a pair removes the contents."""
        return False

    def decompress(self, value: Any) -> list[tuple[str, str]]:
        """Return the pairs of event and content."""
        return list(value.items()) if isinstance(value, dict) else list(value or ())

    def to_data(self, name: str, value: Any) -> dict[str, list[str]]:
        """Return a stored value as a browser submits it."""
        pairs = self.decompress(value)
        return {f"{name}-event": [event for event, _text in pairs], f"{name}-text": [text for _event, text in pairs]}


class ContentsField(forms.Field):
    """Contents by event, as a dictionary."""

    widget = ContentsWidget

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Return whether the contents differ."""
        return [*(initial or {}).items()] != [*(data or ())]

    def to_python(self, value: Any) -> dict[str, str]:
        """Return the contents; refuse one without an event, and two of one event."""
        found: dict[str, str] = {}
        for event, text in value or ():
            if not event:
                raise ValidationError(_("A content has no event. Write an event such as class.cancelled, or class.*."))
            if event in found:
                message = _("%(event)s has two contents. Remove one.")
                raise ValidationError(message, params={"event": event})
            found[event] = text
        return found
