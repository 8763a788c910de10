"""``manage.py webhooks_replay``: a job, its count before it, and what can't be."""

import json
from datetime import timedelta
from unittest import mock

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from tests.integration.delivery.rows import set_aside, stored, subscribed, write_delivery
from tms_webhooks.models import Event, Job
from tms_webhooks.outbox.wake import waker


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


def test_events_that_are_set_aside_are_tried_again(replay, monkeypatch, django_capture_on_commit_callbacks):
    woken = mock.Mock()
    monkeypatch.setattr(waker, "wake", woken)
    event = set_aside(subscribed().organization, now=timezone.now())

    assert replay("set-aside", "--dry-run") == "1 event to try again.\n"
    assert Event.objects.set_aside().get() == event
    with django_capture_on_commit_callbacks(execute=True):
        assert replay("set-aside") == "1 event will be tried again.\n"

    assert stored(event, "fanned_out_at") is None
    assert woken.call_count == 1
    assert json.loads(replay("set-aside", "--json")) == {"events": 0}


@pytest.mark.parametrize(
    "arguments, expected",
    [
        ([], "arguments are required: kind"),
        (["now"], "^--webhook is required for the kind 'now'"),
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
