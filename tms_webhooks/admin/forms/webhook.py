"""The form of a webhook."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from django import forms
from django.core.exceptions import ValidationError
from django.core.serializers.json import DjangoJSONEncoder
from django.db import router, transaction
from django.utils.functional import cached_property
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from tms_webhooks.admin.forms.credentials import (
    PREFIX,
    CredentialsForm,
    HeaderLinesField,
    hide,
    mask,
    seal,
    unmask,
)
from tms_webhooks.admin.forms.events import EventRows
from tms_webhooks.admin.forms.fields import (
    OWN,
    STANDARD,
    ContentsField,
    HiddenTextField,
    YesNoField,
    error_actions,
    parse_delays,
    read_json,
    schedule_choices,
    schedule_texts,
    shown_value,
)
from tms_webhooks.catalogue import registry
from tms_webhooks.choices import AuditAction, ErrorAction, Preset
from tms_webhooks.delivery import rendering
from tms_webhooks.exceptions import LimitReached
from tms_webhooks.models import AuditEntry, Subscription, Webhook
from tms_webhooks.models.credentials import is_same_receiver, known_headers
from tms_webhooks.models.encryption import MASK, Sealed

SECRET = ("headers", "credentials")
"""The names of values that are not shown."""
EDITS = (
    AuditAction.WEBHOOK_UPDATED,
    AuditAction.WEBHOOK_ENABLED,
    AuditAction.WEBHOOK_DISABLED,
    AuditAction.SUBSCRIPTION_CREATED,
    AuditAction.SUBSCRIPTION_UPDATED,
    AuditAction.SUBSCRIPTION_DELETED,
)
NO_URL = "no_url"
"""The code of the model's error of a webhook that sends, and has no URL."""
KEPT = _("Keep the events for the feed, and send nothing")
ABOVE_EVENTS = "url"
"""The last field above the events."""


class WebhookForm(forms.ModelForm, CredentialsForm):
    """A webhook with its events. It shows all errors together, each at its field, and keeps all input."""

    user: ClassVar[object] = None
    """The primary key of the user."""
    may_include_children: ClassVar[Callable[[Webhook], bool]]
    """Returns whether the user may manage the webhooks of each child organization that a webhook includes."""

    headers = HeaderLinesField(
        label=_("HTTP headers"),
        required=False,
        help_text=_(
            "One name=value per line, such as X-Tenant=north. For a password or a token, use Authentication below. Values "
            "are encrypted and never shown again. Leave the dots to keep a value, or replace them to change it."
        ),
    )
    schedule = forms.ChoiceField(
        label=_("Schedule"),
        required=False,
        choices=schedule_choices,
        initial=STANDARD,
        help_text=_("The delays between attempts."),
    )
    own_delays = forms.CharField(
        label=_("Own delays"),
        required=False,
        max_length=500,
        help_text=_("Up to 15 numbers of seconds, such as 5, 60, 300."),
    )
    error_action = forms.ChoiceField(
        label=_("Error action"), widget=forms.RadioSelect, choices=error_actions, initial=ErrorAction.LOG
    )
    preset = forms.ChoiceField(
        label=_("Preset"),
        required=False,
        choices=[("", _("None")), *Preset.choices],
        help_text=_("Fill in format, verb and contents for this receiver and the selected events when you save."),
    )
    contents = ContentsField(
        label=_("Contents by event"),
        required=False,
        help_text=_(
            "Another body for some events, such as class.cancelled or class.*. Other events get the content above."
        ),
    )
    pull_only = YesNoField(
        label=_("Receiver"),
        initial=False,
        choices=((False, _("Send each event to the URL")), (True, KEPT)),
    )
    form_key = HiddenTextField(required=False)
    seen = HiddenTextField(required=False)

    _of_preset: Mapping[str, Any] = {}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.known_headers = known_headers(self.instance.headers)
        self.initial["headers"] = mask(self.known_headers)
        self.initial["form_key"] = uuid.uuid4().hex
        self.initial["schedule"], self.initial["own_delays"] = schedule_texts(self.instance.schedule)
        self.show_credentials()
        if "url" in self.fields:
            # The model names the field of the API.
            text = gettext("URL is empty. Give the URL of the receiver, or choose “%(option)s” under Delivery.")
            self.fields["url"].error_messages[NO_URL] = text % {"option": KEPT}
        if "ordered" in self.fields:
            field = Webhook._meta.get_field("ordered")
            note = gettext(
                "A failing delivery delays the later events of its object until it is given up. Other objects do not wait."
            )
            self.fields["ordered"].help_text = f"{field.help_text} {note}"
        posted: Any = self.data
        self.events = EventRows(webhook=self.instance, data=posted if self.is_bound else None)
        self._stored = self._fingerprints() if self.instance.pk is not None else {}
        self.initial["seen"] = json.dumps(self._stored)

    @cached_property
    def changed_data(self) -> list[str]:
        """The names of the changed model fields. Masked headers count as changed if their values were entered before."""
        names = [name for name in super().changed_data if name != "preset" and not name.startswith(PREFIX)]
        names = list(dict.fromkeys("schedule" if name == "own_delays" else name for name in names))
        more = {"headers"} if self.entered_headers else set()
        more |= {"credentials"} if self.are_credentials_changed else set()
        return [*names, *sorted((more | self._of_preset.keys()) - set(names))]

    def _values_of_preset(self) -> Mapping[str, Any]:
        """Return the values that the selected preset fills in."""
        preset = self.cleaned_data.get("preset")
        if not preset or {"payload", "payload_version", "headers"} & self.errors.keys():
            return {}
        webhook = Webhook(**{name: self.cleaned_data.get(name) for name in ("payload", "payload_version", "headers")})
        return rendering.preset_values(preset, webhook, [row.pattern for row in self.events.selected])

    # What the page shows

    @property
    def error_links(self) -> list[tuple[str, str, str]]:
        """The id and the label of each field with an error, and the error, in the order of the page."""
        links: list[tuple[str, str, str]] = []
        for name in self.fields:
            field, label = self[name], self.label_of(name)
            # Some messages begin with the name of their field.
            texts = [str(message).removeprefix(f"{label}: ") for message in self.errors.get(name, ())]
            links += [(field.id_for_label or field.auto_id, label, text) for text in texts]
            if name == ABOVE_EVENTS:
                for row in self.events.selected:
                    links += [(link, f"{row.pattern}: {label}", text) for link, label, text in row.error_links]
        return links

    # Validation

    def full_clean(self) -> None:
        """Validate the form, and then content and URL of the webhook with its new values, for the selected events.

        If the form has errors, mask the header values before they are shown again.
        """
        super().full_clean()
        if self.is_bound:
            self._add_errors_of_webhook()
            self._add_conflicts()
        if self.events.is_no_save:
            # The errors come when the user saves.
            for form in (self, *self.events.selected):
                form.errors.clear()
            self.add_error(None, gettext("Nothing was saved yet. Fill in the row and save."))
        if self.is_bound and self.errors:
            headers, entered = hide(self["headers"].value() or "")
            secrets = self.entered_secrets()
            kept = seal({"headers": {**self.entered_headers, **entered}, "secrets": secrets}, user=self.user)
            self.replace_data(headers=headers, kept=kept, **{PREFIX + name: MASK for name in secrets})

    def clean_headers(self) -> str:
        """Replace the dots with the known values."""
        text: str = self.cleaned_data["headers"]
        if text.strip() == MASK and self.known_headers is None:
            return MASK  # Unreadable headers stay as they are.
        stored = self.known_headers or {}
        url = str(self["url"].value() or "").strip()
        if is_same_receiver(self.initial.get("url", ""), url):
            return unmask(text, {**stored, **self.entered_headers})
        # A user who may change the URL could otherwise send the stored values to a receiver of their own.
        return unmask(text, self.entered_headers, withheld=stored)

    def clean_schedule(self) -> str:
        """Return the name of a schedule; that of the standard one is empty."""
        name: str = self.cleaned_data["schedule"]
        return "" if name == STANDARD else name

    def clean_own_delays(self) -> str:
        """Make own delays the schedule, if it is to have some."""
        text: str = self.cleaned_data["own_delays"]
        if self.cleaned_data.get("schedule") == OWN:
            self.cleaned_data["schedule"] = parse_delays(text)
            if not self.cleaned_data["schedule"]:
                raise ValidationError(gettext("Own delays is empty; list delays in seconds, such as 5, 60, 300."))
        return text

    def clean_form_key(self) -> uuid.UUID | None:
        """Return the key that identifies a form that is submitted twice."""
        try:
            return uuid.UUID(hex=self.cleaned_data["form_key"])
        except ValueError:
            return None

    def clean(self) -> dict[str, Any]:
        """Validate the event rows, and check for changes by other users."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        self._of_preset = self._values_of_preset()
        cleaned |= self._of_preset
        if "url" in self.errors:
            # It has its error: the model shall not take it for an empty one.
            self.instance.url = str(self["url"].value())
        if self.events.problems:
            count = self.events.problems
            message = ngettext(
                "%(count)d selected event has errors. Correct it below.",
                "%(count)d selected events have errors. Correct them below.",
                count,
            )
            self.add_error(None, ValidationError(message % {"count": count}, code="events"))
        if self.events.is_incomplete:
            self.add_error(None, gettext("The list of events is incomplete. Open the page again."))
        self._add_limit_errors()
        self.clean_credentials(str(self["url"].value() or "").strip())
        return cleaned

    # Two users edit one webhook

    def _fingerprints(self) -> dict[str, str]:
        """Return a short text for each stored value of the form, which differs for different values."""
        values = {name: getattr(self.instance, name, None) for name in (*self.fields, "credentials")}
        values = {name: value.token if isinstance(value, Sealed) else value for name, value in values.items()}
        names = ("public_id", *Subscription.CONFIGURED)
        values["events"] = [[getattr(row, name) for name in names] for row in self.events.stored]
        texts = {name: json.dumps(value, sort_keys=True, cls=DjangoJSONEncoder) for name, value in values.items()}
        return {name: hashlib.sha256(text.encode()).hexdigest()[:12] for name, text in texts.items()}

    def _add_conflicts(self) -> None:
        """Refuse to overwrite what another user changed since the form was opened, and show the current values."""
        seen = read_json(self["seen"].value() or "", dict)
        edited = {*self.changed_data, "events"}
        names = [name for name, mark in self._stored.items() if seen.get(name, mark) != mark and name in edited]
        if not names:
            return
        entry = AuditEntry.objects.filter(webhook=self.instance, action__in=EDITS).order_by("-pk").first()
        message = gettext(
            "%(user)s changed this webhook while you edited it: %(labels)s. Nothing was saved yet, and your input is kept "
            "below. Save again to overwrite these changes."
        )
        user = entry.actor_label if entry is not None and entry.actor_label else gettext("Another user")
        self.add_error(None, message % {"user": user, "labels": ", ".join(map(self.label_of, names))})
        stored = Webhook.objects.get(pk=self.instance.pk)
        for name in {*names} & self.fields.keys() - {*SECRET}:
            text = shown_value(name, getattr(stored, name))
            self.add_error(name, gettext("The current value is: %(value)s") % {"value": text})
        self.replace_data(seen=json.dumps(self._stored))

    def label_of(self, name: str) -> str:
        """Return the label of a value."""
        labels = {"events": gettext("Events"), "credentials": gettext("credentials")}
        return labels.get(name) or str(self.fields[name].label)

    def replace_data(self, **values: str) -> None:
        """Change values of the submitted data."""
        data: Any = self.data.copy()  # type: ignore[attr-defined]
        data.update(values)
        self.data = data

    def add_error(self, field: str | None, error: Any) -> None:
        """Add an error; show those of stored credentials at their kind, since they have no field."""
        found = error.error_dict.pop("credentials", None) if hasattr(error, "error_dict") else None
        if found and "authentication" not in self.errors:
            self.add_error("authentication" if "authentication" in self.fields else None, found)
        super().add_error(field, error)

    def _add_limit_errors(self) -> None:
        """Check the limits with the organization locked, in the transaction of the save."""
        organization = self.cleaned_data.get("organization")
        try:
            self.events.refuse_beyond_limit()
            if self.instance._state.adding and organization is not None:
                using = router.db_for_write(Webhook)
                with transaction.atomic(using=using):
                    Webhook(organization=organization).refuse_beyond_limit(using=using)
        except LimitReached as error:
            self.add_error(None, ValidationError(str(error), code="limit"))

    def _add_errors_of_webhook(self) -> None:
        """Check what the webhook with its new values would send, and whether the user may manage all of it."""
        if not any(self.has_error(name, "max_length") for name in ("url", "content")):
            problems = rendering.problems_of(self.instance, self.events.event_types() or registry.all_types())
            for name, errors in ({} if problems is None else problems.error_dict).items():
                if name in self.fields and name not in self.errors:
                    self.add_error(name, errors)
        if "organization" not in self.errors and not type(self).may_include_children(self.instance):
            message = gettext("You may not manage the webhooks of each child organization. Leave this off.")
            shown_at = "include_children" if "include_children" in self.fields else None
            self.add_error(shown_at, ValidationError(message, code="children"))
