"""``manage.py webhooks_prune``: the same as the scheduled task, and a count before it."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.utils import timezone

from tests.integration.commands.terminal import Terminal
from tests.integration.delivery.rows import subscribed
from tests.integration.prune import rows
from tms_webhooks.management.commands import webhooks_prune
from tms_webhooks.models import Event
from tms_webhooks.outbox.prune import prune

pytestmark = pytest.mark.django_db


def test_a_dry_run_counts_and_a_run_prunes(capsys):
    Event.objects.all().delete()
    rows.event(subscribed(), rows.NOW - timezone.now() + timedelta(days=40))

    call_command("webhooks_prune", "--dry-run")
    assert (
        capsys.readouterr().out
        == "It would prune 1 payloads, 0 attempts, 0 events, 0 occurrences, 0 hours, 0 answers, "
        "0 notifications.\n"
    )
    assert Event.objects.get().body

    call_command("webhooks_prune", "--json")
    assert json.loads(capsys.readouterr().out) == {
        "dry_run": False,
        "payloads": 1,
        "attempts": 0,
        "events": 0,
        "occurrences": 0,
        "hours": 0,
        "answers": 0,
        "notifications": 0,
    }
    assert not Event.objects.get().body


def test_it_stops_after_a_batch_on_request(monkeypatch):
    monkeypatch.setattr("tms_webhooks.outbox.prune.PRUNE_BATCH", 2)
    webhook = subscribed()
    for _ in range(5):
        rows.event(webhook, timedelta(days=40))
    asked = iter([False, True])

    pruned = prune(rows.NOW, stop=lambda: next(asked, True))

    assert pruned.payloads == 2
    assert Event.objects.exclude(body="").count() == 3


def test_a_bar_shows_how_far_it_is(monkeypatch, settings):
    monkeypatch.setattr("tms_webhooks.outbox.prune.PRUNE_BATCH", 2)
    webhook = subscribed()
    for _ in range(3):
        rows.event(webhook, timedelta(days=40))
    terminal = Terminal(is_terminal=True)
    monkeypatch.setattr(webhooks_prune.sys, "stderr", terminal)

    prune(rows.NOW, progress=webhooks_prune.progress_bar(rows.NOW))

    assert terminal.written.startswith(f"\r[{'.' * 30}] 0 of 3\r[{'#' * 20}{'.' * 10}] 2 of 3\r[{'#' * 30}] 3 of 3")
