"""The form of a webhook."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from django import forms
from django.core.exceptions import ValidationError
from django.db import router, transaction
from django.http import HttpRequest
from django.utils.functional import cached_property, lazy
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from tms_webhooks.admin.bases import covers_children, object_names
from tms_webhooks.admin.forms.credentials import (
    PREFIX,
    CredentialsForm,
    HeaderLinesField,
    has_entered,
    is_entered,
    mask,
    unmask,
)
from tms_webhooks.admin.forms.events import EventRow, groups_of, patterns
from tms_webhooks.admin.forms.fields import (
    OWN,
    STANDARD,
    ContentsField,
    contacts_help,
    error_actions,
    parse_delays,
    schedule_choices,
    schedule_texts,
)
from tms_webhooks.admin.forms.subscription import FiltersForm, described
from tms_webhooks.catalogue import EventType, registry
from tms_webhooks.choices import Action, AuditAction, ErrorAction, Preset
from tms_webhooks.delivery import rendering
from tms_webhooks.exceptions import LimitReached
from tms_webhooks.models import AuditEntry, Subscription, Webhook, limits
from tms_webhooks.models.credentials import is_same_receiver, known_headers, secret_names
from tms_webhooks.models.subscription import duplicates
from tms_webhooks.net.urls import MASK

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


class WebhookForm(forms.ModelForm, CredentialsForm):
    """A webhook with its events. It shows all errors together, each at its field, and keeps all input."""

    class Meta:
        help_texts: ClassVar = {
            "max_retries": _(
                "The number of retries, 0 to 10. Empty: one per delay of the schedule. In Skillable Studio: Retries."
            ),
            "format": _(
                "The format of the body. In Skillable Studio: Send Lab Details as Content Body, which is “Skillable API” here."
            ),
            "content": _(
                "For custom content: the body, with {tokens} such as {type}, {data.user.email} or {ClassId}. Other formats "
                "write the body, which is shown below. In Skillable Studio: Content."
            ),
            "contacts": lazy(contacts_help, str)(),
            "ordered": _(
                "One request at a time, in order for each object: later events wait until earlier ones are finished. A "
                "failing delivery delays the later events of its object until it is given up. Other objects do not wait. In "
                "Skillable Studio: Blocking."
            ),
        }

    request: ClassVar[HttpRequest]
    """The request, whose parameters ``filters`` are the prefixes of subscriptions whose filters an unposted form shows as fields."""

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
        label=_("Error action"),
        widget=forms.RadioSelect,
        choices=error_actions,
        initial=ErrorAction.LOG,
        help_text=_("The action when a delivery is given up. In Skillable Studio: Error Action."),
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
    events = forms.MultipleChoiceField(label=_("Events"), required=False)

    _of_preset: Mapping[str, Any] = {}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.posted: Any = self.data if self.is_bound else self.request.GET
        self.known_headers = known_headers(self.instance.headers)
        self.initial["headers"] = mask(self.known_headers)
        self.initial["schedule"], self.initial["own_delays"] = schedule_texts(self.instance.schedule)
        self.show_credentials()
        if "url" in self.fields:
            # The model names the field of the API.
            text = gettext("URL is empty. Give the URL of the receiver, or select “Pull only” under Delivery.")
            self.fields["url"].error_messages[NO_URL] = text
        self.stored = list(self.instance.subscriptions.order_by("event_type", "pk")) if self.instance.pk else []
        names = self.initial["events"] = list(dict.fromkeys(one.event_type for one in self.stored))
        events: Any = self.fields["events"]
        self.known = dict.fromkeys([*patterns(), *names])
        events.choices = [(name, name) for name in self.known]
        # In the order of the page.
        self.order_fields(["name", "organization", "enabled", "url", "events"])

    @cached_property
    def changed_data(self) -> list[str]:
        """The names of the changed model fields, and "events"."""
        names = [name for name in super().changed_data if name != "preset" and not name.startswith(PREFIX)]
        names = list(dict.fromkeys("schedule" if name == "own_delays" else name for name in names))
        more = {"credentials"} if self.are_credentials_changed else set()
        return [*names, *sorted((more | self._of_preset.keys()) - set(names))]

    # The events

    @property
    def groups(self) -> dict[str, list[EventRow]]:
        """The events of the page, by noun."""
        return groups_of(self.known, self["events"].value() or ())

    @cached_property
    def rows(self) -> list[EventRow]:
        """The subscriptions of the selected events, in the order of the page."""
        selected, opened = self["events"].value() or (), self.posted.getlist("filters")
        rows = {one.public_id: one for one in self.stored if one.event_type in selected}
        rows |= {name: Subscription(event_type=name.partition("+")[0]) for name in opened if name not in rows}
        having = {one.event_type for one in [*self.stored, *rows.values()]}
        rows |= {name: Subscription(event_type=name) for name in selected if name not in having}
        data, removed = self.data if self.is_bound else None, self.posted.getlist("removed")
        return [
            EventRow(
                one.event_type,
                name not in removed,
                name,
                one,
                FiltersForm(data, instance=one, prefix=name) if name in opened else None,
            )
            for name, one in rows.items()
            if one.event_type in (selected if self.is_bound else self.known)
        ]

    @property
    def wanted(self) -> list[Subscription]:
        """The subscriptions of the selected events without those removed, and with the filters that were entered."""
        return [row.subscription for row in self.rows if row.is_selected]

    @property
    def lines(self) -> list[EventRow]:
        """The rows, with the filters in words or with names in their form."""
        names = object_names(self.request, [row.subscription for row in self.rows])
        for row in self.rows:
            if row.form:
                row.form.names = names
            else:
                row.filters = [*described(row.subscription, names)]
        return self.rows

    @property
    def event_types(self) -> list[EventType]:
        """The event types of the selected events, without repeats."""
        names = self["events"].value() or ()
        return list(dict.fromkeys(event_type for name in names for event_type in registry.expand(name)))

    # What the page shows

    @property
    def error_links(self) -> list[tuple[str, str, str]]:
        """The id and the label of each field with an error, and the error, in the order of the page."""
        links: list[tuple[str, str, str]] = []
        for name in self.fields:
            field, label = self[name], str(self.fields[name].label)
            # Some messages begin with the name of their field.
            texts = [str(message).removeprefix(f"{label}: ") for message in self.errors.get(name, ())]
            links += [(field.id_for_label or field.auto_id, label, text) for text in texts]
        return links

    # Validation

    def full_clean(self) -> None:
        """Validate the form, and then content and URL of the webhook with its new values, for the selected events."""
        super().full_clean()
        if self.is_bound:
            self._add_errors_of_filters()
            self._add_errors_of_webhook()
            self._add_conflict()
            # The page does not repeat the values that were entered.
            again = {
                PREFIX + name: gettext("Enter the value again: a page with errors shows no secrets.")
                for name in secret_names(self.data.get("authentication", ""))
                if is_entered(self.data.get(PREFIX + name, ""))
            }
            if has_entered(self.data.get("headers", "")):
                text = gettext("Replace “…” by the values of the headers: a page with errors does not show them.")
                again["headers"] = text
            for name, text in again.items() if self.errors else ():
                if name not in self.errors:
                    self.add_error(name, text)

    def clean_headers(self) -> str:
        """Replace the dots with the known values."""
        text: str = self.cleaned_data["headers"]
        if text.strip() == MASK and self.known_headers is None:
            return MASK  # Unreadable headers stay as they are.
        url = str(self["url"].value() or "").strip()
        is_elsewhere = not is_same_receiver(self.initial.get("url", ""), url)
        return unmask(text, self.known_headers or {}, is_elsewhere=is_elsewhere)

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

    def clean(self) -> dict[str, Any]:
        """Fill in the preset, and validate limits and authentication."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        preset = cleaned.get("preset")
        if preset and not {"payload", "headers"} & self.errors.keys():
            webhook = Webhook(**{name: cleaned.get(name) for name in ("payload", "headers")})
            self._of_preset = rendering.preset_values(preset, webhook, cleaned.get("events", ()))
            cleaned |= self._of_preset
        if "url" in self.errors:
            # It has its error: the model shall not take it for an empty one.
            self.instance.url = str(self["url"].value())
        self._add_limit_errors()
        self.clean_credentials(str(self["url"].value() or "").strip())
        return cleaned

    # Two users edit one webhook

    @cached_property
    def last_edit(self) -> AuditEntry | None:
        """The newest change of the stored webhook. The page names it in ``seen``."""
        if self.instance.pk is None:
            return None
        return AuditEntry.objects.filter(webhook=self.instance, action__in=EDITS).order_by("-pk").first()

    def _add_conflict(self) -> None:
        """Refuse to overwrite changes since the form was opened, once."""
        seen = self.data.get("seen")
        if self.instance.pk is None or seen is None:
            return
        # A form that another user saves at this moment is committed first, and then found: the row stays locked until the save.
        with Webhook.objects.locked(self.instance.pk):
            edit = self.last_edit
        if edit is None or seen == edit.public_id:
            return
        message = gettext(
            "%(user)s changed this webhook while you edited it: %(fields)s. Nothing was saved yet, and your input is kept "
            "below. Save again to overwrite these changes."
        )
        fields = ", ".join(edit.changes) or edit.get_action_display()
        user = edit.actor_label or gettext("Another user")
        self.add_error(None, message % {"user": user, "fields": fields})

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
            limits.refuse("SUBSCRIPTIONS_LIMIT", len(self.stored), adding=len(self.wanted) - len(self.stored))
            if self.instance._state.adding and organization is not None:
                using = router.db_for_write(Webhook)
                with transaction.atomic(using=using):
                    Webhook(organization=organization).refuse_beyond_limit(using=using)
        except LimitReached as error:
            self.add_error(None, ValidationError(str(error), code="limit"))

    def _add_errors_of_filters(self) -> None:
        """Check the filters that were entered, and that no two subscriptions are the same."""
        for row in self.rows:
            for errors in row.form.errors.values() if row.form and row.is_selected else ():
                self.add_error("events", [f"{row.pattern}: {error}" for error in errors])
        for error in duplicates(self.wanted).values():
            self.add_error("events", error)

    def _add_errors_of_webhook(self) -> None:
        """Check what the webhook with its new values would send, and whether the user may manage all of it."""
        if not any(self.has_error(name, "max_length") for name in ("url", "content")):
            problems = rendering.problems_of(self.instance, self.event_types or registry.all_types())
            for name, errors in ({} if problems is None else problems.error_dict).items():
                if name in self.fields and name not in self.errors:
                    self.add_error(name, errors)
        if "organization" not in self.errors and not covers_children(self.request, Action.MANAGE, self.instance):
            message = gettext("You may not manage the webhooks of each child organization. Leave this off.")
            shown_at = "include_children" if "include_children" in self.fields else None
            self.add_error(shown_at, ValidationError(message, code="children"))
