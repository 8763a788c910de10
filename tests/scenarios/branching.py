"""``python -m tests.scenarios.branching OBJECTS``: a branch of the tree moves, and workers die while they work on it.

Both parents have webhooks with child organizations. Each worker dies of SIGKILL at a later one of its statements than the
one before it; the last one lives. It prints how often each webhook got an object, the number of jobs, and how many workers were killed.
"""

import json
import signal
import sys
from collections import Counter

import django

from tests.scenarios.crashing import die, forked, forked_to_death

FIRST, STEP = 7, 9
"""The statement at which the first worker dies, and how many later each next one does: no two die at the same one."""


def prepare(objects):
    """Make a branch with so many objects, and move it."""
    from example_project.training.factories import CourseFactory, OrganizationFactory, VoucherFactory
    from example_project.training.models import Voucher
    from tests.factories import WebhookFactory

    old, new = (OrganizationFactory(name=name) for name in ("old", "new"))
    branch = OrganizationFactory(parent=old)
    values = {"organization": branch, "course": CourseFactory(organization=branch)}
    Voucher.objects.bulk_create([VoucherFactory.build(**values) for _number in range(objects)])
    for one in (old, new):
        WebhookFactory(organization=one, name=one.name, events=["voucher.*"], include_children=True)
    branch.parent = new
    branch.save()


def work(statements=None):
    """Do what workers do, until nothing is left to do; die at the statement of this number."""
    from django.db import connection
    from django.utils import timezone

    from tms_webhooks import tasks
    from tms_webhooks.models import Job
    from tms_webhooks.outbox.fanout import fan_out

    left = statements

    def count(execute, *arguments):
        nonlocal left
        if left is not None:
            left -= 1
            if not left:
                die()
        return execute(*arguments)

    with connection.execute_wrapper(count):
        is_done = False
        while not is_done:
            while fan_out(timezone.now()):
                pass
            is_done = not Job.objects.unfinished().exists()
            tasks.work_on_jobs()


def outcome():
    """Return how many objects each webhook got how often, by the type, and the jobs with their errors."""
    from tms_webhooks.models import Delivery, Job

    got = {}
    for webhook, body in Delivery.objects.values_list("webhook__name", "event__body"):
        event = json.loads(body)
        got.setdefault(f"{webhook} {event['type']}", Counter())[event["data"]["id"]] += 1
    return {
        "times": {name: Counter(objects.values()) for name, objects in got.items()},
        "jobs": Job.objects.count(),
        "errors": list(Job.objects.exclude(error="").values_list("error", flat=True)),
    }


def main(objects):
    """Play it."""
    django.setup()
    forked(lambda: prepare(int(objects)))
    killed = 0
    while forked_to_death(lambda number=killed: work(FIRST + STEP * number)) == signal.SIGKILL:
        killed += 1
    print(json.dumps({**forked(outcome), "killed": killed}))  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
