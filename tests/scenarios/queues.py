"""The queue of the scenarios: ``TMS_SCENARIO_QUEUE`` chooses django_q (the default), celery or django_tasks."""

import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec

import django
import pytest

REDIS = os.environ.get("TMS_SCENARIO_BROKER", "redis://127.0.0.1:6379/11")


@dataclass(frozen=True)
class ScenarioQueue:
    """A queue, and the command that starts two of its workers and its schedules, as arguments of ``python -m``."""

    path: str
    command: tuple[str, ...]
    package: str
    environment: Mapping[str, str] = field(default_factory=dict)

    def skip_if_missing(self):
        """Skip the test where the queue's package or broker is missing; fail it where services are required."""
        problem = ""
        if find_spec(self.package) is None:
            problem = f"{self.package} is not installed"
        elif NAME == "django_tasks" and django.VERSION < (6, 0):
            problem = "Django's tasks need Django 6.0"
        elif NAME == "celery" and not _has_redis():
            problem = f"no Redis answers at {REDIS}"
        if problem and os.environ.get("TMS_REQUIRE_SERVICES") == "1":
            pytest.fail(problem)
        if problem:
            pytest.skip(problem)

    def own_environment(self):
        """Return the environment of the processes of one test, which share no broker's keys with others."""
        return {"TMS_SCENARIO_BROKER": REDIS, "TMS_SCENARIO_PREFIX": f"tms-{uuid.uuid4().hex[:8]}-"}

    def forget(self, environment):
        """Delete what the processes of one test left in the broker."""
        if NAME == "celery" and _has_redis():
            import redis

            with redis.Redis.from_url(REDIS) as broker:
                for key in broker.scan_iter(f"{environment['TMS_SCENARIO_PREFIX']}*"):
                    broker.delete(key)


# In memory: beat's own schedule file would be shared by all processes.
BEAT = ("--beat", "--scheduler", "celery.beat.Scheduler")
QUEUES = {
    "django_q": ScenarioQueue(
        "tms_webhooks.queues.django_q.DjangoQQueue", ("django", "qcluster", "--skip-checks"), "django_q"
    ),
    "celery": ScenarioQueue(
        "tms_webhooks.queues.celery.CeleryQueue",
        ("celery", "--app", "tests.scenarios.celery_app", "--skip-checks", "worker", *BEAT, "--concurrency", "2"),
        "celery",
    ),
    "django_tasks": ScenarioQueue(
        "tms_webhooks.queues.django_tasks.DjangoTasksQueue", ("tests.scenarios.task_workers",), "django_tasks_db"
    ),
}
NAME = os.environ.get("TMS_SCENARIO_QUEUE", "django_q")
QUEUE = QUEUES[NAME]


def only(name, reason):
    """Return the mark of a scenario that speaks of one queue alone."""
    return pytest.mark.skipif(name != NAME, reason=reason)


def _has_redis():
    import redis

    try:
        with redis.Redis.from_url(REDIS, socket_connect_timeout=1) as broker:
            return bool(broker.ping())
    except redis.RedisError:
        return False
