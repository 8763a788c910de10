"""The form that adds and changes a webhook: one form creates one webhook, and a save reports the result."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import models
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _

from tms_webhooks.admin.bases import ScopedAdmin, linked_row, organizations
from tms_webhooks.admin.forms.fields import TrimmedTextField
from tms_webhooks.choices import Action
from tms_webhooks.conf import app_settings
from tms_webhooks.models import IdempotentRequest, Webhook
from tms_webhooks.models.idempotency import digest_of

FORM = "tms_webhooks.admin.webhook_form"
UNSEEN = "tms_webhooks_unseen_secrets"
"""Names the new secrets in the session that their user may see once."""
MAX_UNSEEN = 20


class SubmittedBefore(Exception):
    """A form that adds a webhook was submitted twice, such as by a double click."""


class FormPages(ScopedAdmin):
    """The form pages: adding and changing a webhook. A process that shows none does not load its modules."""

    formfield_overrides: ClassVar = {
        kind: {"form_class": TrimmedTextField} for kind in (models.CharField, models.TextField)
    }
    change_form_template = "admin/tms_webhooks/webhook/change_form.html"

    @property
    def form(self) -> type[ModelForm[Webhook]]:  # type: ignore[override]
        """The form."""
        from tms_webhooks.admin.forms.webhook import WebhookForm

        return WebhookForm

    @property
    def fieldsets(self) -> Any:  # type: ignore[override]
        """The fieldsets of the form."""
        from tms_webhooks.admin.form_parts import FIELDSETS

        return FIELDSETS

    def get_form(self, request: HttpRequest, obj: Webhook | None = None, **kwargs: Any) -> Any:  # type: ignore[override]
        """Return the form class for this user."""
        kwargs.setdefault("change", obj is not None)
        form: Any = super().get_form(request, obj, **kwargs)
        form.request = request
        return form

    # The organization is one of those that the user may manage

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Offer these organizations only, without links to an admin page that the user may not have access to."""
        if db_field.name != "organization":
            return super().formfield_for_dbfield(db_field, request, **kwargs)
        rows = organizations(request, Action.MANAGE)
        keys = list(rows.values_list("pk", flat=True)[:2])
        # The only one is selected.
        return db_field.formfield(queryset=rows, initial=keys[0] if len(keys) == 1 else None)

    # One form creates one webhook

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Show and save the form. One that was submitted twice creates one webhook."""
        # A new webhook leads to its secret, not to another form.
        context = {
            **(extra_context or {}),
            "show_save_and_add_another": False,
            "show_save_and_continue": object_id is not None,
            "form_key": uuid.uuid4().hex,
        }
        try:
            return super().changeform_view(request, object_id, form_url, context)
        except SubmittedBefore:
            self.message_user(request, _("This form was submitted before. Start with a new one."), messages.WARNING)
            return self.redirect("webhook_changelist")

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        """Return the page of the form, in its parts. Its links get the public id as ``linked.pk``."""
        from tms_webhooks.admin.form_parts import parts_of
        from tms_webhooks.delivery.notices import recipients_of

        context = {**context, "parts": list(parts_of(context["adminform"]))}
        if kwargs["change"]:
            context["linked"] = linked_row(kwargs["obj"])
            context["recipients"] = recipients_of([kwargs["obj"]]) if app_settings.NOTIFY else None
        return super().render_change_form(request, context, *args, **kwargs)

    # Saving. The audit log has what Django would log.

    def log_addition(self, *args: Any, **kwargs: Any) -> None:  # type: ignore[override]
        """Write no entry of Django's history."""

    log_change = log_deletions = log_addition  # type: ignore[assignment]

    def save_model(self, request: HttpRequest, obj: Webhook, form: Any, change: bool) -> None:  # noqa: FBT001 (Django's)
        """Save only the changed fields, because a worker may have changed others since the form was opened, and the events."""
        from tms_webhooks.manage import subscriptions, webhooks

        by = self.by(request)
        if not change:
            key = request.POST.get("form_key", "")
            digest = digest_of(FORM, str(request.user.pk), key)
            if key and not IdempotentRequest.objects.use_once(digest, now=by["now"]):
                raise SubmittedBefore
            webhooks.create(obj, form.wanted, **by)
            remember_unseen(request, obj)
            return
        webhooks.update(obj, form.changed_data, **by)
        if "enabled" in form.changed_data:
            verb = webhooks.enable if form.cleaned_data["enabled"] else webhooks.disable
            verb(obj, **by)
        subscriptions.replace(obj, form.wanted, **by)

    def response_add(self, request: HttpRequest, obj: Webhook, post_url_continue: str | None = None) -> HttpResponse:
        """Redirect to the page that shows the secret once."""
        self.message_user(request, _("“%(name)s” was added.") % {"name": obj}, messages.SUCCESS)
        self.show_warnings(request, obj)
        return self.redirect("webhook_secret", obj)

    def response_change(self, request: HttpRequest, obj: Webhook) -> HttpResponse:
        """Respond as Django does, with warnings if the webhook has no events, or tokens that are empty in some."""
        self.show_warnings(request, obj)
        return super().response_change(request, obj)

    def show_warnings(self, request: HttpRequest, webhook: Webhook) -> None:
        """Warn of a webhook without events, of tokens that are empty in some, and of ids that no object has."""
        from tms_webhooks.admin.forms.subscription import LABELS
        from tms_webhooks.delivery import rendering
        from tms_webhooks.routing.explain import unknown_filter_ids, unknown_ids_warning

        patterns = list(webhook.subscriptions.values_list("event_type", flat=True))
        unknown = [unknown_ids_warning(LABELS[name], ids) for name, ids in unknown_filter_ids(webhook)]
        nothing = _("“%(name)s” has no events selected, so it receives nothing.") % {"name": webhook}
        for warning in (*rendering.warnings_for(webhook, patterns), *unknown, *([] if patterns else [nothing])):
            self.message_user(request, warning, messages.WARNING)

    # Parts that the script loads

    def editable(self, request: HttpRequest, key: str | None) -> Webhook | None:
        """Return the webhook of a form, or None for a new one; raise `PermissionDenied` if the user may not save it."""
        webhook: Webhook | None = None if key is None else self.row_of(request, key)
        if not (self.has_change_permission(request, webhook) if webhook else self.has_add_permission(request)):
            raise PermissionDenied
        return webhook


def newest_secret(webhook: Webhook) -> int | None:
    """Return the key of the newest secret."""
    return webhook.secrets.order_by("-pk").values_list("pk", flat=True).first()


def remember_unseen(request: HttpRequest, webhook: Webhook) -> None:
    """Allow the user to see the webhook's newest secret once, on its page."""
    request.session[UNSEEN] = [*request.session.get(UNSEEN, []), newest_secret(webhook)][-MAX_UNSEEN:]
    # Saved in the transaction of the secret, so that the response to a second click finds it.
    request.session.save()
