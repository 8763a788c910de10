"""``manage.py webhooks_health``: the exit status says whether anybody delivers."""

import json
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from tests.integration.delivery.rows import set_aside, subscribed, write_delivery
from tests.integration.delivery.trouble import Trouble
from tms_webhooks.db import clock
from tms_webhooks.models import DeliveryAttempt, DrainSlot, PeriodicRun, Webhook, WebhookState


@pytest.fixture(autouse=True)
def _stopped_clock(monkeypatch):
    """Stop the clock of the command, by which the tests write rows: a busy machine takes seconds until it is asked."""
    moment = timezone.now()
    monkeypatch.setattr(clock, "measured_now", lambda: moment)


@pytest.fixture
def _django_q(settings_of_app):
    settings_of_app(QUEUE="tms_webhooks.queues.django_q.DjangoQQueue")


@pytest.fixture
def health(capsys):
    """Run the command; return its exit status and what it printed before the figures."""

    def run(*arguments):
        status = 0
        try:
            call_command("webhooks_health", *arguments)
        except SystemExit as ending:
            status = int(str(ending))
        return status, capsys.readouterr().out.partition("\n\n")[0].rstrip("\n") + "\n"

    return run


def overdue(seconds):
    """Write a delivery that has been due for so long."""
    webhook = subscribed()
    moment = clock.measured_now() - timedelta(seconds=seconds)
    return write_delivery(webhook, now=moment)


def hold_slot(*, for_seconds=8.0):
    now = clock.measured_now()
    assert DrainSlot.objects.take(1, owner="drain", now=now, until=now + timedelta(seconds=for_seconds))


def held_before(seconds):
    """A slot that a drain took and never let go of, because it was killed or hangs."""
    DrainSlot.objects.create(number=1, owner="drain", held_until=clock.measured_now() - timedelta(seconds=seconds))


def test_all_is_well(health):
    overdue(5)
    hold_slot()

    assert health() == (0, "OK: nothing is late. 1 delivery open, 0 events to fan out, 1 drain running.\n")


def test_without_a_drain_for_90_seconds_health_is_the_worst_although_nothing_is_due(health):
    held_before(90)
    assert health()[0] == 0

    DrainSlot.objects.update(held_until=clock.measured_now() - timedelta(seconds=91))

    assert health() == (
        2,
        "STOPPED: Deliveries are not sent, because no worker has run a drain for 91 s. Run manage.py webhooks_drain "
        "under a supervisor that restarts it.\n",
    )


def test_a_wedged_cluster_is_seen_by_what_it_leaves_undone(health):
    delivery = overdue(300)
    held_before(290)

    status, text = health()

    assert status == 2
    assert text.startswith(
        f"STOPPED: A delivery of webhook {delivery.webhook_id} has been due for 300 s, and no worker delivers: "
        "no worker has run a drain for 290 s. Run manage.py webhooks_drain under a supervisor that restarts it."
    )


def attempt_now(delivery):
    DeliveryAttempt.objects.create(delivery=delivery, number=1, started_at=clock.measured_now(), duration_ms=1)


def test_a_slow_receiver_is_no_problem_of_the_operator(health):
    attempt_now(overdue(300))
    hold_slot()

    assert health()[0] == 0


def test_an_event_that_is_set_aside_is_for_the_same_day(health):
    hold_slot()
    event = set_aside(subscribed().organization, now=clock.measured_now(), error="TypeError")
    set_aside(subscribed().organization, now=clock.measured_now(), error="another error")

    assert health() == (
        1,
        "LATE: Events that are set aside, because their fan-out failed five times: 2. The first is "
        f"{event.public_id}: TypeError. Mend the cause, which the worker's log shows, then run: webhooks_replay set-aside.\n",
    )


def test_late_deliveries_of_three_organizations_although_drains_run_are_for_the_same_day(health):
    hold_slot()
    for _ in range(2):
        attempt_now(overdue(300))
    failing = overdue(300)
    attempt_now(failing)
    WebhookState.objects.filter(pk=failing.webhook_id).update(failures=1)
    assert health()[0] == 0

    WebhookState.objects.filter(pk=failing.webhook_id).update(failures=0)

    assert health() == (
        1,
        "LATE: Deliveries of 3 organizations are late, although drains run. Check their log; more drains "
        "(TMS_WEBHOOKS['DRAINS']) may help.\n",
    )


def test_a_due_delivery_that_no_drain_sends_is_the_worst(health):
    hold_slot()
    delivery = overdue(300)

    status, text = health()

    assert status == 2
    assert text.startswith(
        f"STOPPED: Webhooks whose due deliveries are not sent, although a drain runs: {delivery.webhook_id}. "
    )


@pytest.mark.parametrize("case", ["rate limit", "just due", "after a pause"])
def test_a_webhook_that_must_wait_is_no_problem(health, case):
    hold_slot()
    overdue(80 if case == "just due" else 300)
    if case == "rate limit":
        Webhook.objects.update(rate_limit_per_second=0.008)
    if case == "after a pause":
        WebhookState.objects.update(paused_until=clock.measured_now() - timedelta(seconds=1))

    assert health()[0] == 0


@pytest.fixture
def fail_at(settings_of_app):
    """Write attempts that ended so many seconds ago at the egress proxy, or with another result."""

    def fail_at(*seconds, error_class="proxy_error"):
        settings_of_app(PROXY_URL="http://alice:hunter2@proxy.internal:3128")
        now = timezone.now()
        for age in seconds:
            delivery = write_delivery(
                subscribed(), now=now, status="waiting", attempts=1, due_at=now + timedelta(hours=1)
            )
            values = {"started_at": now - timedelta(seconds=age), "duration_ms": 1, "error_class": error_class}
            DeliveryAttempt.objects.create(delivery=delivery, number=1, **values)

    return fail_at


def test_an_egress_proxy_that_opens_no_tunnel_is_named(health, fail_at):
    hold_slot()
    fail_at(1, 2, 110, 130)
    fail_at(0, error_class="dns_error")
    fail_at(125, error_class="")

    assert health() == (
        2,
        "STOPPED: The egress proxy proxy.internal:3128 opens no tunnel: the last 3 attempts failed. Deliveries wait and "
        "lose no retries. Check the proxy and TMS_WEBHOOKS['PROXY_URL']. Each delivery is tried again within 36 s.\n",
    )
    assert json.loads(health("--json")[1])["liveness"]["proxy_failures"] == 3


@pytest.mark.parametrize(
    "failed, others", [([1], []), ([1, 2, 3], [50]), ([130, 140], [])], ids=["one", "another came through", "old"]
)
def test_a_proxy_that_opens_tunnels_is_not_reported(health, fail_at, failed, others):
    hold_slot()
    fail_at(*failed)
    fail_at(*others, error_class="timeout")

    assert health()[0] == 0


def test_json_has_all_facts(health):
    overdue(300)
    held_before(290)

    status, text = health("--json")
    found = json.loads(text)

    assert (status, found["status"], found["level"], len(found["reasons"])) == (2, 2, "stopped", 1)
    facts = found["liveness"]
    assert (facts["drains"], facts["backlog"]["deliveries"], facts["last_attempt_seconds"]) == (0, 1, None)
    assert facts["drain_gone_seconds"] == 290
    assert facts["backlog"]["oldest_due_seconds"] == 300


def test_a_database_that_does_not_answer_is_the_worst(health):
    with connection.execute_wrapper(Trouble("SELECT", "tms_webhooks_drainslot", times=1)):
        status, text = health()

    assert (status, text) == (
        2,
        "STOPPED: The database does not answer (OperationalError). Make sure that it runs and that migrate was run.\n",
    )


def test_figures_that_can_not_be_read_do_not_change_the_status(capsys):
    hold_slot()
    with (
        connection.execute_wrapper(Trouble("SELECT", "tms_webhooks_deliverytotal", times=1)),
        pytest.raises(SystemExit, match="^0$"),
    ):
        call_command("webhooks_health")

    assert capsys.readouterr().out == (
        "OK: nothing is late. 0 deliveries open, 0 events to fan out, 1 drain running.\n\n"
        "The figures are missing. The database does not answer (OperationalError). Make sure that it runs and that migrate "
        "was run.\n"
    )


# For a supervisor


def test_a_supervisor_is_told_to_restart_workers_that_stand_still(health):
    held_before(130)

    assert health("--restart-hint") == (1, "RESTART: No worker has run a drain for 130 s.\n")
    assert health("--restart-hint", "--max-lag", "200") == (0, "OK: no reason to restart the workers.\n")


def test_a_supervisor_leaves_a_drain_alone_that_is_late(health):
    attempt_now(overdue(300))
    hold_slot()

    assert health("--restart-hint") == (0, "OK: no reason to restart the workers.\n")


def test_a_supervisor_restarts_no_workers_for_a_database_that_does_not_answer(health):
    with connection.execute_wrapper(Trouble("SELECT", "tms_webhooks_drainslot", times=1)):
        assert health("--restart-hint") == (
            0,
            "OK: a restart of the workers would not help. The database does not answer (OperationalError). Make sure that "
            "it runs and that migrate was run.\n",
        )


# With django-q2, which keeps drains at work


@pytest.mark.usefixtures("_django_q")
def test_a_chain_of_drains_that_broke_is_reported_before_anything_is_late(health):
    held_before(100)

    assert health() == (
        2,
        "STOPPED: Deliveries are not sent, because no worker has run a drain for 100 s. Start or restart django-q2 "
        "(manage.py qcluster): it can hang after one of its processes was killed. Or run manage.py webhooks_drain.\n",
    )


def test_a_job_that_has_run_and_does_not_run_any_more_is_overdue(health):
    hold_slot()
    now = clock.measured_now()
    PeriodicRun.objects.record("tms_webhooks.tasks.prune", now=now - timedelta(minutes=60, seconds=179))
    assert health()[0] == 0
    PeriodicRun.objects.record("tms_webhooks.tasks.prune", now=now - timedelta(minutes=60, seconds=181))

    status, text = health()

    assert status == 1
    assert text.startswith("LATE: Periodic jobs did not run: tms_webhooks prune. Run manage.py webhooks_drain, or ")
