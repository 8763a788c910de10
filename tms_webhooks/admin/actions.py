"""The actions on one webhook: each asks for confirmation, states its effect, and is recorded in the audit log."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django import forms
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from tms_webhooks.access import get_policy
from tms_webhooks.admin.bases import covers_children, may_view_payloads, permits
from tms_webhooks.admin.formatting import format_count, format_milliseconds, format_moment
from tms_webhooks.admin.logs import TimeRangeForm
from tms_webhooks.admin.words import timing_text
from tms_webhooks.catalogue import registry
from tms_webhooks.choices import Action, JobKind
from tms_webhooks.conf import app_settings
from tms_webhooks.delivery import replay
from tms_webhooks.event_names import TEST
from tms_webhooks.exceptions import LimitReached, PayloadError, PullOnlyWebhook, ReplayError, SubjectError
from tms_webhooks.manage import jobs, webhooks
from tms_webhooks.manage.tests import send_test
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
    """The times of the events of a job. A recovery needs a start: at first, its range is as long as it may be."""

    def __init__(self, kind: JobKind, data: Any = None, *, now: datetime, **kwargs: Any) -> None:
        super().__init__(data, **kwargs)
        if kind == JobKind.RECOVER and "since" not in self.initial:
            first = timezone.localtime(now - timedelta(days=app_settings.RECOVER_DAYS) + TIME_TO_CONFIRM)
            # The field has no seconds.
            self.initial["since"] = first.replace(second=0, microsecond=0)


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
class ActionResult:
    """The result of a request to an action page: the content of the confirmation page, or the completed action.

    ``history`` is one line in English for the history of the webhook. It is empty while nothing was done.
    """

    history: str = ""
    message: str = ""
    form: forms.Form | None = None
    count: str = ""
    is_startable: bool = False
    hint: str = ""
    problem: str = ""
    test: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class WebhookAction:
    """One action on a webhook.

    Attributes:
        question: What happens.
        undo: Whether and how it can be undone.
        action: The action that the access policy has to allow.
        is_available: Returns whether the action applies to the webhook in its current state.
        run: Performs the action for a confirmed POST; otherwise returns the content of the confirmation page.
        page: The template.
    """

    slug: str
    label: Any
    question: Any
    undo: Any
    confirm: Any
    action: Action
    is_available: Callable[[Webhook], bool]
    run: Callable[..., ActionResult]
    page: str

    @property
    def needs_children(self) -> bool:
        """Whether it needs the right in each child organization, too. To cancel deliveries sends no event of theirs."""
        return self.slug != "cancel"


def _switch(
    request: HttpRequest, webhook: Webhook, *, verb: Callable[..., None], history: str, message: Any
) -> ActionResult:
    if request.method != "POST":
        return ActionResult()
    verb(webhook, actor=get_policy().caller(request), now=timezone.now())
    return ActionResult(history, message)


def _send_test(request: HttpRequest, webhook: Webhook) -> ActionResult:
    form = SampleForm(request, webhook)
    if not form.is_valid():
        return ActionResult(form=form)
    event_type, subject = form.cleaned_data["event_type"], form.cleaned_data["subject"]
    try:
        test = send_test(webhook, actor=get_policy().caller(request), event_type=event_type, subject=subject)
    except (SubjectError, PayloadError, PullOnlyWebhook, LimitReached) as error:
        return ActionResult(form=form, problem=str(error))
    shown = {
        "result": test,
        "duration": format_milliseconds(round(test.result.seconds * 1000)),
        "timing": timing_text(test.result.timing),
        "body": pretty(test.body.decode("utf-8", "replace")),
        "shows_bodies": may_view_payloads(request, webhook)
        and (not subject or covers_children(request, Action.VIEW_PAYLOAD, webhook)),
    }
    return ActionResult(form=form, test=shown)


def _run_job(request: HttpRequest, webhook: Webhook, *, kind: JobKind) -> ActionResult:
    is_snapshot, now = kind == JobKind.SNAPSHOT, timezone.now()
    make: Any = partial(SnapshotForm, webhook) if is_snapshot else partial(JobRangeForm, kind, now=now)
    data = request.POST if request.method == "POST" else request.GET
    # A form without any box of its objects is one that selects none.
    is_submitted = any(name in data for name in make().fields) or (is_snapshot and request.method == "POST")
    form = make(data if is_submitted else None)
    if form.is_bound and not form.is_valid():
        return ActionResult(form=form)
    selection = form.selection
    # The button that starts the job was pressed, not the one that counts.
    is_confirmed = request.method == "POST" and COUNT not in request.POST
    try:
        if is_confirmed and form.is_counted:
            total = jobs.start(kind, webhook, actor=get_policy().caller(request), now=now, **selection).total
            started = ngettext(
                "Started a job for %(count)s delivery.", "Started a job for %(count)s deliveries.", total
            )
            history = f"Started a job: {kind.value}, deliveries: {total}."
            return ActionResult(history, started % {"count": format_count(total)})
        count = jobs.count(kind, webhook, now=now, **selection)
    except (ReplayError, LimitReached) as error:
        field = getattr(error, "field", "")
        if form.is_bound and field in form.fields:
            form.add_error(field, str(error).replace(field, str(form.fields[field].label), 1))
            return ActionResult(form=form)
        return ActionResult(form=form, problem=str(error))
    text = (
        ngettext("%(count)s object will be sent.", "%(count)s objects will be sent.", count)
        if is_snapshot
        else ngettext("%(count)s delivery matches.", "%(count)s deliveries match.", count)
    )
    is_changed = is_confirmed and count
    return ActionResult(
        form=make(initial=selection),
        count=text % {"count": format_count(count)},
        is_startable=count > 0,
        hint=_hint(webhook, selection["since"]) if kind == JobKind.RECOVER and not count else "",
        problem=_("You changed the selection. Check the new number, then confirm.") if is_changed else "",
    )


def _hint(webhook: Webhook, since: datetime | None) -> str:
    """Return where the failed deliveries are if a range has none: before it, or still queued."""
    earlier = None if since is None else replay.failures_before(webhook, since)
    queued = Delivery.objects.filter(webhook=webhook).waiting().count()
    texts: list[Any] = []
    values: dict[str, Any] = {"days": app_settings.RECOVER_DAYS}
    if earlier is not None:
        values |= {
            "failed": format_count(earlier.count),
            "first": format_moment(earlier.first),
            "last": format_moment(earlier.last),
        }
        texts += [
            ngettext(
                "%(failed)s delivery failed or was cancelled before this range. Its event is of %(first)s.",
                "%(failed)s deliveries failed or were cancelled before this range. Their events are of %(first)s to %(last)s.",
                earlier.count,
            ),
            ngettext(
                "Choose an earlier range of at most %(days)d day.",
                "Choose an earlier range of at most %(days)d days.",
                app_settings.RECOVER_DAYS,
            ),
        ]
    if queued:
        values["queued"] = format_count(queued)
        texts.append(
            ngettext(
                "%(queued)s delivery is still queued. To send it, use “Try now”.",
                "%(queued)s deliveries are still queued. To send them, use “Try now”.",
                queued,
            )
        )
    return " ".join(texts) % values


def _job(kind: JobKind, is_available: Callable[[Webhook], bool], *texts: Any) -> WebhookAction:
    """Return the action that starts a job; ``texts`` begin with its slug."""
    slug, label, question, undo, confirm = texts
    run = partial(_run_job, kind=kind)
    return WebhookAction(slug, label, question, undo, confirm, Action.REPLAY, is_available, run, "job")


def _is_enabled(webhook: Webhook) -> bool:
    return webhook.enabled


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
        lambda webhook: not webhook.enabled,
        partial(
            _switch,
            verb=webhooks.enable,
            history="Enabled.",
            message=gettext_lazy("The webhook is enabled. Missed events stay skipped until you send them."),
        ),
        "action",
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
        "test",
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
    _job(
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
    ),
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
            history="Disabled.",
            message=gettext_lazy("The webhook is disabled. Its queued deliveries are kept as skipped."),
        ),
        "action",
    ),
)
