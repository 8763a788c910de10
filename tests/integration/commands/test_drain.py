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
from tms_webhooks.management.reasons import NewestRows, duration, waiting_deliveries
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


def test_no_job_is_run_without_the_timer(drain, receiver):
    webhook = crm(receiver, events=["class.*"])
    TrainingClassFactory(organization=webhook.organization)
    job = start_job(JobKind.SNAPSHOT, webhook, nouns=["class"], now=timezone.now())

    drain("--no-timer")

    job.refresh_from_db()
    assert job.status == JobStatus.PENDING


def test_a_failed_request_is_named_with_its_result_and_the_next_attempt(drain, receiver):
    receiver.respond = lambda request: Answer(500, {"x-hidden": "hidden"}, b"hidden")
    webhook = crm(receiver, headers="Authorization=hidden")
    for _ in range(2):
        write_delivery(webhook, now=timezone.now())

    status, (counts, line) = drain()

    assert status == 1
    assert counts == "Events fanned out: 0. Requests sent: 2, delivered: 0."
    expected = (
        rf"  2 requests failed: webhook {webhook.pk} 'CRM': HTTP 500 Internal Server Error; next attempt in \d\.\d s\."
    )
    assert re.fullmatch(expected, line), line


def test_results_of_a_webhook_are_separate_lines_the_most_frequent_first(drain, receiver):
    receiver.answers = [Answer(503), Answer(404), Answer(404)]
    webhook = crm(receiver, max_in_flight=1)
    for _ in range(3):
        write_delivery(webhook, now=timezone.now())

    _status, (_counts, first, second) = drain()

    assert first.startswith(f"  2 requests failed: webhook {webhook.pk} 'CRM': HTTP 404 Not Found;")
    assert second.startswith(f"  1 request failed: webhook {webhook.pk} 'CRM': HTTP 503 Service Unavailable;")


def test_a_delivery_that_is_given_up_is_named_with_the_command_that_sends_it_again(drain, receiver):
    webhook = WebhookFactory(name="Inside", url="https://10.0.0.5/hook?key=hidden")
    write_delivery(webhook, now=timezone.now())

    status, (_counts, line) = drain()

    assert status == 1
    assert line.startswith(
        f"  1 request failed: webhook {webhook.pk} 'Inside': URL: '10.0.0.5' is a private address, which"
    )
    assert "; given up. The settings decide which URLs are allowed: TMS_WEBHOOKS with ALLOWED_SCHEMES, " in line
    assert line.endswith(f"To send them again: webhooks_replay failed --webhook {webhook.pk}")
    assert "hidden" not in line


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (
            {"paused_until": NOT_SOON, "failures": 4},
            r"4 attempts in a row have failed since -, the last: Other\. The webhook is paused: until [-0-9]+ [:0-9]+ UTC only .* To try its deliveries now: ",
        ),
        (
            {"held_until": NOT_SOON, "hold_reason": HoldReason.RETRY_AFTER},
            r"The webhook is held until [-0-9]+ [:0-9]+ UTC because the receiver asked for it with Retry-After\. .* To try its deliveries now: ",
        ),
        (
            {"held_until": NOT_SOON, "hold_reason": HoldReason.KEYS},
            r"The webhook is held until [-0-9]+ [:0-9]+ UTC because no encryption key decrypts its secrets\. The operator has to put the key back and restart the workers\. "
            r".* To try its deliveries now: webhooks_replay now --webhook \d+; webhooks_drain sends them$",
        ),
    ],
)
def test_deliveries_of_a_webhook_that_gets_no_requests_are_named_with_the_reason(drain, receiver, fields, expected):
    now = timezone.now()
    webhook = crm(receiver, **{name: now + value if value is NOT_SOON else value for name, value in fields.items()})
    for _ in range(2):
        write_delivery(webhook, now=now)

    status, (_counts, line) = drain()

    assert status == 0
    assert re.match(rf"  2 deliveries wait: webhook {webhook.pk} 'CRM': {expected}", line), line
    assert receiver.received == []


def test_deliveries_of_a_held_webhook_are_sent_by_the_two_commands_that_the_text_names(drain, receiver):
    now = timezone.now()
    webhook = crm(receiver, held_until=now + NOT_SOON, hold_reason=HoldReason.RETRY_AFTER)
    write_delivery(webhook, now=now)
    _status, (_counts, line) = drain()
    assert line.endswith(f"webhooks_replay now --webhook {webhook.pk}; webhooks_drain sends them")

    call_command("webhooks_replay", "now", "--webhook", str(webhook.pk))

    status, lines = drain()
    assert (status, lines[-1]) == (0, "Events fanned out: 0. Requests sent: 1, delivered: 1.")
    assert len(receiver.received) == 1


def test_a_delivery_that_is_not_due_is_named_with_its_time(drain, receiver):
    webhook = crm(receiver)
    write_delivery(webhook, now=timezone.now(), due_at=timezone.now() + timedelta(hours=3))

    assert drain() == (
        0,
        [
            "Events fanned out: 0. Requests sent: 0, delivered: 0.",
            f"  1 delivery waits: webhook {webhook.pk} 'CRM': the next one is due in 3 h. To try its deliveries now: "
            f"webhooks_replay now --webhook {webhook.pk}; webhooks_drain sends them",
        ],
    )


def test_a_delivery_that_waits_for_an_earlier_one_is_named(receiver):
    now = timezone.now()
    webhook = crm(receiver, ordered=True)
    write_delivery(webhook, now=now, due_at=now - timedelta(seconds=1))

    (found,) = waiting_deliveries(now=now, retried={}).named

    assert found.reason == "they wait for its rate limit, or for earlier events of the same objects"


def test_deliveries_that_a_killed_worker_still_holds_are_named(drain, receiver):
    webhook, now = crm(receiver), timezone.now()
    lease(webhook, now + timedelta(seconds=58.4), worker="killed")
    write_delivery(webhook, now=now)
    write_delivery(webhook, now=now)

    status, (_counts, line) = drain()
    _status, (facts,) = drain("--json")

    assert status == 0
    expected = (
        rf"  2 deliveries wait: webhook {webhook.pk} 'CRM': held by another worker, for up to 5[78] s\. "
        r"If that worker was killed, they are sent then\."
    )
    assert re.fullmatch(expected, line), line
    assert [one["count"] for one in json.loads(facts)["waiting"]] == [2]
    assert receiver.received == []


def test_the_event_of_a_disabled_webhook_is_named_with_the_command_that_sends_it_later(drain, receiver):
    webhook = crm(receiver, enabled=False, events=["class.*"])
    write_delivery(webhook, now=timezone.now(), status=DeliveryStatus.SKIPPED, due_at=None, finished_at=timezone.now())
    write_event(webhook.organization)

    assert drain() == (
        0,
        [
            "Events fanned out: 1. Requests sent: 0, delivered: 0.",
            f"  1 delivery was skipped: webhook {webhook.pk} 'CRM': Disabled. New events are kept as skipped. After you enable the "
            f"webhook, send the missed events. To send them: webhooks_replay missed --webhook {webhook.pk}",
        ],
    )


def test_an_event_without_a_subscription_is_named(drain, receiver):
    write_event(crm(receiver, events=["user.*"]).organization)

    _status, (_counts, line) = drain()

    assert line.startswith("  No webhook matches these events, by subscription, filters and audience.")


def test_json_has_the_same_reasons(drain, receiver):
    receiver.respond = lambda request: Answer(500)
    webhook = crm(receiver)
    write_delivery(webhook, now=timezone.now())

    status, (line,) = drain("--json")

    found = json.loads(line)
    (failed,) = found["failed"]
    assert status == 1
    assert (found["sent"], found["delivered"], found["waiting"], found["skipped"]) == (1, 0, [], [])
    assert (failed["webhook"], failed["name"], failed["count"]) == (webhook.pk, "CRM", 1)
    assert failed["reason"].startswith("HTTP 500 Internal Server Error; next attempt in ")


def test_with_seconds_a_failed_request_is_named_and_the_exit_status_is_0(capsys, receiver):
    receiver.respond = lambda request: Answer(500)
    write_delivery(crm(receiver), now=timezone.now())

    call_command("webhooks_drain", "--seconds", "0.3", "--no-timer")

    assert "  1 request failed: webhook " in capsys.readouterr().out


def test_a_run_without_an_end_counts_the_failed_requests_only():
    assert list(report(Tally(events=3, sent=5, delivered=3), {})) == [
        "Events fanned out: 3. Requests sent: 5, delivered: 3.",
        "  2 requests failed: webhooks_tail shows the attempts.",
    ]


def test_ten_reasons_are_named_and_the_others_counted(django_assert_num_queries):
    newest, now = NewestRows.read(), timezone.now()
    for _ in range(12):
        delivery = write_delivery(WebhookFactory(), now=now, due_at=now + NOT_SOON)
        DeliveryAttempt.objects.create(
            delivery=delivery, number=1, started_at=now, duration_ms=1, error_class="timeout", next_delay=60.0
        )

    with django_assert_num_queries(4):
        found = newest.undelivered(now)

    lines = list(found["failed"].lines("request failed", "requests failed"))
    assert len(lines) == 11
    assert lines[0].endswith("Timed out; next attempt in 60 min.")
    assert lines[-1] == "2 more reasons: webhooks_health shows the webhooks, webhooks_tail the attempts."
    # They wait for their next attempt, and for nothing else.
    assert (found["waiting"].named, found["skipped"].named) == ([], [])
    with django_assert_num_queries(2):
        waiting = waiting_deliveries(now=now, retried={})
    assert (len(waiting.named), waiting.others) == (10, 2)


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


def test_attempts_before_the_run_are_not_named(drain, receiver):
    receiver.answers = [Answer(500)]
    webhook = crm(receiver)
    write_delivery(webhook, now=timezone.now())
    drain()

    status, lines = drain()

    assert status == 0
    assert "failed" not in "".join(lines)
