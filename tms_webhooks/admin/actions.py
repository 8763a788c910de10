"""The actions on one webhook: each asks for confirmation, states its effect, and is recorded in the audit log."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from tms_webhooks.admin.bases import may_view_all_payloads, may_view_payloads, permits
from tms_webhooks.admin.formatting import format_count, format_duration
from tms_webhooks.admin.logs import TimeRangeForm
from tms_webhooks.admin.words import timing_text
from tms_webhooks.catalogue import registry
from tms_webhooks.choices import Action, JobKind
from tms_webhooks.conf import app_settings
from tms_webhooks.documents.request_preview import pretty
from tms_webhooks.event_names import TEST
from tms_webhooks.exceptions import LimitReached, PayloadError, PullOnlyWebhook, ReplayError, SubjectError
from tms_webhooks.manage import jobs, webhooks
from tms_webhooks.manage.tests import send_test
from tms_webhooks.models import Webhook
from tms_webhooks.outbox.example_events import subscribed_types
from tms_webhooks.snapshot import MOST_IDS, Selection, available

if TYPE_CHECKING:
    from tms_webhooks.admin.webhooks import WebhookAdmin

TIME_TO_CONFIRM = timedelta(hours=1)
"""By this much a default range is shorter than the longest one, which must not be exceeded when the user confirms."""
COUNT = "count"
"""The name of the button that counts what a job would do."""
MAX_SUBJECT_LENGTH = 300


class WebhookAction(NamedTuple):
    """One action on a webhook.

    Attributes:
        question: What happens.
        undo: Whether and how it can be undone.
        action: The action that the access policy has to allow.
        is_available: Returns whether the action applies to the webhook in its current state.
        run: Returns the page that asks for confirmation; for a confirmed POST, performs the action.
    """

    slug: str
    label: Any
    question: Any
    undo: Any
    confirm: Any
    action: Action
    is_available: Callable[[Webhook], bool]
    run: Callable[[WebhookAdmin, HttpRequest, Webhook, WebhookAction], HttpResponse]


def action(admin: WebhookAdmin, request: HttpRequest, key: str, slug: str) -> HttpResponse:
    """Ask for confirmation, and perform the action."""
    webhook = admin.row_of(request, key)
    action = next((action for action in WEBHOOK_ACTIONS if action.slug == slug), None)
    if action is None:
        raise Http404
    if not is_allowed(admin, request, action, webhook):
        raise PermissionDenied
    return action.run(admin, request, webhook, action)


def is_allowed(admin: WebhookAdmin, request: HttpRequest, action: WebhookAction, webhook: Webhook) -> bool:
    """Return whether the user may do an action. To cancel deliveries sends no event of a child organization."""
    may = admin.may if action.slug == "cancel" else admin.may_use
    permission = "change_webhook" if action.action == Action.MANAGE else "change_delivery"
    return permits(request, permission) and may(request, action.action, webhook)


def _ask(
    admin: WebhookAdmin, request: HttpRequest, webhook: Webhook, action: WebhookAction, **context: Any
) -> HttpResponse:
    """Return the page of an action."""
    return admin.webhook_page(request, "action", webhook, title=action.label, action=action, **context)


def _done(admin: WebhookAdmin, request: HttpRequest, webhook: Webhook, message: Any) -> HttpResponse:
    """Return to the overview."""
    admin.message_user(request, message, messages.SUCCESS)
    return admin.redirect("webhook_overview", webhook)


def _switch(
    admin: WebhookAdmin, request: HttpRequest, webhook: Webhook, action: WebhookAction, *, verb: Any, message: Any
) -> HttpResponse:
    if request.method != "POST":
        return _ask(admin, request, webhook, action)
    verb(webhook, **admin.by(request))
    return _done(admin, request, webhook, message)


# Test sends


class SampleForm(forms.Form):
    """The test event to send: one that the webhook subscribes to, about an object or a sample, or ``webhook.test``."""

    event_type = forms.ChoiceField(label=gettext_lazy("Event"))
    subject = forms.CharField(
        label=gettext_lazy("Object"),
        required=False,
        max_length=MAX_SUBJECT_LENGTH,
        help_text=gettext_lazy(
            "Such as class:8840, to send its values. Empty: the values of a sample. webhook.test has no object."
        ),
    )

    def __init__(self, data: Any, webhook: Webhook) -> None:
        super().__init__(data)
        field: Any = self.fields["event_type"]
        field.choices = [(name, name) for name in dict.fromkeys([*subscribed_types(webhook), TEST])]


def _send_test(admin: WebhookAdmin, request: HttpRequest, webhook: Webhook, action: WebhookAction) -> HttpResponse:
    form, context = SampleForm(request.POST or None, webhook), {"title": action.label, "action": action}
    if form.is_valid():
        event_type, subject = form.cleaned_data["event_type"], form.cleaned_data["subject"]
        try:
            test = send_test(webhook, actor=admin.by(request)["actor"], event_type=event_type, subject=subject)
        except (SubjectError, PayloadError, PullOnlyWebhook, LimitReached) as error:
            context["problem"] = str(error)
        else:
            context |= {
                "test": test,
                "duration": format_duration(test.result.seconds),
                "timing": timing_text(test.result.timing),
                "body": pretty(test.body.decode("utf-8", "replace")),
                "shows_bodies": (may_view_all_payloads if subject else may_view_payloads)(request, webhook),
            }
    return admin.webhook_page(request, "test", webhook, form=form, **context)


# Jobs


class SelectionForm(forms.Form):
    """The selection of a job. The page also has the one that was counted, so that no other one is started."""

    def __init__(self, data: Any, *, initial: Any) -> None:
        super().__init__(data, initial=initial)
        for field in self.fields.values():
            field.show_hidden_initial = True

    @property
    def is_counted(self) -> bool:
        """Whether the submitted selection is the one that was counted. One without a count, from a script, is too."""
        return not any(name.startswith("initial-") for name in self.data) or not self.has_changed()


class JobRangeForm(SelectionForm, TimeRangeForm):
    """The times of the events of a job."""


class SnapshotForm(SelectionForm):
    """The nouns whose objects are sent."""

    nouns = forms.MultipleChoiceField(
        label=gettext_lazy("Objects"),
        widget=forms.CheckboxSelectMultiple,
        error_messages={"required": gettext_lazy("Select at least one kind of object.")},
    )
    ids = forms.CharField(required=False, widget=forms.HiddenInput)
    """The ids of the objects that alone are sent, one a line. The page of a comparison names them."""


def noun_choices(webhook: Webhook) -> list[tuple[str, str]]:
    """Return the nouns that a snapshot of a webhook can have, with their titles."""
    return [(name, _(registry.grouped()[name][0].noun.title)) for name in available(webhook)]


def _form_of(kind: JobKind, webhook: Webhook, data: Any = None, initial: Any = None) -> SelectionForm:
    """Return the form of a job; at first, with all nouns or the longest range: a recovery needs a start."""
    if kind != JobKind.SNAPSHOT:
        if initial is None and kind == JobKind.RECOVER:
            longest = timedelta(days=app_settings.RECOVER_DAYS) - TIME_TO_CONFIRM
            # The field has no seconds.
            initial = {"since": timezone.localtime(timezone.now() - longest).replace(second=0, microsecond=0)}
        return JobRangeForm(data, initial=initial or {})
    choices = noun_choices(webhook)
    form = SnapshotForm(data, initial=initial or {"nouns": [name for name, _title in choices], "ids": ""})
    field: Any = form.fields["nouns"]
    field.choices = choices
    return form


def _run_job(
    admin: WebhookAdmin, request: HttpRequest, webhook: Webhook, action: WebhookAction, *, kind: JobKind
) -> HttpResponse:
    data, form = request.POST if request.method == "POST" else request.GET, _form_of(kind, webhook)
    # A form without any box of its objects is one that selects none.
    if any(name in data for name in form.fields) or (kind == JobKind.SNAPSHOT and request.method == "POST"):
        form = _form_of(kind, webhook, data)
        if not form.is_valid():
            return _ask(admin, request, webhook, action, form=form)
    by, selection = admin.by(request), form.cleaned_data if form.is_bound else form.initial
    asked = {name: value for name, value in selection.items() if name != "ids"}
    if ids := selection.get("ids"):
        asked["only"] = Selection(frozenset(ids.splitlines()[:MOST_IDS]))
    # The button that starts the job was pressed, not the one that counts.
    is_confirmed = request.method == "POST" and COUNT not in request.POST
    try:
        if is_confirmed and form.is_counted:
            total = jobs.start(kind, webhook, **by, **asked).total
            started = ngettext(
                "Started a job for %(count)s delivery.", "Started a job for %(count)s deliveries.", total
            )
            return _done(admin, request, webhook, started % {"count": format_count(total)})
        count = jobs.count(kind, webhook, now=by["now"], **asked)
    except (ReplayError, LimitReached) as error:
        field, problem = getattr(error, "field", ""), str(error)
        if form.is_bound and field in [one.name for one in form.visible_fields()]:
            form.add_error(field, problem.replace(field, str(form.fields[field].label), 1))
            problem = ""
        return _ask(admin, request, webhook, action, form=form, problem=problem)
    text = (
        ngettext("%(count)s object will be sent.", "%(count)s objects will be sent.", count)
        if kind == JobKind.SNAPSHOT
        else ngettext("%(count)s delivery matches.", "%(count)s deliveries match.", count)
    )
    is_changed = is_confirmed and count
    context = {
        "form": _form_of(kind, webhook, initial=selection),
        "count": text % {"count": format_count(count)},
        "is_startable": count > 0,
        "problem": _("You changed the selection. Check the new number, then confirm.") if is_changed else "",
    }
    return _ask(admin, request, webhook, action, **context)


def _job(kind: JobKind, is_available: Callable[[Webhook], bool], *texts: Any) -> WebhookAction:
    """Return the action that starts a job; ``texts`` begin with its slug."""
    slug, label, question, undo, confirm = texts
    run = partial(_run_job, kind=kind)
    return WebhookAction(slug, label, question, undo, confirm, Action.REPLAY, is_available, run)


def _is_enabled(webhook: Webhook) -> bool:
    return webhook.enabled


def _is_enabled_and_sent_to(webhook: Webhook) -> bool:
    return webhook.enabled and not webhook.pull_only


UNDO_JOB = gettext_lazy("A request can't be undone once it is sent. “Cancel queued deliveries” stops the others.")
UNDO_SNAPSHOT = gettext_lazy(
    "A request can't be undone once it is sent. To end the snapshot, disable the webhook: “Cancel queued deliveries” does "
    "not end it."
)
SNAPSHOT = _job(
    JobKind.SNAPSHOT,
    _is_enabled,
    "snapshot",
    gettext_lazy("Send a snapshot"),
    gettext_lazy(
        "Sends the current state of each object of the selected kinds, by the webhook's audience and filters. New events "
        "are sent first. The last request is webhook.snapshot_completed."
    ),
    UNDO_SNAPSHOT,
    gettext_lazy("Yes, send it"),
)
WEBHOOK_ACTIONS = (
    WebhookAction(
        "enable",
        gettext_lazy("Enable"),
        gettext_lazy(
            "Enables the webhook and resets its failure count. New events are sent immediately. Missed events stay "
            "skipped until you send them."
        ),
        gettext_lazy("You can disable it again at any time."),
        gettext_lazy("Yes, enable it"),
        Action.MANAGE,
        lambda webhook: not webhook.enabled,
        partial(
            _switch,
            verb=webhooks.enable,
            message=gettext_lazy("The webhook is enabled. Missed events stay skipped until you send them."),
        ),
    ),
    WebhookAction(
        "test",
        gettext_lazy("Send a test"),
        gettext_lazy(
            "Sends one test event immediately, without retries, even if the webhook is paused or disabled. The delivery "
            "log lists it as webhook.test."
        ),
        gettext_lazy("A request can't be undone once it is sent."),
        gettext_lazy("Send it"),
        Action.MANAGE,
        lambda webhook: not webhook.pull_only,
        _send_test,
    ),
    _job(
        JobKind.RECOVER,
        _is_enabled_and_sent_to,
        "recover",
        gettext_lazy("Resend failed deliveries"),
        gettext_lazy(
            "Resends the failed and cancelled deliveries of a time range. Each keeps its event id, so receivers can ignore "
            "duplicates."
        ),
        UNDO_JOB,
        gettext_lazy("Yes, resend them"),
    ),
    _job(
        JobKind.REPLAY_MISSED,
        _is_enabled_and_sent_to,
        "replay",
        gettext_lazy("Send missed events"),
        gettext_lazy(
            "Sends the events that were skipped while the webhook was disabled, and matching events that were never "
            "sent to it. The oldest event is sent first."
        ),
        UNDO_JOB,
        gettext_lazy("Yes, send them"),
    ),
    _job(
        JobKind.SEND_NOW,
        _is_enabled_and_sent_to,
        "send_now",
        gettext_lazy("Try now"),
        gettext_lazy(
            "Sends the queued deliveries now. These attempts use up no retries, and the retries follow as before. A pause of "
            "the webhook ends, and begins again if the receiver still fails."
        ),
        UNDO_JOB,
        gettext_lazy("Yes, try them now"),
    ),
    SNAPSHOT,
    _job(
        JobKind.CANCEL_PENDING,
        lambda _webhook: True,
        "cancel",
        gettext_lazy("Cancel queued deliveries"),
        gettext_lazy(
            "Cancels the deliveries that are queued, and ends jobs that resend deliveries or send missed events. Deliveries in "
            "flight are not cancelled."
        ),
        gettext_lazy("“Resend failed deliveries” also resends the cancelled ones."),
        gettext_lazy("Yes, cancel them"),
    ),
    WebhookAction(
        "disable",
        gettext_lazy("Disable"),
        gettext_lazy(
            "Disables the webhook: it receives no more requests. Its events are kept as skipped, and you can send them "
            "later."
        ),
        gettext_lazy("You can enable it again at any time."),
        gettext_lazy("Yes, disable it"),
        Action.MANAGE,
        _is_enabled,
        partial(
            _switch,
            verb=webhooks.disable,
            message=gettext_lazy("The webhook is disabled. Its queued deliveries are kept as skipped."),
        ),
    ),
)
