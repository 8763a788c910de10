"""The actions on one webhook: each asks for confirmation, states its effect, and is recorded in the audit log."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from tms_webhooks.access import get_policy
from tms_webhooks.admin.bases import TimeRangeForm, permits
from tms_webhooks.admin.delivery_page import timing_text
from tms_webhooks.admin.formatting import format_count, format_milliseconds, format_moment
from tms_webhooks.admin.scope import covers_children, may_view_payloads
from tms_webhooks.catalogue import registry
from tms_webhooks.choices import Action, JobKind
from tms_webhooks.conf import app_settings
from tms_webhooks.delivery import replay
from tms_webhooks.event_names import TEST
from tms_webhooks.exceptions import LimitReached, PayloadError, PullOnlyWebhook, ReplayError, SubjectError
from tms_webhooks.manage import jobs, webhooks
from tms_webhooks.manage.tests import TestSendResult, send_test
from tms_webhooks.models import Delivery, Webhook
from tms_webhooks.outbox.example_events import subscribed_types
from tms_webhooks.snapshot.nouns import available
from tms_webhooks.worker.request_preview import pretty

TIME_TO_CONFIRM = timedelta(hours=1)
"""By this much a default range is shorter than the longest one, which must not be exceeded when the user confirms."""
COUNT = "count"
"""The name of the button that counts what a job would do."""
MAX_SUBJECT_LENGTH = 300
NEWEST_DELIVERIES = 20
"""Deliveries among which an example of an object is searched."""


class SampleForm(forms.Form):
    """The test event to send: one that the webhook subscribes to, about an object or a sample, or ``webhook.test``."""

    event_type = forms.ChoiceField(label=gettext_lazy("Event"))
    subject = forms.CharField(
        label=gettext_lazy("Object"),
        required=False,
        max_length=MAX_SUBJECT_LENGTH,
    )

    def __init__(self, request: HttpRequest, webhook: Webhook) -> None:
        super().__init__(request.POST or None)
        text = _("Such as %(example)s, to send its values. Empty: the values of a sample. webhook.test has no object.")
        self.fields["subject"].help_text = text % {"example": _example_object(request, webhook)}
        field: Any = self.fields["event_type"]
        field.choices = [(name, name) for name in dict.fromkeys([*subscribed_types(webhook), TEST])]


def _example_object(request: HttpRequest, webhook: Webhook) -> str:
    """Return an object of which the webhook got an event lately; without any, or the right to view the log, a made-up one."""
    if permits(request, "view_delivery"):
        rows = Delivery.objects.filter(webhook=webhook).order_by("-pk")
        for noun, key in rows.values_list("event__subject_type", "event__subject_id")[:NEWEST_DELIVERIES]:
            if noun != TEST.partition(".")[0]:
                return f"{noun}:{key}"
    return "class:8840"


class SelectionForm(forms.Form):
    """The selection of a job. The page also has the one that was counted, so that no other one is started."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            field.show_hidden_initial = True

    @property
    def is_counted(self) -> bool:
        """Whether the submitted selection is the one that was counted. One without a count, from a script, is too."""
        return not any(name.startswith("initial-") for name in self.data) or not self.has_changed()

    @property
    def selection(self) -> Mapping[str, Any]:
        """The arguments of `jobs.start`: those that were submitted, or the initial ones."""
        return self.cleaned_data if self.is_bound else self.initial


class JobRangeForm(SelectionForm, TimeRangeForm):
    """The times of the events of a job. A recovery needs a start, and its range has a longest length."""

    def __init__(self, kind: JobKind, data: Any = None, *, now: datetime, **kwargs: Any) -> None:
        super().__init__(data, **kwargs)
        self.now = now
        self.longest = timedelta(days=app_settings.RECOVER_DAYS) if kind == JobKind.RECOVER else None
        if self.longest is not None and "since" not in self.initial:
            # The field has no seconds.
            since = timezone.localtime(now - self.longest + TIME_TO_CONFIRM).replace(second=0, microsecond=0)
            self.initial["since"] = since

    def clean(self) -> None:
        """Refuse an empty range and one that is too long, in the words of the page."""
        if self.errors:
            return
        since, until = self.cleaned_data["since"], self.cleaned_data["until"]
        end = min(until or self.now, self.now)
        if since is not None and since >= end:
            self.add_error("since", _("From must be before Until.") if until else _("From is in the future."))
        elif self.longest is not None and (since is None or end - since > self.longest):
            days = self.longest.days
            text = ngettext("The longest range is %(days)d day.", "The longest range is %(days)d days.", days)
            self.add_error("since", text % {"days": days})


class SnapshotForm(SelectionForm):
    """The nouns whose objects are sent: those that the webhook subscribes to. At first, all of them are chosen."""

    nouns = forms.MultipleChoiceField(
        label=gettext_lazy("Objects"),
        widget=forms.CheckboxSelectMultiple,
        error_messages={"required": gettext_lazy("Select at least one kind of object.")},
    )

    def __init__(self, webhook: Webhook, data: Any = None, *, initial: Any = None) -> None:
        names = available(webhook)
        super().__init__(data, initial=initial or {"nouns": names})
        field: Any = self.fields["nouns"]
        field.choices = [(name, _(registry.grouped()[name][0].noun.title)) for name in names]


@dataclass(frozen=True, slots=True)
class TestSendText:
    """A test send for the page: its result, the total time, the time per step, the request body, and whether bodies are shown."""

    result: TestSendResult
    duration: str
    timing: str
    body: str
    shows_bodies: bool


@dataclass(frozen=True, slots=True)
class ActionResult:
    """The result of a request to an action page: the content of the confirmation page, or the completed action.

    ``history`` is one line in English for the history of the webhook. It is empty while nothing was done.
    """

    history: str = ""
    message: str = ""
    level: int = messages.SUCCESS
    form: forms.Form | None = None
    count: str = ""
    is_startable: bool = False
    hint: str = ""
    problem: str = ""
    test: TestSendText | None = None


@dataclass(frozen=True, slots=True)
class WebhookAction:
    """One action on a webhook.

    Attributes:
        action: The action that the access policy has to allow, in addition to Django's ``permission``.
        question: What happens.
        undo: Whether and how it can be undone.
        is_available: Returns whether the action applies to the webhook in its current state.
        run: Performs the action for a confirmed POST; otherwise returns the content of the confirmation page.
    """

    slug: str
    label: Any
    question: Any
    undo: Any
    confirm: Any
    action: Action
    permission: str
    is_available: Callable[[Webhook], bool]
    run: Callable[..., ActionResult]
    template: str = "admin/tms_webhooks/webhook/action.html"

    @property
    def needs_children(self) -> bool:
        """Whether it needs the right in each child organization, too. To cancel deliveries sends no event of theirs."""
        return self.slug != "cancel"


def _switch(verb: Callable[..., None], history: str, message: Any) -> Callable[..., ActionResult]:
    def run(request: HttpRequest, webhook: Webhook) -> ActionResult:
        if request.method != "POST":
            return ActionResult()
        verb(webhook, actor=get_policy().caller(request), now=timezone.now())
        return ActionResult(history, message)

    return run


def _send_test(request: HttpRequest, webhook: Webhook) -> ActionResult:
    form = SampleForm(request, webhook)
    if not form.is_valid():
        return ActionResult(form=form)
    event_type, subject = form.cleaned_data["event_type"], form.cleaned_data["subject"]
    try:
        test = send_test(webhook, actor=get_policy().caller(request), event_type=event_type, subject=subject)
    except (SubjectError, PayloadError, PullOnlyWebhook, LimitReached) as error:
        return ActionResult(form=form, problem=str(error))
    text = TestSendText(
        test,
        format_milliseconds(round(test.result.seconds * 1000)),
        timing_text(test.result.timing),
        pretty(test.body.decode("utf-8", "replace")),
        may_view_payloads(request, webhook) and (not subject or covers_children(request, Action.VIEW_PAYLOAD, webhook)),
    )
    return ActionResult(form=form, test=text)


def _run_job(kind: JobKind) -> Callable[..., ActionResult]:
    def run(request: HttpRequest, webhook: Webhook) -> ActionResult:
        is_snapshot, now = kind == JobKind.SNAPSHOT, timezone.now()
        make: Any = partial(SnapshotForm, webhook) if is_snapshot else partial(JobRangeForm, kind, now=now)
        data = request.POST if request.method == "POST" else request.GET
        # A form without any box of its objects is one that selects none.
        is_submitted = any(name in data for name in make().fields) or (is_snapshot and request.method == "POST")
        form = make(data if is_submitted else None)
        if form.is_bound and not form.is_valid():
            return ActionResult(form=form)
        selection = form.selection
        try:
            if _is_confirmed(request) and form.is_counted:
                actor = get_policy().caller(request)
                total = jobs.start(kind, webhook, actor=actor, now=now, **selection).total
                return ActionResult(f"Started a job: {kind.value}, deliveries: {total}.", _started(total))
            count = jobs.count(kind, webhook, now=now, **selection)
        except (ReplayError, LimitReached) as error:
            return ActionResult(form=form, problem=str(error))
        hints = (
            (_earlier_failures(webhook, selection["since"]), _queued(webhook))
            if kind == JobKind.RECOVER and not count
            else ()
        )
        return ActionResult(
            form=make(initial=selection),
            count=_matching_objects(count) if is_snapshot else _matching(count),
            is_startable=count > 0,
            hint=" ".join(filter(None, hints)),
            problem=_changed_since(request) if count else "",
        )

    return run


def _is_confirmed(request: HttpRequest) -> bool:
    """Return whether the button that starts the job was pressed, not the one that counts."""
    return request.method == "POST" and COUNT not in request.POST


def _changed_since(request: HttpRequest) -> str:
    """Return why a confirmed selection was counted again; empty if it was only to be counted."""
    return _("You changed the selection. Check the new number, then confirm.") if _is_confirmed(request) else ""


def _matching(count: int) -> str:
    text = ngettext("%(count)s delivery matches.", "%(count)s deliveries match.", count)
    return text % {"count": format_count(count)}


def _matching_objects(count: int) -> str:
    text = ngettext("%(count)s object will be sent.", "%(count)s objects will be sent.", count)
    return text % {"count": format_count(count)}


def _earlier_failures(webhook: Webhook, since: datetime | None) -> str:
    """Return a sentence about the failed deliveries before a range that has none, or an empty text."""
    earlier = None if since is None else replay.failures_before(webhook, since)
    if earlier is None:
        return ""
    text = ngettext(
        "%(count)s delivery failed or was cancelled before this range.",
        "%(count)s deliveries failed or were cancelled before this range.",
        earlier.count,
    )
    one, several = _("Its event is of %(first)s."), _("Their events are of %(first)s to %(last)s.")
    text = f"{text} {one if earlier.count == 1 else several}"
    values = {
        "count": format_count(earlier.count),
        "first": format_moment(earlier.first),
        "last": format_moment(earlier.last),
    }
    days = app_settings.RECOVER_DAYS
    longest = ngettext(
        "Choose an earlier range of at most %(days)d day.", "Choose an earlier range of at most %(days)d days.", days
    )
    return f"{text % values} {longest % {'days': days}}"


def _queued(webhook: Webhook) -> str:
    """Return a sentence about the deliveries that wait for a retry, which “Try now” sends; empty without any."""
    count = Delivery.objects.filter(webhook=webhook).waiting().count()
    text = ngettext(
        "%(count)s delivery is still queued. To send it, use “Try now”.",
        "%(count)s deliveries are still queued. To send them, use “Try now”.",
        count,
    )
    return text % {"count": format_count(count)} if count else ""


def _started(total: int) -> str:
    text = ngettext("Started a job for %(count)s delivery.", "Started a job for %(count)s deliveries.", total)
    return text % {"count": format_count(total)}


def _is_enabled(webhook: Webhook) -> bool:
    return webhook.enabled


def _is_sent_to(webhook: Webhook) -> bool:
    return not webhook.pull_only


def _is_enabled_and_sent_to(webhook: Webhook) -> bool:
    return webhook.enabled and not webhook.pull_only


UNDO_JOB = gettext_lazy("A request can't be undone once it is sent. “Cancel queued deliveries” stops the others.")
UNDO_SNAPSHOT = gettext_lazy(
    "A request can't be undone once it is sent. To end the snapshot, disable the webhook: “Cancel queued deliveries” does "
    "not end it."
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
        "change_webhook",
        lambda webhook: not webhook.enabled,
        _switch(
            webhooks.enable,
            "Enabled.",
            gettext_lazy("The webhook is enabled. Missed events stay skipped until you send them."),
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
        "change_webhook",
        _is_sent_to,
        _send_test,
        "admin/tms_webhooks/webhook/test.html",
    ),
    WebhookAction(
        "recover",
        gettext_lazy("Resend failed deliveries"),
        gettext_lazy(
            "Resends the failed and cancelled deliveries of a time range. Each keeps its event id, so receivers can ignore "
            "duplicates."
        ),
        UNDO_JOB,
        gettext_lazy("Yes, resend them"),
        Action.REPLAY,
        "change_delivery",
        _is_enabled_and_sent_to,
        _run_job(JobKind.RECOVER),
        "admin/tms_webhooks/webhook/job.html",
    ),
    WebhookAction(
        "replay",
        gettext_lazy("Send missed events"),
        gettext_lazy(
            "Sends the events that were skipped while the webhook was disabled, and matching events that were never "
            "sent to it. The oldest event is sent first."
        ),
        UNDO_JOB,
        gettext_lazy("Yes, send them"),
        Action.REPLAY,
        "change_delivery",
        _is_enabled_and_sent_to,
        _run_job(JobKind.REPLAY_MISSED),
        "admin/tms_webhooks/webhook/job.html",
    ),
    WebhookAction(
        "send_now",
        gettext_lazy("Try now"),
        gettext_lazy(
            "Sends the queued deliveries now. These attempts use up no retries, and the retries follow as before. A pause of "
            "the webhook ends, and begins again if the receiver still fails."
        ),
        UNDO_JOB,
        gettext_lazy("Yes, try them now"),
        Action.REPLAY,
        "change_delivery",
        _is_enabled_and_sent_to,
        _run_job(JobKind.SEND_NOW),
        "admin/tms_webhooks/webhook/job.html",
    ),
    WebhookAction(
        "snapshot",
        gettext_lazy("Send a snapshot"),
        gettext_lazy(
            "Sends the current state of each object of the selected kinds, by the webhook's audience and filters. New events "
            "are sent first. The last request is webhook.snapshot_completed."
        ),
        UNDO_SNAPSHOT,
        gettext_lazy("Yes, send it"),
        Action.REPLAY,
        "change_delivery",
        _is_enabled,
        _run_job(JobKind.SNAPSHOT),
        "admin/tms_webhooks/webhook/job.html",
    ),
    WebhookAction(
        "cancel",
        gettext_lazy("Cancel queued deliveries"),
        gettext_lazy(
            "Cancels the deliveries that are queued, and ends jobs that resend deliveries or send missed events. Deliveries in "
            "flight are not cancelled."
        ),
        gettext_lazy("“Resend failed deliveries” also resends the cancelled ones."),
        gettext_lazy("Yes, cancel them"),
        Action.REPLAY,
        "change_delivery",
        lambda _webhook: True,
        _run_job(JobKind.CANCEL_PENDING),
        "admin/tms_webhooks/webhook/job.html",
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
        "change_webhook",
        _is_enabled,
        _switch(
            webhooks.disable,
            "Disabled.",
            gettext_lazy("The webhook is disabled. Its queued deliveries are kept as skipped."),
        ),
    ),
)
