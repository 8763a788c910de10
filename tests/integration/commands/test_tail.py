"""``manage.py webhooks_tail``: the log, once each, in words and as JSON."""

import json
from contextlib import nullcontext

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from tests.integration.delivery.rows import subscribed, write_delivery
from tms_webhooks.management.commands import webhooks_tail
from tms_webhooks.models import DeliveryAttempt


def attempt(webhook, **values):
    now = timezone.now()
    delivery = write_delivery(webhook, now=now, attempts=1, charged=1, status="waiting")
    return DeliveryAttempt.objects.create(
        **{
            "delivery": delivery,
            "number": 1,
            "started_at": now,
            "duration_ms": 42,
            "status_code": 500,
            "error_class": "http_status",
            "response_body": "Alice's answer",
            "next_delay": 5.0,
            "delay_reason": "schedule",
            **values,
        }
    )


def test_a_line_has_the_result_of_an_attempt(capsys):
    webhook = subscribed(name="CRM")
    made = attempt(webhook)
    attempt(subscribed(name="Other"))

    call_command("webhooks_tail", "--webhook", str(webhook.pk))

    (line,) = capsys.readouterr().out.splitlines()
    event = made.delivery.event.public_id
    assert line[12:] == (
        f"  500  42 ms  class.cancelled  {event}  -> CRM ({webhook.pk})  attempt 1, next in 5 s (schedule)"
    )


def test_an_attempt_without_an_answer_has_its_message(capsys):
    attempt(subscribed(), status_code=None, error_class="connection_refused", message="10.0.0.5: connection refused")

    call_command("webhooks_tail")

    (line,) = capsys.readouterr().out.splitlines()
    assert line.endswith("attempt 1, next in 5 s (schedule): 10.0.0.5: connection refused")


def test_where_nothing_was_sent_it_says_so_and_whether_a_worker_runs(capsys):
    call_command("webhooks_tail")

    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == "No attempts yet. No worker delivers now. Start one: webhooks_drain\n"


def test_json_has_the_facts_and_no_answer(capsys):
    made = attempt(subscribed(), number=None, status_code=None, error_class="timeout", next_delay=None)

    call_command("webhooks_tail", "--organization", str(made.delivery.webhook.organization_id), "--json")

    printed = capsys.readouterr().out
    facts = json.loads(printed)
    assert (facts["attempt"], facts["status"], facts["error"]) == (None, None, "timeout")
    assert "Alice" not in printed


def test_the_newest_come_last_and_no_more_than_asked_for(capsys):
    webhook = subscribed()
    made = [attempt(webhook) for _ in range(3)]

    call_command("webhooks_tail", "--lines", "2", "--json")

    printed = [json.loads(line)["delivery"] for line in capsys.readouterr().out.splitlines()]
    assert printed == [one.delivery_id for one in made[1:]]


@pytest.mark.parametrize(
    "arguments, expected",
    [
        (["--webhook", "987654"], "Webhook 987654 does not exist."),
        (["--organization", "nobody"], "Organization nobody does not exist. Write its primary key."),
        (["--lines", "-1"], "'-1' is not a whole number from 0 up"),
    ],
)
def test_bad_input_is_named(arguments, expected):
    with pytest.raises(CommandError, match=expected):
        call_command("webhooks_tail", *arguments)


def test_later_attempts_follow_once_each_also_those_with_an_earlier_key(capsys, monkeypatch):
    webhook = subscribed()
    early, first = attempt(webhook), attempt(webhook)
    DeliveryAttempt.objects.filter(pk=early.pk).delete()
    attempts = iter([[early, attempt], [attempt], []])

    class Stop:
        def wait(self, _seconds):
            made = next(attempts)
            for one in made:
                # With a key from before: its transaction is committed later.
                attempt(webhook, pk=early.pk) if one is early else attempt(subscribed(name="Other"))
                if one is attempt:
                    attempt(webhook)
            return not made

    monkeypatch.setattr(webhooks_tail, "stop_on_signal", lambda: nullcontext(Stop()))

    call_command("webhooks_tail", "--webhook", str(webhook.pk), "--follow", "--json")

    printed = [json.loads(line)["webhook"] for line in capsys.readouterr().out.splitlines()]
    assert printed == [webhook.pk] * 4
    assert first.pk > early.pk
