"""``manage.py webhooks_replay``: a job, its count before it, and what can't be."""

import json
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from tests.integration.delivery.rows import subscribed, write_delivery
from tms_webhooks.models import Event, Job


@pytest.fixture
def replay(capsys):
    """Run the command; return what it printed."""

    def run(*arguments):
        call_command("webhooks_replay", *map(str, arguments))
        return capsys.readouterr().out

    return run


def failed(webhook):
    now = timezone.now()
    delivery = write_delivery(webhook, now=now, status="exhausted", due_at=None, attempts=1, charged=1, finished_at=now)
    Event.objects.filter(pk=delivery.event_id).update(occurred_at=now - timedelta(hours=1))
    return delivery


@pytest.fixture
def arguments():
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


@pytest.mark.parametrize(
    "arguments, expected",
    [
        ([], "arguments are required: kind, --webhook"),
        (["failed", "--webhook", "987654", "--since", "1d"], "Webhook 987654 does not exist"),
        (["failed", "--webhook", "{webhook}"], "^since is missing; a recovery"),
        (
            ["failed", "--webhook", "{webhook}", "--since", "20d"],
            "^since is 20.0 days before the end of the range; the longest range is 14 days",
        ),
        (["failed", "--webhook", "{webhook}", "--since", "20d", "--dry-run"], "the longest range is 14 days"),
        (["failed", "--webhook", "{webhook}", "--since", "1h", "--until", "2h"], "not before until"),
        (["failed", "--webhook", "{webhook}", "--since", "2026-11-24T15:00"], "has no time zone"),
        (["failed", "--webhook", "{webhook}", "--since", "yesterday"], "nor an age such as 12h or 3d"),
        (["everything", "--webhook", "{webhook}"], "invalid choice: 'everything'"),
    ],
)
def test_an_invalid_request_is_reported_and_starts_nothing(arguments, expected):
    webhook = subscribed()

    with pytest.raises(CommandError, match=expected):
        call_command("webhooks_replay", *(text.format(webhook=webhook.pk) for text in arguments))

    assert not Job.objects.exists()
