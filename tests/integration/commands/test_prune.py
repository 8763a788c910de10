"""``manage.py webhooks_drain --once prune``: the same as the scheduled task, and a count before it."""

import json
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from tests.integration.delivery.rows import subscribed
from tests.integration.prune import rows
from tms_webhooks.models import Event


def test_a_dry_run_counts_and_a_run_prunes(capsys):
    Event.objects.all().delete()
    rows.event(subscribed(), rows.NOW - timezone.now() + timedelta(days=40))

    call_command("webhooks_drain", "--once", "prune", "--dry-run")
    assert (
        capsys.readouterr().out
        == "It would prune 1 payloads, 0 attempts, 0 events, 0 occurrences, 0 hours, 0 answers, "
        "0 notifications, 0 audit.\n"
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
        "audit": 0,
    }
    assert not Event.objects.get().body


@pytest.mark.parametrize(
    "arguments, expected",
    [
        (["--once", "reconcile", "--dry-run"], "--dry-run needs --once prune."),
        (["--once", "prune", "--until-idle"], "--once prune delivers nothing; leave out --until-idle and --seconds."),
        (["--once", "sweep"], "invalid choice: 'sweep'"),
    ],
)
def test_options_that_do_not_go_together_are_refused(arguments, expected):
    with pytest.raises(CommandError, match=expected) as refused:
        call_command("webhooks_drain", *arguments)

    assert refused.value.returncode in (1, 2)
