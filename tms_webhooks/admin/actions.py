"""The actions on one webhook: each asks for confirmation, states its effect, and is recorded in the audit log."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.contrib import messages
from django.db import router, transaction
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from tms_webhooks.access import get_policy
from tms_webhooks.admin.audit import record_action
from tms_webhooks.admin.bases import TimeRangeForm, permits
from tms_webhooks.admin.delivery_page import timing_text
from tms_webhooks.admin.formatting import format_count, format_milliseconds, format_moment
from tms_webhooks.admin.scope import covers_children, may_view_payloads
from tms_webhooks.catalogue import registry
from tms_webhooks.choices import Action, AuditAction, DisabledReason, JobKind
from tms_webhooks.conf import app_settings
from tms_webhooks.delivery import lifecycle, replay
from tms_webhooks.event_names import TEST
from tms_webhooks.exceptions import LimitReached, PayloadError, PullOnlyWebhook, ReplayError, SubjectError
from tms_webhooks.models import Delivery, Webhook
from tms_webhooks.outbox.example_events import subscribed_types
from tms_webhooks.snapshot import job as snapshot
from tms_webhooks.snapshot.nouns import available
from tms_webhooks.worker.request_preview import pretty
from tms_webhooks.worker.test_send import TestSendResult, send_test

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


class JobRangeForm(SelectionForm, TimeRangeForm):
    """The times of the events of a job. With ``longest``, the range needs a start, and is no longer than that."""

    def __init__(self, *args: Any, now: datetime, longest: timedelta | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.now, self.longest = now, longest

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

    def __init__(self, webhook: Webhook, data: Any = None, *, chosen: list[str] | None = None) -> None:
        names = available(webhook)
        super().__init__(data, initial={"nouns": names if chosen is None else chosen})
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


def _enable(request: HttpRequest, webhook: Webhook, *, now: datetime) -> ActionResult:
    if request.method != "POST":
        return ActionResult()
    lifecycle.enable(webhook, actor=get_policy().caller(request), now=now)
    return ActionResult("Enabled.", _("The webhook is enabled. Missed events stay skipped until you send them."))


def _disable(request: HttpRequest, webhook: Webhook, *, now: datetime) -> ActionResult:
    if request.method != "POST":
        return ActionResult()
    lifecycle.disable(webhook, actor=get_policy().caller(request), reason=DisabledReason.ADMIN, now=now)
    return ActionResult("Disabled.", _("The webhook is disabled. Its queued deliveries are kept as skipped."))


def _send_test(request: HttpRequest, webhook: Webhook, *, now: datetime) -> ActionResult:
    form = SampleForm(request, webhook)
    if not form.is_valid():
        return ActionResult(form=form)
    event_type, subject = form.cleaned_data["event_type"], form.cleaned_data["subject"]
    try:
        test = send_test(webhook, actor=get_policy().caller(request), event_type=event_type, subject=subject)
    except (SubjectError, PayloadError, PullOnlyWebhook, LimitReached) as error:
        return ActionResult(form=form, problem=str(error))
    changes = {"event_type": event_type, "status_code": test.result.status}
    if subject:
        changes["subject"] = subject
    record_action(
        request,
        AuditAction.WEBHOOK_TESTED,
        webhook,
        now=now,
        target=f"delivery:{test.delivery.public_id}",
        changes=changes,
    )
    text = TestSendText(
        test,
        format_milliseconds(round(test.result.seconds * 1000)),
        timing_text(test.result.timing),
        pretty(test.body.decode("utf-8", "replace")),
        may_view_payloads(request, webhook) and (not subject or covers_children(request, Action.VIEW_PAYLOAD, webhook)),
    )
    return ActionResult(form=form, test=text)


def _run_job(kind: JobKind) -> Callable[..., ActionResult]:
    def run(request: HttpRequest, webhook: Webhook, *, now: datetime) -> ActionResult:
        form = _time_range_form(kind, request, now=now)
        if form.is_bound and not form.is_valid():
            return ActionResult(form=form)
        times = form.cleaned_data if form.is_bound else form.initial
        since, until = times.get("since"), times.get("until")
        try:
            if _is_confirmed(request) and form.is_counted:
                return _start_job(request, kind, webhook, since=since, until=until, now=now)
            count = replay.count(kind, webhook, since=since, until=until, now=now)
            hints = (
                (_earlier_failures(webhook, since), _queued(webhook)) if kind == JobKind.RECOVER and not count else ()
            )
            return ActionResult(
                form=JobRangeForm(now=now, initial={"since": since, "until": until}),
                count=_matching(count),
                is_startable=count > 0,
                hint=" ".join(filter(None, hints)),
                problem=_changed_since(request) if count else "",
            )
        except (ReplayError, LimitReached) as error:
            return ActionResult(form=form, problem=str(error))

    return run


def _run_snapshot(request: HttpRequest, webhook: Webhook, *, now: datetime) -> ActionResult:
    data = request.POST if request.method == "POST" else request.GET
    is_chosen = request.method == "POST" or "nouns" in data
    form = SnapshotForm(webhook, data if is_chosen else None)
    if is_chosen and not form.is_valid():
        return ActionResult(form=form)
    chosen = form.cleaned_data["nouns"] if is_chosen else available(webhook)
    try:
        if _is_confirmed(request) and form.is_counted:
            return _start_snapshot(request, webhook, chosen, now=now)
        count = snapshot.count(webhook, chosen, now=now)
        return ActionResult(
            form=SnapshotForm(webhook, chosen=chosen),
            count=_matching_objects(count),
            is_startable=count > 0,
            problem=_changed_since(request) if count else "",
        )
    except (ReplayError, LimitReached) as error:
        return ActionResult(form=form, problem=str(error))


def _start_snapshot(request: HttpRequest, webhook: Webhook, nouns: list[str], *, now: datetime) -> ActionResult:
    with transaction.atomic(using=router.db_for_write(Webhook)):
        job = snapshot.start(webhook, nouns, now=now, requested_by=str(request.user)[:100])
        changes = {"kind": job.kind, "nouns": job.nouns, "total": job.total}
        record_action(
            request, AuditAction.JOB_STARTED, webhook, now=now, target=f"job:{job.public_id}", changes=changes
        )
    return ActionResult(f"Started a job: {job.kind}, deliveries: {job.total}.", _started(job.total))


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


def _time_range_form(kind: JobKind, request: HttpRequest, *, now: datetime) -> JobRangeForm:
    """Return the submitted form, or an initial one. A recovery needs a start: first, its range is the longest one."""
    data = request.POST if request.method == "POST" else request.GET
    longest = timedelta(days=app_settings.RECOVER_DAYS)
    if "since" in data or "until" in data:
        return JobRangeForm(data, now=now, longest=longest if kind == JobKind.RECOVER else None)
    # The field has no seconds.
    since = timezone.localtime(now - longest + TIME_TO_CONFIRM).replace(second=0, microsecond=0)
    return JobRangeForm(now=now, initial={"since": since} if kind == JobKind.RECOVER else {})


def _start_job(
    request: HttpRequest,
    kind: JobKind,
    webhook: Webhook,
    *,
    since: datetime | None,
    until: datetime | None,
    now: datetime,
) -> ActionResult:
    with transaction.atomic(using=router.db_for_write(Webhook)):
        job = replay.start(kind, webhook, now=now, since=since, until=until, requested_by=str(request.user)[:100])
        record_action(
            request,
            AuditAction.JOB_STARTED,
            webhook,
            now=now,
            target=f"job:{job.public_id}",
            changes={"kind": kind.value, "since": since, "until": until, "total": job.total},
        )
    return ActionResult(f"Started a job: {kind.value}, deliveries: {job.total}.", _started(job.total))


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
        _enable,
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
        _run_snapshot,
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
        _disable,
    ),
)
