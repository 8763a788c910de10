"""The form of a webhook."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.core.exceptions import ValidationError
from django.utils.functional import cached_property
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from tms_webhooks.admin.forms import conflicts, headers
from tms_webhooks.admin.forms.events import EventRows
from tms_webhooks.admin.forms.schedule import ScheduleField
from tms_webhooks.catalogue import registry
from tms_webhooks.delivery import rendering
from tms_webhooks.models import Webhook
from tms_webhooks.models.encryption import MASK
from tms_webhooks.net.urls import same_receiver

# Django's own classes are not generic at run time.
if TYPE_CHECKING:
    _WebhookForm = forms.ModelForm[Webhook]
else:
    _WebhookForm = forms.ModelForm


class Carried(forms.CharField):
    """What the form carries for itself, and nobody changes."""

    widget = forms.HiddenInput

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Never."""
        return False


class WebhookForm(_WebhookForm):
    """A webhook with its events. What is wrong is told all at once, each beside its field; nothing typed is lost."""

    user: ClassVar[object] = None
    """The key of the person at the form."""

    headers = headers.HeaderLinesField(
        label=_("HTTP headers"),
        required=False,
        help_text=_(
            "One name=value a line, such as Authorization=Basic dXNlcjpwYXNz. Values are encrypted and never shown again: "
            "leave the dots to keep one, or type another in their place."
        ),
    )
    headers_kept = Carried(required=False)
    schedule = ScheduleField(
        label=_("Schedule"),
        required=False,
        max_length=500,
        help_text=_(
            "When to try again: standard (11 attempts over three days), skillable (5 retries within seconds), none, or at "
            "most 15 delays in seconds, such as 5, 60, 300. Empty: standard."
        ),
    )
    form_key = Carried(required=False)
    seen = Carried(required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.known_headers = headers.known_headers(self.instance)
        self.initial["headers"] = headers.mask(self.known_headers)
        self.initial["form_key"] = uuid.uuid4().hex
        self.events = EventRows(webhook=self.instance, data=self.data if self.is_bound else None)
        if self.instance.pk is not None:
            self.state = conflicts.state_of(self.instance, self._stored_names)
            self.initial["seen"] = conflicts.written(self.state)

    @cached_property
    def _stored_names(self) -> list[str]:
        stored = {field.name for field in Webhook._meta.concrete_fields if field.editable}
        return [name for name in self.fields if name in stored]

    @cached_property
    def _typed_before(self) -> dict[str, str]:
        """Header values that were typed into this form before it was sent back to be corrected."""
        return headers.unseal(self["headers_kept"].value() or "", user=self.user) if self.is_bound else {}

    @cached_property
    def changed_data(self) -> list[str]:
        """The names of the fields whose value is another one; dots may stand for one that was typed before."""
        names = super().changed_data
        return [*names, "headers"] if self._typed_before and "headers" not in names else names

    # Judging

    def full_clean(self) -> None:
        """Check everything, and take what was typed into the headers out of what is shown again."""
        super().full_clean()
        if self.is_bound and self.errors:
            self._put_headers_away()

    def clean_headers(self) -> str:
        """Put the known values in place of the dots."""
        text: str = self.cleaned_data["headers"]
        if text.strip() == MASK and self.known_headers is None:
            return MASK  # what can't be read stays as it is
        stored = self.known_headers or {}
        if same_receiver(self.initial.get("url", ""), str(self["url"].value()).strip()):
            return headers.unmask(text, {**stored, **self._typed_before})
        # Whoever may change the URL may not know these values, and would get to know them.
        return headers.unmask(text, self._typed_before, withheld=stored)

    def clean_form_key(self) -> uuid.UUID | None:
        """Return the key by which a form that is sent twice makes one webhook."""
        try:
            return uuid.UUID(hex=self.cleaned_data["form_key"])
        except ValueError:
            return None

    def clean(self) -> dict[str, Any]:
        """Check the rows, and whether somebody else was faster."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if self.events.problems:
            count = self.events.problems
            told = ngettext("%(count)d event has to be corrected.", "%(count)d events have to be corrected.", count)
            self.add_error(None, ValidationError(told % {"count": count}, code="events"))
        if self.events.is_broken:
            self.add_error(None, ValidationError(gettext("The events did not arrive whole. Open the page anew.")))
        if self.events.is_paused:
            self.add_error(None, ValidationError(gettext("Nothing is saved yet: fill in the row that was added.")))
        if self.instance.pk is not None:
            self._tell_conflicts()
        return cleaned

    def _post_clean(self) -> None:
        """Check content and URL once the webhook has its new values, against the events that are chosen."""
        super()._post_clean()  # type: ignore[misc]
        problems = rendering.problems_of(self.instance, self.events.event_types() or registry.all_types())
        if problems is None:
            return
        for name, errors in problems.error_dict.items():
            if name in self.fields and name not in self.errors:
                self.add_error(name, errors)

    # Two people at once

    def _tell_conflicts(self) -> None:
        names = conflicts.changed_since(self["seen"].value() or "", self.state)
        if not names:
            return
        who = conflicts.last_editor(self.instance) or gettext("Somebody else")
        self._show_instead(seen=conflicts.written(self.state))
        labels = [str(self._label(name)) for name in names]
        message = gettext(
            "%(who)s changed this webhook while you had it open: %(labels)s. Nothing is saved yet, and what you typed "
            "stands below. Save again to have it your way."
        )
        self.add_error(None, ValidationError(message % {"who": who, "labels": ", ".join(labels)}, code="conflict"))
        for name in names:
            if name in self.fields and name != "headers":
                told = gettext("It is now: %(value)s") % {"value": self._now(name)}
                self.add_error(name, ValidationError(told, code="conflict"))

    def _label(self, name: str) -> Any:
        return gettext("Events") if name == conflicts.EVENTS else self.fields[name].label

    def _now(self, name: str) -> str:
        value = self.initial.get(name)
        field = self.fields[name]
        shown = dict(getattr(field, "choices", ())).get(value, field.prepare_value(value))
        return "-" if shown in (None, "") else str(shown)

    # Headers

    def _put_headers_away(self) -> None:
        shown, now = headers.hide(self["headers"].value() or "")
        kept = headers.seal({**self._typed_before, **now}, user=self.user)
        self._show_instead(headers=shown, headers_kept=kept)

    def _show_instead(self, **values: str) -> None:
        data: Any = self.data.copy()  # type: ignore[attr-defined]
        for name, value in values.items():
            data[name] = value
        self.data = data
