"""The actions on one webhook: each asks for confirmation, states its effect, and is recorded in the audit log."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import router, transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from tms_webhooks.admin.bases import may_view_all_payloads, may_view_payloads, permits
from tms_webhooks.admin.formatting import format_duration, format_total
from tms_webhooks.admin.logs import TimeRangeForm
from tms_webhooks.admin.records import noun_title
from tms_webhooks.admin.words import timing_text
from tms_webhooks.choices import Action, JobKind
from tms_webhooks.conf import app_settings
from tms_webhooks.documents.request_preview import pretty
from tms_webhooks.event_names import TEST
from tms_webhooks.exceptions import LimitReached, PayloadError, PullOnlyWebhook, ReplayError, SubjectError
from tms_webhooks.manage import jobs, webhooks
from tms_webhooks.manage.tests import send_test
from tms_webhooks.models import Job, Webhook
from tms_webhooks.outbox.example_events import subscribed_types
from tms_webhooks.snapshot import MOST_IDS, Selection, available

if TYPE_CHECKING:
    from tms_webhooks.admin.webhooks import WebhookAdmin

TIME_TO_CONFIRM = timedelta(hours=1)
"""By this much a default range is shorter than the longest one, which must not be exceeded when the user confirms."""
RECOVER = "recover"
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
    """Return whether the user may do an action. The page Recover limits its jobs itself: one of them sends nothing."""
    may = admin.may if action.slug == RECOVER else admin.may_use
    permission = "change_webhook" if action.action == Action.MANAGE else "change_delivery"
    return permits(request, permission) and may(request, action.action, webhook)


def _ask(
    admin: WebhookAdmin,
    request: HttpRequest,
    webhook: Webhook,
    action: WebhookAction,
    name: str = "action",
    **context: Any,
) -> HttpResponse:
    """Return the page of an action."""
    return admin.webhook_page(request, name, webhook, title=action.label, action=action, **context)


def _switch(
    admin: WebhookAdmin, request: HttpRequest, webhook: Webhook, action: WebhookAction, *, verb: Any, message: Any
) -> HttpResponse:
    if request.method != "POST":
        return _ask(admin, request, webhook, action)
    verb(webhook, **admin.by(request))
    admin.message_user(request, message, messages.SUCCESS)
    return admin.redirect("webhook_overview", webhook)


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
    form, context = SampleForm(request.POST or None, webhook), dict[str, Any]()
    if form.is_valid():
        event_type, subject = form.cleaned_data["event_type"], form.cleaned_data["subject"]
        try:
            test = send_test(webhook, actor=admin.by(request)["actor"], event_type=event_type, subject=subject)
        except (SubjectError, PayloadError, PullOnlyWebhook, LimitReached) as error:
            context["problem"] = str(error)
        else:
            context = {
                "test": test,
                "duration": format_duration(test.result.seconds),
                "timing": timing_text(test.result.timing),
                "body": pretty(test.body.decode("utf-8", "replace")),
                "shows_bodies": (may_view_all_payloads if subject else may_view_payloads)(request, webhook),
            }
    return _ask(admin, request, webhook, action, "test", form=form, **context)


# Jobs


class SnapshotForm(forms.Form):
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
    return [(name, noun_title(name)) for name in available(webhook)]


def _selection_form(request: HttpRequest, webhook: Webhook, *, is_snapshot: bool) -> forms.Form:
    """Return the form of the page of jobs; at first with all nouns, or with the longest range of a recovery."""
    data: Any = request.POST if request.method == "POST" else request.GET
    if not is_snapshot:
        longest = timedelta(days=app_settings.RECOVER_DAYS) - TIME_TO_CONFIRM
        # The field has no seconds.
        since = timezone.localtime(timezone.now() - longest).replace(second=0, microsecond=0)
        return TimeRangeForm(data if "since" in data or "until" in data else {"since": since})
    choices = noun_choices(webhook)
    # A form that is posted without any box selects none.
    form = SnapshotForm(data if data or request.method == "POST" else {"nouns": [name for name, _title in choices]})
    field: Any = form.fields["nouns"]
    field.choices = choices
    return form


def _run_jobs(
    admin: WebhookAdmin,
    request: HttpRequest,
    webhook: Webhook,
    action: WebhookAction,
    *,
    effects: Mapping[JobKind, Any],
) -> HttpResponse:
    """Count what each of these jobs would do, and start the chosen ones together if the selection is the counted one."""
    is_snapshot, by = JobKind.SNAPSHOT in effects, admin.by(request)
    form = _selection_form(request, webhook, is_snapshot=is_snapshot)
    if not form.is_valid():
        return _ask(admin, request, webhook, action, form=form)
    # The page has the selection that it counted, so that no other one is started. A script need not count.
    counted = " ".join(map(str, form.cleaned_data.values()))
    ids = form.cleaned_data.pop("ids", "")
    asked = form.cleaned_data | ({"only": Selection(frozenset(ids.splitlines()[:MOST_IDS]))} if ids else {})
    # To cancel deliveries sends no event of a child organization.
    may_send = admin.may_use(request, action.action, webhook)
    effects = {kind: effect for kind, effect in effects.items() if may_send or kind == JobKind.CANCEL_PENDING}
    kinds, problem = [kind for kind in effects if is_snapshot or kind in request.POST.getlist("kinds")], ""
    # The button that starts jobs was pressed, not the one that counts.
    if request.method == "POST" and "count" not in request.POST:
        if request.POST.get("counted", counted) != counted:
            problem = _("You changed the selection. Check the new number, then confirm.")
        elif not kinds:
            problem = _("Select at least one of them.")
        elif JobKind.CANCEL_PENDING in kinds[1:]:
            problem = _(
                "Select “Cancel queued deliveries” alone: it ends the jobs that resend deliveries or send missed events."
            )
        else:
            try:
                with transaction.atomic(using=router.db_for_write(Job)):
                    totals = [jobs.start(kind, webhook, **by, **asked).total for kind in kinds]
            except (ReplayError, LimitReached) as error:
                problem = str(error)
            else:
                for total in totals:
                    text = ngettext(
                        "Started a job for %(count)s delivery.", "Started a job for %(count)s deliveries.", total
                    )
                    admin.message_user(request, text % {"count": format_total(total)}, messages.SUCCESS)
                return admin.redirect("webhook_overview", webhook)
    choices = [
        {"kind": kind, "effect": effect, "is_chosen": kind in kinds, **_count_of(kind, webhook, asked, now=by["now"])}
        for kind, effect in effects.items()
    ]
    return _ask(
        admin,
        request,
        webhook,
        action,
        form=form,
        counted=counted,
        choices=choices,
        is_startable=any(choice["count"] for choice in choices),
        problem=problem,
    )


def _count_of(kind: JobKind, webhook: Webhook, asked: dict[str, Any], *, now: datetime) -> dict[str, Any]:
    """Return how many deliveries or objects a job has, as a number and in words; or the reason why it can't be started."""
    try:
        count = jobs.count(kind, webhook, now=now, **asked)
    except ReplayError as error:
        return {"count": 0, "reason": str(error).replace("since", str(_("From")), 1 if error.field == "since" else 0)}
    texts = {
        JobKind.SNAPSHOT: ngettext("%(count)s object will be sent.", "%(count)s objects will be sent.", count),
        JobKind.RECOVER: _("%(count)s failed"),
        JobKind.RESEND_CANCELLED: _("%(count)s cancelled"),
        JobKind.REPLAY_MISSED: _("%(count)s skipped or never sent"),
    }
    return {"count": count, "text": texts.get(kind, _("%(count)s queued")) % {"count": format_total(count, kind)}}


RECOVERIES: Mapping[JobKind, Any] = {
    JobKind.RECOVER: gettext_lazy(
        "Resends the failed deliveries of a time range. Each keeps its event id, so receivers can ignore duplicates."
    ),
    JobKind.RESEND_CANCELLED: gettext_lazy("Resends the deliveries of a time range that a user cancelled."),
    JobKind.REPLAY_MISSED: gettext_lazy(
        "Sends the events that were skipped while the webhook was disabled, and matching events that were never "
        "sent to it. The oldest event is sent first."
    ),
    JobKind.SEND_NOW: gettext_lazy(
        "Sends the queued deliveries now. These attempts use up no retries, and the retries follow as before. A pause of "
        "the webhook ends, and begins again if the receiver still fails."
    ),
    JobKind.CANCEL_PENDING: gettext_lazy(
        "Cancels the deliveries that are queued, and ends jobs that resend deliveries or send missed events. Deliveries in "
        "flight are not cancelled."
    ),
}
"""The jobs of the page Recover, each with its effect. The last one goes alone."""
SNAPSHOT = WebhookAction(
    "snapshot",
    gettext_lazy("Send a snapshot"),
    gettext_lazy(
        "Sends the current state of each object of the selected kinds, by the webhook's audience and filters. New events "
        "are sent first. The last request is webhook.snapshot_completed."
    ),
    gettext_lazy(
        "A request can't be undone once it is sent. To end the snapshot, disable the webhook: “Cancel queued deliveries” does "
        "not end it."
    ),
    gettext_lazy("Yes, send it"),
    Action.REPLAY,
    attrgetter("enabled"),
    partial(_run_jobs, effects={JobKind.SNAPSHOT: ""}),
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
    WebhookAction(
        RECOVER,
        gettext_lazy("Recover"),
        gettext_lazy("Select the deliveries and events of a time range to send or to cancel."),
        gettext_lazy("A request can't be undone once it is sent. “Cancel queued deliveries” stops the others."),
        gettext_lazy("Yes, start"),
        Action.REPLAY,
        lambda _webhook: True,
        partial(_run_jobs, effects=RECOVERIES),
    ),
    SNAPSHOT,
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
        attrgetter("enabled"),
        partial(
            _switch,
            verb=webhooks.disable,
            message=gettext_lazy("The webhook is disabled. Its queued deliveries are kept as skipped."),
        ),
    ),
)
