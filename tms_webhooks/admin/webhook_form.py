"""The form that adds and changes a webhook: one form creates one webhook, and a save reports the result."""

from __future__ import annotations

import uuid
from functools import partial
from typing import Any, ClassVar

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, models, router, transaction
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils import translation
from django.utils.translation import gettext as _

from tms_webhooks.admin.bases import OrganizationChoice, ScopedAdmin, covers_children
from tms_webhooks.admin.forms.fields import TrimmedTextField
from tms_webhooks.choices import Action
from tms_webhooks.models import Subscription, Webhook

UNSEEN = "tms_webhooks_unseen_secrets"
"""Names the new secrets in the session that their user may see once."""
MAX_UNSEEN = 20


class FormPages(OrganizationChoice, ScopedAdmin):
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
        """Return the form class for this user. Header values entered into the form are usable by this user only."""
        kwargs.setdefault("change", obj is not None)
        form: Any = super().get_form(request, obj, **kwargs)
        form.user = request.user.pk
        form.may_include_children = staticmethod(partial(covers_children, request, Action.MANAGE))
        return form

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """Return a webhook. For a save, lock its row, so that the form detects a concurrent change."""
        using = router.db_for_write(Webhook)
        if request.method == "POST" and transaction.get_connection(using).in_atomic_block:
            rows = Webhook.objects.using(using).filter(self.by_url(object_id))
            rows.select_for_update().values_list("pk", flat=True).first()
        return super().get_object(request, object_id, from_field)

    # One form creates one webhook

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Redirect a form that was submitted twice to the webhook that it created."""
        # A new webhook leads to its secret, not to another form.
        context = {
            **(extra_context or {}),
            "show_save_and_add_another": False,
            "show_save_and_continue": object_id is not None,
        }
        if request.method != "POST" or object_id is not None:
            return super().changeform_view(request, object_id, form_url, context)
        created = self._created_by(request)
        if created is None:
            try:
                return super().changeform_view(request, None, form_url, context)
            except IntegrityError:
                # A second request with the same form was saved first.
                created = self._created_by(request)
                if created is None and not Webhook.objects.filter(form_key=_form_key(request)).exists():
                    raise
        if created is None:
            self.message_user(request, _("This form was submitted before. Start with a new one."), messages.WARNING)
            return HttpResponseRedirect(request.path)
        return self.redirect("webhook_secret", created)

    def _created_by(self, request: HttpRequest) -> Webhook | None:
        key = _form_key(request)
        return None if key is None else self.get_queryset(request).filter(form_key=key).first()

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        """Return the page of the form, in its parts. A new row is announced, and is no error."""
        from tms_webhooks.admin.form_parts import parts_of

        context = {**context, "parts": list(parts_of(context["adminform"]))}
        form = context["adminform"].form
        if form.is_bound and form.events.is_no_save:
            messages.info(request, " ".join(form.non_field_errors()))
            context["errors"] = None
        return super().render_change_form(request, context, *args, **kwargs)

    # Saving

    def save_model(self, request: HttpRequest, obj: Webhook, form: Any, change: bool) -> None:  # noqa: FBT001 (Django's)
        """Save only the changed fields, because a worker may have changed others since the form was opened, and the events."""
        from tms_webhooks.manage import subscriptions, webhooks

        by, wanted = self.by(request), form.events.wanted
        if not change:
            obj.form_key = form.cleaned_data.get("form_key")
            webhooks.create(obj, wanted, **by)
            remember_unseen(request, obj)
            return
        webhooks.update(obj, form.changed_data, **by)
        if "enabled" in form.changed_data:
            verb = webhooks.enable if form.cleaned_data["enabled"] else webhooks.disable
            verb(obj, **by)
        form.saved_events = subscriptions.replace(obj, wanted, **by)

    def construct_change_message(self, request: HttpRequest, form: Any, formsets: Any, add: bool = False) -> Any:  # noqa: FBT001, FBT002 (Django's)
        """Add the added, changed and deleted events to the history entry."""
        message: Any = super().construct_change_message(request, form, formsets, add)
        if add:
            return message
        saved = form.saved_events
        with translation.override(None):
            name = str(Subscription._meta.verbose_name)  # Translated when the history is shown.
        rows = (
            *(("added", row, {}) for row in saved.added),
            *(("changed", row, {"fields": ["filters"]}) for _before, row in saved.changed),
            *(("deleted", row, {}) for row in saved.removed),
        )
        return [*message, *({kind: {**fields, "name": name, "object": row.event_type}} for kind, row, fields in rows)]

    def response_add(self, request: HttpRequest, obj: Webhook, post_url_continue: str | None = None) -> HttpResponse:
        """Redirect to the page that shows the secret once."""
        self.message_user(request, _("“%(name)s” was added.") % {"name": obj}, messages.SUCCESS)
        self._warn(request, obj)
        return self.redirect("webhook_secret", obj)

    def response_change(self, request: HttpRequest, obj: Webhook) -> HttpResponse:
        """Respond as Django does, with warnings if the webhook has no events, or tokens that are empty in some."""
        self._warn(request, obj)
        return super().response_change(request, obj)

    def _warn(self, request: HttpRequest, webhook: Webhook) -> None:
        from tms_webhooks.admin.forms.subscription import IDS
        from tms_webhooks.delivery import rendering
        from tms_webhooks.routing.filter_warnings import unknown_filter_ids, unknown_ids_warning

        patterns = list(webhook.subscriptions.values_list("event_type", flat=True))
        unknown = [unknown_ids_warning(IDS[name], ids) for name, ids in unknown_filter_ids(webhook)]
        nothing = _("“%(name)s” has no events selected, so it receives nothing.") % {"name": webhook}
        for warning in (*rendering.warnings_for(webhook, patterns), *unknown, *([] if patterns else [nothing])):
            self.message_user(request, warning, messages.WARNING)

    # Parts that the script loads

    def editable(self, request: HttpRequest, key: str | None) -> Webhook | None:
        """Return the webhook of a form, or None for a new one; raise `PermissionDenied` if the user may not save it."""
        webhook: Webhook | None = None if key is None else self.get_object(request, key)
        allowed = self.has_add_permission(request) if key is None else self.has_change_permission(request, webhook)
        if not allowed or (key is not None and webhook is None):
            raise PermissionDenied
        return webhook


def _form_key(request: HttpRequest) -> uuid.UUID | None:
    try:
        return uuid.UUID(hex=request.POST.get("form_key", ""))
    except ValueError:
        return None


def remember_unseen(request: HttpRequest, webhook: Webhook) -> None:
    """Allow the user to see the webhook's newest secret once, on its page."""
    newest = webhook.secrets.order_by("-pk").values_list("pk", flat=True).first()
    request.session[UNSEEN] = [*request.session.get(UNSEEN, []), newest][-MAX_UNSEEN:]
    # Saved in the transaction of the secret, so that the response to a second click finds it.
    request.session.save()
