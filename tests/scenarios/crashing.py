"""A process that saves objects outside of any transaction and is killed with -9 while it does, many times over.

    python -m tests.scenarios.crashing URL

runs every scene against the database of ``TMS_DATABASE`` and writes what came of it to standard output, as JSON. The
process loads Django once and forks for each crash: what dies is a real process, with a connection of its own to a
real database. ``URL`` is where the webhook sends.
"""

import json
import os
import signal
import sys
import traceback
from contextlib import nullcontext

import django

ROUNDS = 20


def main(url):
    """Prepare the database, play every scene, and deliver what is left."""
    django.setup()
    outcome = {"secret": forked(lambda: prepare(url))}
    for name, scene in SCENES.items():
        keys = forked(make_classes)
        killed = [forked_to_death(lambda key=key, scene=scene: scene(key)) for key in keys]
        outcome[name] = {"keys": keys, "killed": killed, **forked(lambda keys=keys: left_behind(keys))}
    outcome["delivered"] = forked(deliver)
    print(json.dumps(outcome))  # noqa: T201


def forked(action):
    """Return what ``action`` returns in a process of its own, so that this one never has a connection to pass on."""
    reader, writer = os.pipe()
    process = os.fork()
    if not process:
        os.close(reader)
        end(action, writer)
    os.close(writer)
    with os.fdopen(reader) as lines:
        result = lines.read()
    _process, status = os.waitpid(process, 0)
    if status:
        raise SystemExit(f"A step ended with status {status}.")
    return json.loads(result)


def forked_to_death(action):
    """Run ``action`` in a process of its own; return the number of the signal that it died of, 0 if it lived."""
    process = os.fork()
    if not process:
        end(action, os.open(os.devnull, os.O_WRONLY))
    _process, status = os.waitpid(process, 0)
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


def end(action, writer):
    """Do the work of a forked process, and leave without the parent's own clean-up."""
    try:
        with os.fdopen(writer, "w") as lines:
            json.dump(action(), lines)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def die(*_args, **_kwargs):
    """End this process as the kernel ends one that is out of memory: nothing is cleaned up."""
    os.kill(os.getpid(), signal.SIGKILL)


def prepare(url):
    """Make the tables and a webhook that hears of classes; return its secret."""
    from django.core.management import call_command

    from example_project.training.factories import OrganizationFactory
    from tests.factories import WebhookFactory
    from tms_webhooks.models.encryption import reveal

    call_command("migrate", verbosity=0)
    webhook = WebhookFactory(organization=OrganizationFactory(), url=url, events=["class.cancelled"], max_in_flight=8)
    return reveal(webhook.secrets.get().value)


def make_classes():
    """Make the classes of one scene, of which no event is recorded."""
    from example_project.training.factories import CourseFactory, TrainingClassFactory
    from example_project.training.models import Organization

    organization = Organization.objects.order_by("pk")[0]
    course = CourseFactory(organization=organization)
    classes = TrainingClassFactory.create_batch(ROUNDS, organization=organization, course=course, external_id=None)
    return [one.pk for one in classes]


def cancel(key):
    """Change a row, in autocommit mode."""
    from django.db import connection

    from example_project.training.models import TrainingClass

    assert connection.get_autocommit()
    assert not connection.in_atomic_block
    TrainingClass.objects.get(pk=key).cancel()


def killed_between_row_and_event(key):
    """Die when the row is written and the event is not."""
    from tms_webhooks.outbox import record

    record.insert_rows = die
    cancel(key)


def killed_before_the_commit(key):
    """Die when both are written and not committed."""
    from tms_webhooks.signals import event_recorded

    event_recorded.connect(die)
    cancel(key)


def killed_before_the_wake_up(key):
    """Die when both are committed and no drain was woken."""
    from tms_webhooks.outbox.wake import Waker

    Waker.wake = die
    cancel(key)


def killed_without_the_transaction(key):
    """Die between row and event as Django itself saves: the proof that this would lose the event."""
    from tms_webhooks.capture import replaced_methods, saves

    replaced_methods.atomic = saves.atomic = lambda _using: nullcontext()
    killed_between_row_and_event(key)


SCENES = {
    "between": killed_between_row_and_event,
    "before_commit": killed_before_the_commit,
    "before_wake_up": killed_before_the_wake_up,
    "unprotected": killed_without_the_transaction,
}


def left_behind(keys):
    """Return which of the rows were changed, and which have an event."""
    from example_project.training.models import TrainingClass
    from tms_webhooks.models import Event, EventSequence

    texts = [str(key) for key in keys]
    subjects = {"subject_type": "class", "subject_id__in": texts}
    rows = TrainingClass.objects.filter(pk__in=keys, confirmation_status_id=2).order_by("pk")
    events = Event.objects.filter(**subjects).values_list("subject_id", flat=True)
    numbers = EventSequence.objects.filter(**subjects).values_list("subject_id", flat=True)
    return {
        "rows": list(rows.values_list("pk", flat=True)),
        "events": sorted(map(int, events)),
        "numbers": sorted(map(int, numbers)),
    }


def deliver():
    """Do what a sweep's drain does; return how many requests were answered with success."""
    from tms_webhooks.outbox.fanout import fan_out
    from tms_webhooks.worker.drain import Drain

    return Drain(fan_out=fan_out).run(until_idle=True).delivered


if __name__ == "__main__":
    main(sys.argv[1])
