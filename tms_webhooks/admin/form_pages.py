"""Adding and changing a webhook: what is written, and what is told of it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from django.contrib import messages
from django.contrib.admin.utils import unquote
from django.db import IntegrityError, models, router, transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from tms_webhooks.access import get_policy
from tms_webhooks.admin.audit import write_down
from tms_webhooks.admin.forms import WebhookForm
from tms_webhooks.admin.forms.events import Saved
from tms_webhooks.admin.forms.texts import TextField
from tms_webhooks.admin.scope import organizations
from tms_webhooks.admin.secret_pages import SecretPages
from tms_webhooks.choices import Action, AuditAction, DisabledReason
from tms_webhooks.delivery import lifecycle
from tms_webhooks.models import Subscription, Webhook
from tms_webhooks.models.audit import differences


class FormPages(SecretPages):
    """The pages on which a webhook is added and changed."""

    form = WebhookForm
    formfield_overrides: ClassVar = {kind: {"form_class": TextField} for kind in (models.CharField, models.TextField)}
    save_on_top = True
    change_form_template = "admin/tms_webhooks/webhook/change_form.html"

    def get_form(self, request: HttpRequest, obj: Webhook | None = None, **kwargs: Any) -> Any:  # type: ignore[override]
        """Make the form of this person: what they typed into it is of use to nobody else."""
        kwargs.setdefault("change", obj is not None)
        form: Any = super().get_form(request, obj, **kwargs)
        form.user = request.user.pk
        return form

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Offer the organizations whose webhooks this person manages, and take no other."""
        if db_field.name == "organization":
            kwargs["queryset"] = organizations(request, Action.MANAGE)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Offer no links to the organization's own page: who fills in this form need not know it."""
        field: Any = super().formfield_for_dbfield(db_field, request, **kwargs)
        if db_field.name == "organization" and field is not None:
            for link in ("add", "change", "delete", "view"):
                setattr(field.widget, f"can_{link}_related", False)
        return field

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """Find a webhook; hold it while it is saved, so that of two people who save at once the second is told."""
        using = router.db_for_write(Webhook)
        key = unquote(object_id)
        if request.method == "POST" and key.isdecimal() and transaction.get_connection(using).in_atomic_block:
            Webhook.objects.using(using).select_for_update().filter(pk=key).first()
        return super().get_object(request, object_id, from_field)

    # One form makes one webhook

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: Mapping[str, Any] | None = None,
    ) -> HttpResponse:
        """Answer a form that was sent twice with the webhook that it made."""
        # What follows a new webhook is its secret, and not the next form.
        context = {**(extra_context or {}), "show_save_and_add_another": False}
        if object_id is not None or request.method != "POST":
            context["show_save_and_continue"] = object_id is not None
            return super().changeform_view(request, object_id, form_url, context)
        made = self._made_by(request)
        if made is None:
            try:
                return super().changeform_view(request, None, form_url, {**context, "show_save_and_continue": False})
            except IntegrityError:
                # The other click was faster by less than a request takes.
                made = self._made_by(request)
                if made is None and not Webhook.objects.filter(form_key=_key_of(request)).exists():
                    raise
        if made is None:
            self.message_user(request, _("This form was sent before. Begin with a new one."), messages.WARNING)
            return HttpResponseRedirect(request.path)
        return HttpResponseRedirect(self._address(made))

    def _made_by(self, request: HttpRequest) -> Webhook | None:
        key = _key_of(request)
        made: Webhook | None = None if key is None else self.get_queryset(request).filter(form_key=key).first()
        return made

    # Writing

    def save_model(self, request: HttpRequest, obj: Webhook, form: Any, change: bool) -> None:  # noqa: FBT001 (Django's)
        """Write what the form changed, by name: a worker may have written the rest in the meantime."""
        now = timezone.now()
        if not change:
            obj.form_key = form.cleaned_data.get("form_key")
            lifecycle.add(obj, now=now)
            self.remember_unseen(request, obj)
            return
        changed = [name for name in form.changed_data if name != "enabled"]
        if changed:
            before = Webhook.objects.get(pk=obj.pk)
            obj.save(update_fields=[*changed, "updated_at"])
            changes = differences(before, obj, fields=changed)
            write_down(request, AuditAction.WEBHOOK_UPDATED, obj, now=now, changes=changes)
        if "enabled" in form.changed_data:
            self.switch(request, obj, on=form.cleaned_data["enabled"])

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:  # noqa: FBT001 (Django's)
        """Write the events, too."""
        super().save_related(request, form, formsets, change)
        webhook, now = form.instance, timezone.now()
        form.saved_events = saved = form.events.save(webhook)
        if not change:
            names = [one.event_type for one in saved.added]
            changes = {**differences(None, webhook), "subscriptions": {"to": names}}
            write_down(request, AuditAction.WEBHOOK_CREATED, webhook, now=now, changes=changes)
            return
        for action, subscription, changes in _done(saved):
            write_down(request, action, webhook, now=now, target=f"subscription:{subscription.pk}", changes=changes)

    def switch(self, request: HttpRequest, webhook: Webhook, *, on: bool) -> None:
        """Enable or disable a webhook, by its own verbs."""
        actor, now = get_policy().caller(request), timezone.now()
        if on:
            lifecycle.enable(webhook, actor=actor, now=now)
        else:
            lifecycle.disable(webhook, actor=actor, reason=DisabledReason.ADMIN, now=now)

    # Telling

    def construct_change_message(self, request: HttpRequest, form: Any, formsets: Any, add: bool = False) -> Any:  # noqa: FBT001, FBT002 (Django's)
        """Name the events that were added, changed and removed, too."""
        message: Any = super().construct_change_message(request, form, formsets, add)
        if add:
            return message
        saved: Saved = form.saved_events
        changed = [after for _before, after in saved.changed]
        kinds = (("added", saved.added), ("changed", changed), ("deleted", saved.deleted))
        with translation.override(None):
            name = str(Subscription._meta.verbose_name)  # translated when it is read
        return [
            *message,
            *(
                {kind: {**_FIELDS[kind], "name": name, "object": one.event_type}}
                for kind, rows in kinds
                for one in rows
            ),
        ]

    def response_add(self, request: HttpRequest, obj: Webhook, post_url_continue: str | None = None) -> HttpResponse:
        """Lead to the page that shows the secret, this once."""
        self.message_user(request, _("“%(name)s” was added.") % {"name": obj}, messages.SUCCESS)
        self._warn_of_no_events(request, obj)
        return HttpResponseRedirect(self._address(obj))

    def response_change(self, request: HttpRequest, obj: Webhook) -> HttpResponse:
        """Answer as Django does, with a warning where there is nothing to be told of."""
        self._warn_of_no_events(request, obj)
        return super().response_change(request, obj)

    def _warn_of_no_events(self, request: HttpRequest, webhook: Webhook) -> None:
        if not webhook.subscriptions.exists():
            told = _("“%(name)s” asks for no event, so it will be told nothing.")
            self.message_user(request, told % {"name": webhook}, messages.WARNING)


_TOLD = ("event_type", "more_than_days", "less_than_days", "filters", "condition")
# Django names the fields of what was changed.
_FIELDS: Mapping[str, dict[str, list[str]]] = {"added": {}, "changed": {"fields": ["filters"]}, "deleted": {}}


def _key_of(request: HttpRequest) -> uuid.UUID | None:
    try:
        return uuid.UUID(hex=request.POST.get("form_key", ""))
    except ValueError:
        return None


def _done(saved: Saved) -> Iterator[tuple[AuditAction, Subscription, dict[str, Any]]]:
    for one in saved.added:
        yield AuditAction.SUBSCRIPTION_CREATED, one, differences(None, one, fields=_TOLD)
    for before, after in saved.changed:
        yield AuditAction.SUBSCRIPTION_UPDATED, after, differences(before, after, fields=_TOLD)
    for one in saved.deleted:
        yield AuditAction.SUBSCRIPTION_DELETED, one, {"event_type": one.event_type}
