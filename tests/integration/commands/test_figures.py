"""The figures of ``manage.py webhooks_health``: a table for people, JSON for the rest."""

import contextlib
import json
from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from tests.integration.delivery.rows import set_aside, subscribed, write_delivery, write_event
from tms_webhooks.choices import AttemptResult
from tms_webhooks.models import DeliveryAttempt, DeliveryTotal, OwnerlessObject
from tms_webhooks.models.total import CountedAttempt


@pytest.fixture
def status(capsys):
    """Run the command; return what it printed: the figures without the verdict, or all of it as JSON."""

    def run(*arguments):
        with contextlib.suppress(SystemExit):
            call_command("webhooks_health", *arguments)
        printed = capsys.readouterr().out
        return printed if "--json" in arguments else printed.partition("\n\n")[2]

    return run


def delivered(webhook, *, ms=120):
    now = timezone.now()
    delivery = write_delivery(webhook, now=now, status="delivered", due_at=None, finished_at=now, attempts=1, charged=1)
    DeliveryAttempt.objects.create(delivery=delivery, number=1, started_at=now, duration_ms=ms, status_code=200)
    DeliveryTotal.objects.addition([CountedAttempt(webhook.pk, now, AttemptResult.DELIVERED, ms)])()
    return delivery


def test_a_table_of_all_webhooks(status):
    crm = subscribed(name="CRM", served_at=timezone.now())
    subscribed(name="Data warehouse of the whole company", enabled=False)
    delivered(crm)
    write_delivery(crm, now=timezone.now() - timedelta(minutes=5))
    write_event(crm.organization)
    set_aside(crm.organization, now=timezone.now() - timedelta(minutes=7))

    lines = status().splitlines()

    assert lines[0] == "Deliveries open    1, 0 of them with a worker"
    assert lines[1] == "Oldest due         5 min"
    assert lines[2].startswith("Events to fan out  1, the oldest ")
    assert lines.pop(4) == "Events set aside   1, the oldest 7 min"
    assert lines[4] == ""
    assert lines[5].split() == ["id", "name", "health", "open", "due", "for", "24", "h", "ok", "p50", "p95"]
    assert lines[6].split() == f"{crm.pk} CRM healthy 1 5 min 1 100.0 % 120 ms 156 ms".split()
    assert "Data warehouse of the whole c…  disabled " in lines[7]
    assert lines[7].split()[-5:] == ["-", "0", "-", "-", "-"]
    assert (
        len({text.index(word) for text, word in zip(lines[5:8], ("health", "healthy", "disabled"), strict=True)}) == 1
    )
    assert lines[8:] == ["", "No worker delivers now. Start one: webhooks_drain"]


def last_lines(text):
    """Return the lines about webhooks that need attention."""
    return text.rpartition("\n\n")[2].splitlines()


def test_a_webhook_that_needs_attention_is_named_with_the_reason_and_the_next_step(status, worker):
    now = datetime(2100, 1, 2, 3, 4, 5, tzinfo=UTC)
    until = f"{now:%Y-%m-%d %H:%M:%S} UTC"
    failed = {"failures": 5, "failing_since": now, "failed_with": "timeout"}
    failing = subscribed(name="Failing", failures=2, failing_since=now, failed_with="500")
    for result in ("exhausted", "failed", "delivered"):
        write_delivery(failing, now=now, status=result, due_at=None, given_up_at=timezone.now())
    paused = subscribed(name="Paused", paused_until=now, pauses=1, **failed)
    gone = subscribed(name="Gone", enabled=False, disabled_reason="gone", disabled_at=now)
    subscribed(name="By hand", enabled=False)
    delivered(subscribed(name="Healthy"))

    assert last_lines(status()) == [
        f"webhook {gone.pk} 'Gone': The receiver answered 410 Gone: it does not want more requests. "
        f"It has received no events since {until}. New events are kept as skipped. After you enable the webhook, send the "
        f"missed events. To send them: webhooks_replay missed --webhook {gone.pk}",
        f"webhook {paused.pk} 'Paused': 5 attempts in a row have failed since {until}, the last: Timed out. "
        f"The webhook is paused: until {until} only retries that come due are sent, one at a time. Then one new request "
        f"tests the receiver. Queued deliveries are kept until then. To try its deliveries now: webhooks_replay now --webhook {paused.pk}; webhooks_drain sends them",
        f"webhook {failing.pk} 'Failing': 2 attempts in a row have failed since {until}, the last: HTTP 500. In the last "
        "24 hours 2 deliveries were given up and not delivered since. In the last 24 hours 1 delivery was given up and "
        f"delivered since. The attempts: webhooks_tail --webhook {failing.pk}",
    ]


def test_a_webhook_that_a_user_disabled_is_named_if_it_is_asked_for(status, worker):
    webhook = subscribed(name="By hand", enabled=False)

    line = last_lines(status("--webhook", str(webhook.pk)))[-1]

    assert line.startswith(f"webhook {webhook.pk} 'By hand': No reason was recorded. New events are kept as skipped. ")


def test_nothing_there_is_no_table(status):
    assert status() == (
        "Deliveries open    0, 0 of them with a worker\n"
        "Oldest due         -\n"
        "Events to fan out  0, the oldest -\n"
        "First attempt      - p50, - p95 after the event (0 in this hour and the last)\n"
    )


def test_secrets_and_headers_are_not_in_it(status):
    subscribed(headers="Authorization=Basic hunter2")

    for arguments in ((), ("--json",)):
        text = status(*arguments)
        assert "hunter2" not in text
        assert "whsec_" not in text


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--webhook", "77"], "Webhook 77 does not exist"),
        (["--organization", "77"], "Organization 77 does not exist"),
        (["--organization", "ACME"], "Organization ACME does not exist"),
        (["--webhook", "CRM"], "is not an id, such as 31 or whk_…"),
        (["--webhook", "1", "--organization", "1"], "not allowed with argument"),
    ],
)
def test_what_does_not_exist_is_refused(arguments, message):
    with pytest.raises(CommandError, match=message):
        call_command("webhooks_health", *arguments)


@pytest.mark.parametrize("delivered, text", [(1999, "99.9 %"), (0, "0.0 %")])
def test_a_rate_is_never_rounded_up(status, delivered, text):
    webhook, now = subscribed(), timezone.now()
    results = [AttemptResult.DELIVERED] * delivered + [AttemptResult.RETRIED]
    DeliveryTotal.objects.addition([CountedAttempt(webhook.pk, now, result, 12) for result in results])()

    assert f"  {text}" in status()


def test_objects_that_wait_for_an_organization_are_counted(status):
    now = timezone.now()
    for key in "12":
        OwnerlessObject.objects.create(source="training.TrainingClass:Classes", key=key, since=now, checked_at=now)
    webhook = subscribed()

    assert "No organization    2 objects, whose events wait for one" in status().splitlines()
    assert json.loads(status("--json"))["ownerless"] == 2
    assert "No organization" not in status("--webhook", str(webhook.pk))
