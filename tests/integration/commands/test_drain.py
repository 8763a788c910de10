"""``webhooks_drain --until-idle`` says for each webhook why something was not delivered, and exits with 1 if a request failed."""

from __future__ import annotations

import json
import re
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.utils import timezone

from example_project.training.factories import TrainingClassFactory
from tests.factories import WebhookFactory
from tests.integration.delivery.rows import lease, write_delivery, write_event
from tests.receiver import Answer
from tms_webhooks.choices import DeliveryStatus, HoldReason, JobKind, JobStatus
from tms_webhooks.manage.jobs import start as start_job
from tms_webhooks.management.commands.webhooks_drain import report
from tms_webhooks.models import DeliveryAttempt, Job
from tms_webhooks.worker.drain import Tally

NOT_SOON = timedelta(hours=1)


@pytest.fixture
def drain(capsys):
    """Run the command until nothing is due; return its exit status and its lines."""

    def drain(*arguments: str) -> tuple[int, list[str]]:
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


def test_a_failed_request_is_named_with_its_result_and_the_next_attempt(drain, receiver):
    receiver.respond = lambda request: Answer(500, {"x-hidden": "hidden"}, b"hidden")
    webhook = crm(receiver, headers="Authorization=hidden")
    for _ in range(2):
        write_delivery(webhook, now=timezone.now())

    status, (counts, line) = drain()

    assert status == 1
    assert counts == "Events fanned out: 0. Requests sent: 2, delivered: 0."
    expected = (
        rf"  webhook {webhook.pk} 'CRM': 2 requests failed, 2 deliveries wait\. HTTP 500 Internal Server Error\. "
        r"The next one is due in \d\.\d s\. To try its deliveries now: .*"
    )
    assert re.fullmatch(expected, line), line


def test_a_delivery_that_is_given_up_is_named_with_the_command_that_sends_it_again(drain, receiver):
    webhook = WebhookFactory(name="Inside", url="https://10.0.0.5/hook?key=hidden")
    write_delivery(webhook, now=timezone.now())

    status, (_counts, line) = drain()

    assert status == 1
    assert line.startswith(
        f"  webhook {webhook.pk} 'Inside': 1 request failed. URL: '10.0.0.5' is a private address, which"
    )
    assert ". The settings decide which URLs are allowed: TMS_WEBHOOKS with ALLOWED_SCHEMES, " in line
    assert line.endswith(f"To send failed deliveries again: webhooks_replay failed --webhook {webhook.pk}")
    assert "hidden" not in line


@pytest.mark.parametrize(
    ("fields", "due", "leased", "expected"),
    [
        (
            {"paused_until": NOT_SOON, "failures": 4},
            0,
            0,
            r"4 attempts in a row have failed since -, the last: Other\. The webhook is paused: until [-0-9]+ [:0-9]+ UTC only .* To try its deliveries now: webhooks_replay now --webhook \d+; webhooks_drain sends them",
        ),
        (
            {"held_until": NOT_SOON, "hold_reason": HoldReason.RETRY_AFTER},
            0,
            0,
            r"The webhook is held until [-0-9]+ [:0-9]+ UTC because the receiver asked for it with Retry-After\. .*",
        ),
        ({}, 10_800, 0, r"The next one is due in 3 h\. To try its deliveries now: .*"),
        ({}, -1, 0, r"They wait for its rate limit, or for earlier events of the same objects\."),
        ({}, 0, 58.4, r"Held by another worker, for up to 58 s\. If that worker was killed, they are sent then\."),
    ],
)
def test_waiting_deliveries_are_named_with_the_reason(fields, due, leased, expected):
    now = timezone.now()
    newest = NewestRows.read()
    webhook = WebhookFactory(
        name="CRM", **{name: now + value if value is NOT_SOON else value for name, value in fields.items()}
    )
    if leased:
        lease(webhook, now + timedelta(seconds=leased), worker="killed")
    for _ in range(2):
        write_delivery(webhook, now=now, due_at=now + timedelta(seconds=due))

    (_counts, line) = report(Tally(0, 0, 0), undelivered(newest, now))

    assert re.fullmatch(rf"  webhook {webhook.pk} 'CRM': 2 deliveries wait\. {expected}", line), line


def test_deliveries_of_a_held_webhook_are_sent_by_the_two_commands_that_the_text_names(drain, receiver):
    now = timezone.now()
    webhook = crm(receiver, held_until=now + NOT_SOON, hold_reason=HoldReason.RETRY_AFTER)
    write_delivery(webhook, now=now)
    status, (_counts, line) = drain()
    assert (status, receiver.received) == (0, [])
    assert line.endswith(f"webhooks_replay now --webhook {webhook.pk}; webhooks_drain sends them")

    call_command("webhooks_replay", "now", "--webhook", str(webhook.pk))

    status, lines = drain()
    assert (status, lines[-1]) == (0, "Events fanned out: 0. Requests sent: 1, delivered: 1.")
    assert len(receiver.received) == 1


def test_the_event_of_a_disabled_webhook_is_named_with_the_command_that_sends_it_later(drain, receiver):
    webhook = crm(receiver, enabled=False, events=["class.*"])
    write_delivery(webhook, now=timezone.now(), status=DeliveryStatus.SKIPPED, due_at=None, finished_at=timezone.now())
    write_event(webhook.organization)

    assert drain() == (
        0,
        [
            "Events fanned out: 1. Requests sent: 0, delivered: 0.",
            f"  webhook {webhook.pk} 'CRM': 1 delivery was skipped. No reason was recorded. New events are kept as skipped. After "
            f"you enable the webhook, send the missed events. To send them: webhooks_replay missed --webhook {webhook.pk}",
        ],
    )


def test_an_event_without_a_subscription_is_named(drain, receiver):
    write_event(crm(receiver, events=["user.*"]).organization)

    _status, (_counts, line) = drain()

    assert line.startswith("  No webhook matches these events, by subscription, filters and audience.")


def test_with_seconds_a_failed_request_is_named_in_json_and_the_exit_status_is_0(capsys, receiver):
    receiver.respond = lambda request: Answer(500)
    webhook = crm(receiver)
    write_delivery(webhook, now=timezone.now())

    call_command("webhooks_drain", "--seconds", "0.3", "--no-timer", "--json")

    found = json.loads(capsys.readouterr().out)
    (failed,) = found["undelivered"]
    assert (found["sent"], found["delivered"]) == (1, 0)
    assert (failed["webhook"], failed["name"], failed["failed"], failed["waiting"]) == (webhook.pk, "CRM", 1, 1)
    assert failed["reason"].startswith("HTTP 500 Internal Server Error. The next one is due in ")


def test_a_run_without_an_end_counts_the_failed_requests_only():
    assert list(report(Tally(events=3, sent=5, delivered=3), [])) == [
        "Events fanned out: 3. Requests sent: 5, delivered: 3.",
        "  2 requests failed: webhooks_tail shows the attempts.",
    ]


def test_ten_webhooks_are_named_and_the_others_counted(django_assert_num_queries):
    newest, now = NewestRows.read(), timezone.now()
    for _ in range(12):
        delivery = write_delivery(WebhookFactory(), now=now, due_at=now + NOT_SOON)
        DeliveryAttempt.objects.create(
            delivery=delivery, number=1, started_at=now, duration_ms=1, error_class="timeout", next_delay=60.0
        )

    with django_assert_num_queries(4):
        found = undelivered(newest, now)

    lines = list(report(Tally(0, 12, 0), found))[1:]
    assert len(lines) == 11
    assert ": 1 request failed, 1 delivery waits. Timed out. The next one is due in 60 min. " in lines[0]
    assert lines[-1] == "  2 more webhooks: webhooks_health shows them, webhooks_tail the attempts."


def test_a_name_with_control_characters_does_not_reach_the_terminal(drain, receiver):
    webhook = crm(receiver)
    type(webhook).objects.filter(pk=webhook.pk).update(name="\x1b[2J")
    write_delivery(webhook, now=timezone.now(), due_at=timezone.now() + NOT_SOON)

    _status, (_counts, line) = drain()

    assert r"'\x1b[2J'" in line


@pytest.mark.parametrize(
    ("seconds", "text"), [(-1.0, "0 ms"), (0.25, "250 ms"), (4.96, "5.0 s"), (61.0, "61 s"), (7_200.0, "2 h")]
)
def test_durations(seconds, text):
    assert duration(seconds) == text
