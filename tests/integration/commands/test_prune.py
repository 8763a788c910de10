"""``manage.py webhooks_drain --once prune``: the same as the scheduled task, and a count before it."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from tests.integration.commands.terminal import Terminal
from tests.integration.delivery.rows import subscribed
from tests.integration.prune import rows
from tms_webhooks.management import process
from tms_webhooks.models import Event
from tms_webhooks.outbox.prune import prune


def test_a_dry_run_counts_and_a_run_prunes(capsys):
    Event.objects.all().delete()
    rows.event(subscribed(), rows.NOW - timezone.now() + timedelta(days=40))

    call_command("webhooks_drain", "--once", "prune", "--dry-run")
    assert (
        capsys.readouterr().out
        == "It would prune 1 payloads, 0 attempts, 0 events, 0 occurrences, 0 hours, 0 answers, "
        "0 notifications.\n"
    )
    assert Event.objects.get().body

    call_command("webhooks_drain", "--once", "prune", "--json")
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
        rows.event(webhook, rows.NOW - timezone.now() + timedelta(days=40))
    terminal = Terminal(is_terminal=True)
    monkeypatch.setattr(process.sys, "stderr", terminal)

    call_command("webhooks_drain", "--once", "prune")

    assert terminal.written.startswith(f"\r[{'.' * 30}] 0 of 3\r[{'#' * 20}{'.' * 10}] 2 of 3\r[{'#' * 30}] 3 of 3")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--dry-run"], "--dry-run needs --once."),
        (["--source", "training.Voucher"], "--source and --batch need --once reconcile."),
        (["--once", "prune", "--batch", "7"], "--source and --batch need --once reconcile."),
        (["--once", "prune", "--until-idle"], "--once prune delivers nothing; leave out --until-idle and --seconds."),
        (["--once", "sweep"], "invalid choice: 'sweep'"),
    ],
)
def test_options_that_do_not_go_together_are_refused(arguments, expected):
    with pytest.raises(CommandError, match=expected) as refused:
        call_command("webhooks_drain", *arguments)

    assert refused.value.returncode in (1, 2)
