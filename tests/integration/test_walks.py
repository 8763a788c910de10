"""The three walks through the package: how many of its files and functions a reader has to follow, and how often it calls.

The ceilings only go down. What a walk costs in time is measured by the benchmarks.
"""

import sys
from dataclasses import dataclass
from importlib.util import find_spec
from math import inf
from pathlib import Path

import pytest
from django.db import connection, transaction

import tms_webhooks
from example_project.training.factories import TrainingClassFactory
from tests.factories import WebhookFactory
from tms_webhooks.models import Event
from tms_webhooks.outbox.fanout import fan_out
from tms_webhooks.worker.drain import Drain

PACKAGE = str(Path(tms_webhooks.__file__).parent)
# Whether a drain enters these depends on how long an answer takes: the one after a pause, the other for a first count of its kind.
DEPEND_ON_DURATION = {"acknowledge_immediately", "addition_of"}

pytestmark = [
    pytest.mark.skipif(connection.vendor != "sqlite", reason="a walk differs a little from database to database"),
]


@dataclass(frozen=True)
class Walk:
    """How many calls, functions and files of the package a piece of work enters."""

    calls: float
    functions: int
    files: int


def walk_of(action):
    """Trace what ``action`` enters. Comprehensions and lambdas are part of the function that they stand in."""
    entered = []

    def trace(frame, event, _argument):
        code = frame.f_code
        is_entered = event == "call" and code.co_filename.startswith(PACKAGE) and not code.co_name.startswith("<")
        if is_entered and code.co_name not in DEPEND_ON_DURATION:
            entered.append((code.co_filename, code.co_qualname))

    sys.setprofile(trace)
    try:
        action()
    finally:
        sys.setprofile(None)
    return Walk(len(entered), len(set(entered)), len({file for file, _function in entered}))


def exceeded(walk, ceiling):
    return [
        f"{getattr(walk, name)} {name}, at most {getattr(ceiling, name)}"
        for name in ("calls", "functions", "files")
        if getattr(walk, name) > getattr(ceiling, name)
    ]


def rename(training_class):
    """Save the class once more, in a transaction as a request has one; what is made once was made before."""
    for _ in range(2):
        training_class.name += "!"
        training_class.save()
    training_class.name += "!"
    with transaction.atomic():
        return walk_of(training_class.save)


@pytest.fixture
def training_class():
    return TrainingClassFactory()


def test_a_captured_save_enters_few_functions(training_class):
    WebhookFactory(organization=training_class.organization, events=["class.updated"])
    recorded = Event.objects.count()

    walk = rename(training_class)

    assert Event.objects.count() > recorded
    assert exceeded(walk, Walk(calls=129, functions=87, files=20)) == []


def test_a_save_that_nobody_subscribes_to_enters_few_functions(training_class):
    walk = rename(training_class)

    assert not Event.objects.exists()
    assert exceeded(walk, Walk(calls=21, functions=19, files=6)) == []


@pytest.mark.skipif(find_spec("pycurl") is None, reason="pycurl is not installed; pip install -e '.[curl]' does it")
def test_a_turn_of_a_drain_with_one_delivery_enters_few_functions(training_class, receiver, clock):
    WebhookFactory(url=receiver.url, organization=training_class.organization, events=["class.updated"])
    rename(training_class)
    Drain(fan_out=fan_out, clock=clock).run(until_idle=True)
    training_class.name += "!"
    training_class.save()
    drain = Drain(fan_out=fan_out, clock=clock)
    del receiver.received[:]

    walk = walk_of(lambda: drain.run(until_idle=True))

    assert len(receiver.received) == 1
    # A drain turns again as long as it waits for the answer, and on a slow machine it renews what it holds.
    assert exceeded(walk, Walk(calls=inf, functions=186, files=32)) == []
