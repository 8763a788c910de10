"""``manage.py webhooks_replay``: a job, its count before it, its progress, and what can't be."""

from __future__ import annotations

import json
import threading
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from tests.integration.commands.terminal import Terminal
from tests.integration.delivery.rows import subscribed, write_delivery
from tms_webhooks.choices import AuditAction, JobStatus
from tms_webhooks.management import jobs
from tms_webhooks.management.commands.webhooks_replay import Command
from tms_webhooks.management.process import progress_bar
from tms_webhooks.models import AuditEntry, Delivery, Event, Job


@pytest.fixture
def replay(capsys):
    """Run the command; return what it printed."""

    def run(*arguments: object) -> str:
        call_command("webhooks_replay", *map(str, arguments))
        return capsys.readouterr().out

    return run


def failed(webhook) -> Delivery:
    now = timezone.now()
    delivery = write_delivery(webhook, now=now, status="exhausted", due_at=None, attempts=1, charged=1, finished_at=now)
    Event.objects.filter(pk=delivery.event_id).update(occurred_at=now - timedelta(hours=1))
    return delivery


@pytest.fixture
def arguments() -> list[object]:
    """The arguments of a recovery of one delivery."""
    webhook = subscribed()
    failed(webhook)
    return ["failed", "--webhook", webhook.pk, "--since", "2h"]


def test_a_dry_run_counts_and_changes_nothing(replay, arguments):
    assert replay(*arguments, "--dry-run") == "1 delivery matches; nothing was changed.\n"
    assert not Job.objects.exists()


def test_the_line_about_a_job_says_how_to_follow_it_and_that_no_worker_runs(capsys, arguments):
    call_command("webhooks_replay", *map(str, arguments))

    printed = capsys.readouterr()
    job = Job.objects.get()
    assert job.requested_by == "webhooks_replay"
    assert printed.out == f"Job {job.pk} has started: 1 delivery. The admin shows its progress under Jobs.\n"
    assert printed.err == "No worker delivers now. Start one: webhooks_drain\n"


def test_a_job_without_deliveries_says_what_to_check(replay):
    printed = replay("failed", "--webhook", subscribed().pk, "--since", "2h")

    assert printed.endswith("has started: 0 deliveries. None matches: check the webhook and the time range.\n")


def test_the_facts_of_a_job_are_printed_as_json(replay, arguments):
    facts = json.loads(replay(*arguments, "--json"))

    assert facts == {"job": Job.objects.get().pk, "deliveries": 1, "status": "pending"}


def test_waiting_ends_with_the_job(replay, monkeypatch, arguments):
    class Worker:
        def wait(self, seconds: float) -> bool:
            Job.objects.get().advance(position=1, done=1)
            Job.objects.get().finish(now=timezone.now())
            return False

    monkeypatch.setattr(jobs, "stop_on_signal", _given(Worker()))

    printed = replay(*arguments, "--wait")

    assert printed == f"Job {Job.objects.get().pk}: 1 of 1 delivery, finished.\n"


@pytest.mark.parametrize(("done", "rest", "pronoun"), [(1, 2, "them"), (2, 1, "it")])
def test_deliveries_that_were_sent_as_usual_before_the_job_are_counted(done, rest, pronoun):
    facts = {"job": 11, "deliveries": 3, "done": done, "status": "finished", "error": "", "interrupted": False}

    assert Command().in_words(facts) == (
        f"Job 11: {done} of 3 deliveries, finished. {rest} no longer matched: before the job, a worker had sent {pronoun} as "
        f"usual, or a user had changed {pronoun}."
    )
    failed = Command().in_words({**facts, "status": "failed", "error": "The webhook is disabled."})
    assert failed == f"Job 11: {done} of 3 deliveries, failed. The webhook is disabled."


def test_a_signal_ends_the_waiting_and_not_the_job(monkeypatch, capsys, arguments):
    stopped = threading.Event()
    stopped.set()
    monkeypatch.setattr(jobs, "stop_on_signal", _given(stopped))

    with pytest.raises(SystemExit) as ended:
        call_command("webhooks_replay", *map(str, arguments), "--wait")

    assert ended.value.code == 1
    assert capsys.readouterr().out.endswith("pending. The workers continue it.\n")
    assert Job.objects.get().status == JobStatus.PENDING


def _given(stop):
    class Given:
        def __enter__(self):
            return stop

        def __exit__(self, *error: object) -> None:
            pass

    return Given


def test_one_delivery_is_sent_again(replay):
    delivery = failed(subscribed())

    assert replay("--delivery", delivery.pk, "--dry-run") == "1 delivery matches; nothing was changed.\n"
    assert Delivery.objects.get().status == "exhausted"
    assert replay("--delivery", delivery.pk) == f"Delivery {delivery.pk} is queued; the next worker sends it again.\n"
    assert Delivery.objects.get().status == "pending"
    assert AuditEntry.objects.get().action == AuditAction.DELIVERY_RESENT


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "Give failed, missed or now"),
        (["failed"], "failed needs --webhook"),
        (["failed", "--webhook", "987654", "--since", "1d"], "Webhook 987654 does not exist"),
        (["failed", "--webhook", "{webhook}"], "^--since is missing; a recovery"),
        (
            ["failed", "--webhook", "{webhook}", "--since", "20d"],
            "^--since is 20.0 days before the end of the range; the longest range is 14 days",
        ),
        (["failed", "--webhook", "{webhook}", "--since", "20d", "--dry-run"], "the longest range is 14 days"),
        (["failed", "--webhook", "{webhook}", "--since", "1h", "--until", "2h"], "not before until"),
        (["failed", "--webhook", "{webhook}", "--since", "2026-11-24T15:00"], "has no time zone"),
        (["failed", "--webhook", "{webhook}", "--since", "yesterday"], "nor an age such as 12h or 3d"),
        (["--delivery", "987654"], "Delivery 987654 does not exist"),
        (["everything", "--webhook", "{webhook}"], "invalid choice: 'everything'"),
    ],
)
def test_an_invalid_request_is_reported_and_starts_nothing(arguments, expected):
    webhook = subscribed()

    with pytest.raises(CommandError, match=expected):
        call_command("webhooks_replay", *(text.format(webhook=webhook.pk) for text in arguments))

    assert not Job.objects.exists()


@pytest.mark.parametrize(
    ("reason", "last"),
    [
        ("admin", "with enabled: true and webhooks_import."),
        ("gone", "A successful webhooks_test {pk} enables it, too."),
    ],
)
def test_for_a_disabled_webhook_the_ways_to_enable_it_are_named(reason, last):
    webhook = subscribed(enabled=False, disabled_reason=reason)

    with pytest.raises(CommandError) as refused:
        call_command("webhooks_replay", "missed", "--webhook", str(webhook.pk))

    text = str(refused.value)
    assert text.startswith(
        f"Webhook {webhook.public_id} is disabled; enable it first, or resend single deliveries. Enable it in the admin, "
        f"with POST webhooks/{webhook.public_id}/enable/ of the API, or with enabled: true and webhooks_import."
    )
    assert text.endswith(last.format(pk=webhook.pk))


def test_a_bar_is_drawn_on_a_terminal_alone(monkeypatch):
    terminal, file = Terminal(is_terminal=True), Terminal(is_terminal=False)
    for stream in (terminal, file):
        monkeypatch.setattr("sys.stderr", stream)
        with progress_bar(lambda: 4) as show:
            show(2)

    assert terminal.written == f"\r[{'.' * 30}] 0 of 4\r[{'#' * 15}{'.' * 15}] 2 of 4\n"
    assert file.written == ""
