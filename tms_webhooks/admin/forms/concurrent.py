"""Two users edit one webhook: what one did not touch keeps the change of the other; what both changed is a conflict.

The form carries two fingerprints of each field: of the stored value, and of the value as the page showed it. From the first
it sees what another user changed since, from the second what its own user did not touch.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from django import forms
from django.core.exceptions import ValidationError
from django.core.serializers.json import DjangoJSONEncoder
from django.utils.functional import cached_property
from django.utils.translation import gettext

from tms_webhooks.admin.forms.credentials import CREDENTIAL_FIELDS
from tms_webhooks.admin.forms.events import EventRows
from tms_webhooks.admin.forms.fields import ContentsWidget, ScheduleWidget, read_json
from tms_webhooks.choices import AuditAction
from tms_webhooks.models import AuditEntry, Subscription, Webhook
from tms_webhooks.models.encryption import Sealed

EVENTS = "events"
CREDENTIALS = "credentials"
SECRET = ("headers", CREDENTIALS)
"""The parts of the form whose values are not shown."""
EDITS = (
    AuditAction.WEBHOOK_UPDATED,
    AuditAction.WEBHOOK_ENABLED,
    AuditAction.WEBHOOK_DISABLED,
    AuditAction.SUBSCRIPTION_CREATED,
    AuditAction.SUBSCRIPTION_UPDATED,
    AuditAction.SUBSCRIPTION_DELETED,
)

if TYPE_CHECKING:
    _Form = forms.ModelForm[Webhook]
else:
    _Form = object


class ConcurrentEdits(_Form):
    """The part of a webhook's form that merges the changes of two users."""

    events: EventRows

    kept: Collection[str] = ()
    """The parts whose changes by another user are kept."""
    conflicts: Collection[str] = ()
    """The parts that both users changed."""

    @cached_property
    def _parts(self) -> dict[str, list[str]]:
        """The fields of the form by the part that they belong to: the fields of the authentication are one part."""
        stored = {field.name for field in Webhook._meta.concrete_fields if field.editable}
        parts = {name: [name] for name in self.fields if name in stored and name != "authentication"}
        if "authentication" in self.fields:
            parts[CREDENTIALS] = ["authentication", *CREDENTIAL_FIELDS]
        return parts

    @cached_property
    def _fingerprints(self) -> dict[str, Any]:
        """The fingerprints of each part as it is stored and as the page shows it, and of each subscription."""
        parts = {
            name: [self._stored(name), fingerprint(_without_empty(self._data_of(fields)))]
            for name, fields in self._parts.items()
        }
        return {**parts, EVENTS: subscription_fingerprints(self.events.stored)}

    def remember(self) -> None:
        """Have the page carry the fingerprints."""
        self.initial["seen"] = json.dumps(self._fingerprints, separators=(",", ":"))

    def merge(self, *, entered: Collection[str]) -> None:
        """Put the changes by other users into the submitted data where its user touched nothing.

        ``entered`` are the parts of which the form has values that it does not show.
        """
        seen, kept, conflicts = read_json(self["seen"].value() or "", dict), [], []
        for name, fields in self._parts.items():
            (stored, shown), before = self._fingerprints[name], seen.get(name)
            if not isinstance(before, list) or len(before) != 2 or before[0] == stored:
                continue
            data = self._data_of(fields)
            posted = fingerprint(_without_empty({key: self.data.getlist(key) for key in data}))  # type: ignore[attr-defined]
            if name not in entered and posted == before[1]:
                self.replace_data(**data)
                kept.append(name)
            elif name in entered or name in SECRET or posted != shown:
                conflicts.append(name)
        events = seen.get(EVENTS)
        if isinstance(events, dict) and events != self._fingerprints[EVENTS]:
            (conflicts if self.events.merge(events, self._fingerprints[EVENTS]) else kept).append(EVENTS)
        self.kept, self.conflicts = kept, conflicts
        self.replace_data(seen=json.dumps(self._fingerprints, separators=(",", ":")))

    def add_conflict_errors(self) -> None:
        """Add an error that names the parts that both users changed, and the current value to each of their fields."""
        if not self.conflicts:
            return
        message = gettext(
            "%(user)s changed this webhook while you edited it: %(labels)s. Nothing was saved yet, and your input is kept "
            "below. Save again to overwrite these changes."
        )
        values = {"user": self.last_editor, "labels": ", ".join(map(self.label_of, self.conflicts))}
        self.add_error(None, ValidationError(message % values, code="conflict"))
        for name, _label, _mine, theirs in self._shown_conflicts:
            current = gettext("The current value is: %(value)s") % {"value": theirs}
            self.add_error(name, ValidationError(current, code="conflict"))

    @property
    def conflict_rows(self) -> list[tuple[str, ...]]:
        """The label, the submitted and the stored value of each field that both users changed."""
        return [texts for _name, *texts in self._shown_conflicts]  # type: ignore[misc]

    @cached_property
    def _shown_conflicts(self) -> list[tuple[str, str, str, str]]:
        """The name and the texts of each field that both users changed, and whose values may be shown."""
        shown = [name for name in self.conflicts if name in self.fields and name not in SECRET]
        values = [(name, self[name].data, self.initial.get(name)) for name in shown]
        return [
            (name, self.label_of(name), self._text(name, mine), self._text(name, theirs))
            for name, mine, theirs in values
        ]

    @cached_property
    def last_editor(self) -> str:
        """The name of the last editor, from the audit log."""
        entry = AuditEntry.objects.filter(webhook=self.instance, action__in=EDITS).order_by("-pk").first()
        return gettext("Another user") if entry is None or not entry.actor_label else str(entry.actor_label)

    def label_of(self, name: str) -> str:
        """Return the label of a part."""
        if name == EVENTS:
            return gettext("Events")
        return str(self.fields[name].label) if name in self.fields else gettext("credentials")

    def replace_data(self, **values: str | list[str]) -> None:
        """Change values of the submitted data; an empty list removes one."""
        data: Any = self.data.copy()  # type: ignore[attr-defined]
        for name, value in values.items():
            data.setlist(name, [value] if isinstance(value, str) else value)
        self.data = data

    def _stored(self, name: str) -> str:
        names = ("authentication", CREDENTIALS) if name == CREDENTIALS else (name,)
        values = [getattr(self.instance, str(getattr(Webhook._meta.get_field(one), "attname", one))) for one in names]
        return fingerprint([value.token if isinstance(value, Sealed) else value for value in values])

    def _data_of(self, fields: Iterable[str]) -> dict[str, list[str]]:
        """Return the stored values of fields as a browser submits them."""
        data: dict[str, list[str]] = {}
        for name in fields:
            field: Any = self.fields[name]
            value = self.get_initial_for_field(field, name)
            if hasattr(field.widget, "to_data"):
                data |= field.widget.to_data(name, value)
            elif isinstance(field.widget, forms.CheckboxInput):
                data[name] = ["on"] if value else []
            else:
                text = field.prepare_value(value)
                data[name] = ["" if text is None else str(text)]
        return data

    def _text(self, name: str, value: Any) -> str:
        field: Any = self.fields[name]
        if isinstance(field.widget, ScheduleWidget):
            schedule, own_delays = field.widget.parts_of(value)
            return str(own_delays or schedule)
        choices = {str(key): label for key, label in getattr(field, "choices", ())}
        if isinstance(field.widget, ContentsWidget):
            value = "\n".join(f"{event}: {text}" for event, text in field.widget.decompress(value))
        text = choices.get(str(value), field.prepare_value(value))
        return "-" if text in (None, "") else str(text)


def subscription_fingerprints(subscriptions: Iterable[Subscription]) -> dict[str, str]:
    """Return a fingerprint of each subscription, by its public id."""
    return {
        one.public_id: fingerprint([getattr(one, name) for name in Subscription.CONFIGURED]) for one in subscriptions
    }


def fingerprint(value: Any) -> str:
    """Return a short text that differs for different values."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, cls=DjangoJSONEncoder).encode()).hexdigest()[:12]


def _without_empty(data: Mapping[str, Iterable[str]]) -> dict[str, list[str]]:
    """Return submitted values without the changes that a browser makes, and without empty ones."""
    tidied = {name: [value.replace("\r\n", "\n").strip() for value in values] for name, values in data.items()}
    return {name: [value for value in values if value] for name, values in tidied.items()}
