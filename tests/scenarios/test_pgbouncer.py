"""Producers, drains and periodic jobs behind PgBouncer in transaction mode, where no session belongs to one of them."""

import json
from contextlib import ExitStack

import pytest
from django.db import connection

from tests.integration.delivery.rows import distinct
from tests.patience import PATIENCE
from tests.receiver import Answer
from tests.scenarios.logged import logged
from tests.scenarios.outcome import came, wait_until_all
from tests.scenarios.pgbouncer import pooler
from tests.scenarios.processes import lease_of, stop
from tms_webhooks.models import Event, WebhookState

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(connection.vendor != "postgresql", reason="PgBouncer is for PostgreSQL only"),
]

PRODUCERS = 2
# More than the uses of a connection after which a saving process would prepare its statements.
SAVES = 40
# Each producer creates a course, too.
EVENTS = PRODUCERS * (SAVES + 1)
WEBHOOKS = 4
LEASE = 3.0
# As Django's documentation wants it behind such a pooler.
WITHOUT_SESSIONS = {"TMS_SCENARIO_DATABASE": json.dumps({"DISABLE_SERVER_SIDE_CURSORS": True})}
PREPARE = """
from django.conf import settings
from tests.integration.delivery.rows import distinct, subscribed
from tms_webhooks.models import Webhook
subscribed()
Webhook.objects.update(url="http://127.0.0.1:%s/hooks" % settings.TMS_WEBHOOKS["ALLOWED_PORTS"][0])
"""
PRODUCE = f"""
from example_project.training.factories import CourseFactory, TrainingClassFactory
from example_project.training.models import Organization
organization = Organization.objects.get()
course = CourseFactory(organization=organization, external_id=None)
for _ in range({SAVES}):
    TrainingClassFactory(organization=organization, course=course, external_id=None)
"""


@pytest.fixture
def pooled(processes):
    """The scenario's processes, behind the pooler."""
    with pooler(connection.settings_dict) as url:
        direct = processes.but(environment=WITHOUT_SESSIONS)
        direct.url = url
        yield direct


def test_producers_and_drains_share_connections(pooled, receiver, tables, tmp_path):
    pooled.run("django", "shell", "--command", PREPARE)

    with ExitStack() as stack:

        def start(log, *arguments):
            return stack.enter_context(logged(pooled, tmp_path / log, "django", *arguments))

        drains = [start(f"drain-{number}", "webhooks_drain", "--skip-checks") for number in range(2)]
        producers = [start(f"producer-{number}", "shell", "--command", PRODUCE) for number in range(PRODUCERS)]
        for producer in producers:
            producer.finish(seconds=PATIENCE)
        wait_until_all(receiver, EVENTS, seconds=PATIENCE)
        tables.wait_for({"delivered": EVENTS}, seconds=PATIENCE)
        tables.wait_until_all_jobs_ran()
        for drain in drains:
            drain.process.terminate()
        for drain in drains:
            drain.finish(seconds=PATIENCE)

    assert Event.objects.count() == EVENTS
    assert set(came(receiver).values()) == {1}
    for one in (*drains, *producers):
        log = one.log.read_text()
        assert "Traceback" not in log, log[-5_000:]


def test_without_sessions_the_webhooks_of_a_killed_drain_are_served_again_when_its_lease_is_over(
    pooled, receiver, tables
):
    for path in range(WEBHOOKS):
        tables.subscribe(receiver, str(path), max_in_flight=1)
    receiver.respond = lambda _request: Answer(delay=0.1)
    states = WebhookState.objects.exclude(lease="")

    with ExitStack() as stack:
        victim, heir = [stack.enter_context(pooled.but(**lease_of(LEASE)).drain("--no-timer")) for _ in range(2)]
        tables.add_events(EVENTS)
        tables.wait_until(lambda: len(distinct(states, "lease")) == 2)
        # A session's lock would be found free at once.
        assert not states.filter(lease__startswith="s").exists()
        victim.kill()
        receiver.respond = None
        wait_until_all(receiver, WEBHOOKS * EVENTS)
        tables.wait_for({"delivered": WEBHOOKS * EVENTS})
        stop(heir)

    times = came(receiver)
    assert max(times.values()) <= 2
    assert sum(times.values()) - len(times) <= 2 * WEBHOOKS
