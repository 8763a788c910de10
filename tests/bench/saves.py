"""Saves of classes with subscribed webhooks, in a process of their own."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from statistics import median

from django.db import transaction

from tests.bench import environment

BLOCK = 25
PAUSE = 0.005
CLASSES = {"0": 0, "1": 1, "10": 10, "100": 100}
"""Classes by name, with the number of webhooks that their organization has."""
CASES = ("bare", *CLASSES)


def fill():
    """Make a class in an organization with each number of webhooks, which want everything."""
    from example_project.training.factories import TrainingClassFactory
    from tests.bench import world

    for name, webhooks in CLASSES.items():
        organization = TrainingClassFactory.create(name=name).organization
        world.make_webhooks(webhooks, _url(), organization=organization)


def cost(rounds, saves):
    """Return the median save of each case in each round, in microseconds. The cases take turns every few saves."""
    costs = {case: [] for case in CASES}
    savers = {case: saver(case) for case in CASES}
    for _ in range(rounds):
        times = {case: [] for case in CASES}
        for _ in range(saves // BLOCK):
            for case, save in savers.items():
                with listening(case != "bare"):
                    save()
                    times[case] += [save() for _ in range(BLOCK)]
        for case in CASES:
            costs[case].append(median(times[case]) * 1e6)
    return costs


def steadily(seconds, rounds):
    """Save every few milliseconds for so long, in so many rounds; return p95 of each round in milliseconds."""
    save = saver("1")
    shares = []
    for _ in range(rounds):
        times = []
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            times.append(save() * 1000)
            time.sleep(PAUSE)
        shares.append(environment.percentile(times, 0.95))
    return shares


def backlog(events):
    """Write events for ten webhooks of other organizations."""
    from tests.bench import world

    world.write_events(world.make_webhooks(10, _url()), events)


def left():
    """Return how many events are without deliveries."""
    from tms_webhooks.models import Event

    return Event.objects.to_fan_out().count()


def saver(case, stamps=None):
    """Return a function that changes and saves a class in a transaction, and returns how long that took."""
    from example_project.training.models import TrainingClass

    training_class = TrainingClass.objects.get(name="0" if case == "bare" else case)

    def save():
        start = time.perf_counter()
        with transaction.atomic():
            training_class.max_students = training_class.max_students % 1000 + 1
            training_class.save()
            if stamps is not None:
                stamps.append(time.monotonic())
        return time.perf_counter() - start

    return save


@contextmanager
def listening(listens):
    """Capture what happens to classes inside the block, or don't."""
    from example_project.training.models import TrainingClass
    from tests.registration import disconnect
    from tms_webhooks.capture import receivers
    from tms_webhooks.sources.registry import sources_of

    (source,) = sources_of(TrainingClass)
    if not listens:
        disconnect(source)
    yield
    receivers.connect(source)


def _url():
    return f"http://127.0.0.1:{os.environ['TMS_DEMO_PORTS']}/hook"
