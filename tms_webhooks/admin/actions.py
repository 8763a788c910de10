"""What can be done with a webhook: each asks first, says what it would do, and is written down."""

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
from tms_webhooks.admin import trials
from tms_webhooks.admin.audit import write_down
from tms_webhooks.admin.trials import TrialForm, TrialTold
from tms_webhooks.choices import Action, AuditAction, DisabledReason, JobKind
from tms_webhooks.delivery import lifecycle, replay
from tms_webhooks.exceptions import ReplayError
from tms_webhooks.models import Webhook

FIRST_RANGE = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of asking: what to show on the page that asks, or what was done.

    ``done`` is one line for the history of the webhook, in English; without it nothing was done yet.
    """

    done: str = ""
    told: str = ""
    level: int = messages.SUCCESS
    form: forms.Form | None = None
    count: int | None = None
    problem: str = ""
    trial: TrialTold | None = None


@dataclass(frozen=True, slots=True)
class Act:
    """One thing to do.

    Attributes:
        action: What the access policy has to allow, beside Django's own ``permission``.
        fits: Whether it means anything for a webhook as it is.
        answer: Does it where the request is a POST that says so, and otherwise tells what there is to know before.
    """

    slug: str
    label: Any
    question: Any
    confirm: Any
    action: Action
    permission: str
    fits: Callable[[Webhook], bool]
    answer: Callable[..., Answer]
    template: str = "admin/tms_webhooks/webhook/act.html"


class RangeForm(forms.Form):
    """A range of time, of the events."""

    since = forms.DateTimeField(
        label=gettext_lazy("From"),
        required=False,
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
    )
    until = forms.DateTimeField(
        label=gettext_lazy("Until"),
        required=False,
        help_text=gettext_lazy("Empty: now."),
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
    )


def _enable(request: HttpRequest, webhook: Webhook, *, now: datetime) -> Answer:
    if request.method != "POST":
        return Answer()
    lifecycle.enable(webhook, actor=get_policy().caller(request), now=now)
    return Answer("Enabled.", _("It is enabled. What it missed stays skipped until somebody replays it."))


def _disable(request: HttpRequest, webhook: Webhook, *, now: datetime) -> Answer:
    if request.method != "POST":
        return Answer()
    lifecycle.disable(webhook, actor=get_policy().caller(request), reason=DisabledReason.ADMIN, now=now)
    return Answer("Disabled.", _("It is disabled. What waited for it is kept as skipped."))


def _test(request: HttpRequest, webhook: Webhook, *, now: datetime) -> Answer:
    if request.method != "POST":
        return Answer(form=TrialForm(webhook))
    form = TrialForm(webhook, request.POST)
    if not form.is_valid():
        return Answer(form=form)
    return Answer(form=form, trial=trials.send(request, webhook, form.cleaned_data["event_type"], now=now))


def _job(kind: JobKind) -> Callable[..., Answer]:
    def answer(request: HttpRequest, webhook: Webhook, *, now: datetime) -> Answer:
        form = _range_form(kind, request, now=now)
        if form.is_bound and not form.is_valid():
            return Answer(form=form)
        times = form.cleaned_data if form.is_bound else form.initial
        since, until = times.get("since"), times.get("until")
        try:
            if request.method == "POST":
                return _started(request, kind, webhook, since=since, until=until, now=now)
            return Answer(form=form, count=replay.count(kind, webhook, since=since, until=until, now=now))
        except ReplayError as error:
            return Answer(form=form, problem=str(error))

    return answer


def _range_form(kind: JobKind, request: HttpRequest, *, now: datetime) -> RangeForm:
    """Return the form as it was filled in; until then with a day for a recovery, which needs to know where to begin."""
    data = request.POST if request.method == "POST" else request.GET
    if "since" in data or "until" in data:
        return RangeForm(data)
    begin = {"since": timezone.localtime(now - FIRST_RANGE)} if kind == JobKind.RECOVER else {}
    return RangeForm(initial=begin)


def _started(
    request: HttpRequest,
    kind: JobKind,
    webhook: Webhook,
    *,
    since: datetime | None,
    until: datetime | None,
    now: datetime,
) -> Answer:
    with transaction.atomic(using=router.db_for_write(Webhook)):
        job = replay.start(kind, webhook, now=now, since=since, until=until, requested_by=str(request.user)[:100])
        write_down(
            request,
            AuditAction.JOB_STARTED,
            webhook,
            now=now,
            target=f"job:{job.pk}",
            changes={"kind": kind.value, "since": since, "until": until, "total": job.total},
        )
    told = ngettext("Begun, with %(count)d delivery.", "Begun, with %(count)d deliveries.", job.total)
    return Answer(f"Started a job: {kind.value}, {job.total} deliveries.", told % {"count": job.total})


def _is_enabled(webhook: Webhook) -> bool:
    return webhook.enabled


def _is_disabled_or_ill(webhook: Webhook) -> bool:
    return not webhook.enabled or webhook.failures > 0


ACTS = (
    Act(
        "test",
        gettext_lazy("Send a test"),
        gettext_lazy(
            "Send a sample, at once and once, also to a webhook that is paused or disabled. In the log it is a webhook.test."
        ),
        gettext_lazy("Send it"),
        Action.MANAGE,
        "tms_webhooks.change_webhook",
        lambda _webhook: True,
        _test,
        "admin/tms_webhooks/webhook/test.html",
    ),
    Act(
        "enable",
        gettext_lazy("Enable"),
        gettext_lazy(
            "Enable it, and forget its failures? New events are sent at once; what it missed stays skipped until somebody "
            "replays it."
        ),
        gettext_lazy("Yes, enable it"),
        Action.MANAGE,
        "tms_webhooks.change_webhook",
        _is_disabled_or_ill,
        _enable,
    ),
    Act(
        "recover",
        gettext_lazy("Recover what failed"),
        gettext_lazy(
            "Send again what was given up in a range of time. Receivers know an event that they had by its id."
        ),
        gettext_lazy("Yes, send them again"),
        Action.REPLAY,
        "tms_webhooks.change_delivery",
        _is_enabled,
        _job(JobKind.RECOVER),
        "admin/tms_webhooks/webhook/job.html",
    ),
    Act(
        "replay",
        gettext_lazy("Replay what was missed"),
        gettext_lazy(
            "Send what was skipped while it was disabled, and what it asks for today and was never sent, oldest first."
        ),
        gettext_lazy("Yes, send them"),
        Action.REPLAY,
        "tms_webhooks.change_delivery",
        _is_enabled,
        _job(JobKind.REPLAY_MISSED),
        "admin/tms_webhooks/webhook/job.html",
    ),
    Act(
        "cancel",
        gettext_lazy("Cancel what waits"),
        gettext_lazy("Call off what waits to be sent. What is under way right now can't be called back."),
        gettext_lazy("Yes, call them off"),
        Action.REPLAY,
        "tms_webhooks.change_delivery",
        lambda _webhook: True,
        _job(JobKind.CANCEL_PENDING),
        "admin/tms_webhooks/webhook/job.html",
    ),
    Act(
        "disable",
        gettext_lazy("Disable"),
        gettext_lazy(
            "Disable it? It gets no more requests; what happens meanwhile is kept as skipped, for a later replay."
        ),
        gettext_lazy("Yes, disable it"),
        Action.MANAGE,
        "tms_webhooks.change_webhook",
        _is_enabled,
        _disable,
    ),
)
