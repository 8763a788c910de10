"""``webhooks_drain --until-idle`` counts what was not delivered, and exits with 1 if a request failed."""

import json
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.utils import timezone

from example_project.training.factories import TrainingClassFactory
from tests.factories import WebhookFactory
from tests.integration.delivery.rows import write_delivery, write_event
from tests.receiver import Answer
from tms_webhooks.choices import HoldReason, JobKind, JobStatus
from tms_webhooks.manage.jobs import start as start_job
from tms_webhooks.management.base import stop_reason
from tms_webhooks.management.commands.webhooks_health import duration
from tms_webhooks.models import Job

NOT_SOON = timedelta(hours=1)


@pytest.fixture
def drain(capsys):
    """Run the command until nothing is due; return its exit status and its lines."""

    def drain(*arguments):
        status = 0
        try:
            call_command("webhooks_drain", "--until-idle", *arguments)
        except SystemExit as ended:
            status = int(str(ended))
        return status, capsys.readouterr().out.splitlines()

    return drain


def crm(receiver, **values):
    return WebhookFactory(name="CRM", url=f"{receiver.url}?key=hidden", **values)


def test_a_run_that_delivers_everything_exits_with_0(drain, receiver):
    write_delivery(crm(receiver), now=timezone.now())

    assert drain() == (0, ["Events fanned out: 0. Requests sent: 1, delivered: 1."])


def test_a_replay_and_a_snapshot_that_users_have_started_are_done(drain, receiver):
    now = timezone.now()
    webhook, other = crm(receiver, events=["class.*"]), crm(receiver, events=["organization.*", "class.*"])
    write_delivery(webhook, now=now, status="exhausted", due_at=None, attempts=1, charged=1, finished_at=now)
    TrainingClassFactory(organization=other.organization)
    start_job(JobKind.RECOVER, webhook, now=now, since=now - timedelta(days=7), requested_by="test")
    start_job(JobKind.SNAPSHOT, other, nouns=["class"], now=now)

    status, (counts,) = drain()

    assert (status, [job.status for job in Job.objects.all()]) == (0, [JobStatus.FINISHED] * 2)
    # The failed delivery, the class, its creation, and the end of the snapshot.
    assert counts.endswith("Requests sent: 4, delivered: 4.")


def test_what_failed_and_what_waits_is_counted_with_the_commands_that_give_the_reasons(drain, receiver):
    receiver.respond = lambda request: Answer(500, {"x-hidden": "hidden"}, b"hidden")
    webhook = crm(receiver, headers="Authorization=hidden")
    for _ in range(2):
        write_delivery(webhook, now=timezone.now())

    assert drain() == (
        1,
        [
            "Events fanned out: 0. Requests sent: 2, delivered: 0.",
            "  2 requests failed: webhooks_tail shows the attempts.",
            "  2 deliveries wait: webhooks_tail shows when retries are due, and webhooks_health the webhooks that get nothing.",
        ],
    )


def test_deliveries_of_a_held_webhook_are_sent_by_the_two_commands_that_health_names(drain, receiver):
    now = timezone.now()
    webhook = crm(receiver, held_until=now + NOT_SOON, hold_reason=HoldReason.RETRY_AFTER)
    write_delivery(webhook, now=now)
    status, (_counts, line) = drain()
    assert (status, receiver.received) == (0, [])
    assert line.startswith("  1 delivery waits: ")
    reason, remedy = stop_reason(webhook, now)
    assert "because the receiver asked for it with 429 or Retry-After" in reason
    assert remedy.endswith(f"webhooks_replay now --webhook {webhook.pk}; webhooks_drain sends them")

    call_command("webhooks_replay", "now", "--webhook", str(webhook.pk))

    status, lines = drain()
    assert (status, lines[-1]) == (0, "Events fanned out: 0. Requests sent: 1, delivered: 1.")
    assert len(receiver.received) == 1


@pytest.mark.parametrize("fields", [{"enabled": False, "events": ["class.*"]}, {"events": ["user.*"]}])
def test_an_event_for_which_nothing_is_sent_is_said(drain, receiver, fields):
    write_event(crm(receiver, **fields).organization)

    _status, (_counts, line) = drain()

    assert line.startswith("  No enabled webhook matches these events, by subscription, filters and audience.")


def test_with_seconds_json_counts_what_waits_and_the_exit_status_is_0(capsys, receiver):
    receiver.respond = lambda request: Answer(500)
    write_delivery(crm(receiver), now=timezone.now())

    call_command("webhooks_drain", "--seconds", "0.3", "--no-timer", "--json")

    assert json.loads(capsys.readouterr().out) == {"events": 0, "sent": 1, "delivered": 0, "waiting": 1}


@pytest.mark.parametrize(
    "seconds, text", [(None, "-"), (0.25, "250 ms"), (4.96, "5.0 s"), (61.0, "61 s"), (7_200.0, "2 h")]
)
def test_durations(seconds, text):
    assert duration(seconds) == text
