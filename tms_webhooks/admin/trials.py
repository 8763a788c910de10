"""A test from the overview of a webhook: what to send, and what came of it, in place."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django import forms
from django.http import HttpRequest
from django.utils.translation import gettext_lazy

from tms_webhooks.access import get_policy
from tms_webhooks.admin.audit import write_down
from tms_webhooks.admin.charts import milliseconds
from tms_webhooks.admin.delivery_page import parts_of
from tms_webhooks.catalogue import registry
from tms_webhooks.choices import AuditAction
from tms_webhooks.event_names import TEST
from tms_webhooks.models import Webhook
from tms_webhooks.worker.request_preview import pretty
from tms_webhooks.worker.test_send import TestSendResult, send_test


class TrialForm(forms.Form):
    """Which sample to send: that of a test, or of what the webhook is subscribed to."""

    event_type = forms.ChoiceField(label=gettext_lazy("Sample"))

    def __init__(self, webhook: Webhook, *args: Any) -> None:
        super().__init__(*args)
        patterns = webhook.subscriptions.order_by("pk").values_list("event_type", flat=True)
        names = [event_type.name for pattern in patterns for event_type in registry.expand(pattern)]
        field: Any = self.fields["event_type"]
        field.choices = [(name, name) for name in dict.fromkeys([TEST, *names])]


@dataclass(frozen=True, slots=True)
class TrialTold:
    """A test for people: ``parts`` says where the time went."""

    trial: TestSendResult
    took: str
    parts: str
    sent: str


def send(request: HttpRequest, webhook: Webhook, event_type: str, *, now: datetime) -> TrialTold:
    """Send a test, and write it down."""
    trial = send_test(webhook, actor=get_policy().caller(request), event_type=event_type)
    write_down(
        request,
        AuditAction.WEBHOOK_TESTED,
        webhook,
        now=now,
        target=f"delivery:{trial.delivery.pk}",
        changes={"event_type": event_type, "status_code": trial.result.status},
    )
    return TrialTold(
        trial,
        milliseconds(round(trial.result.seconds * 1000)),
        parts_of(trial.result.timing),
        pretty(trial.body.decode("utf-8", "replace")),
    )
