"""Bulk changes of classes, in a process of their own: ``python -m tests.bench.updates ROWS SAVES ROUNDS``.

The last line is JSON: what each way took in each round, in seconds.
"""

from __future__ import annotations

import json
import sys
import tracemalloc
from collections.abc import Callable
from copy import copy
from time import perf_counter
from typing import Any

import django
from django.db import transaction
from django.db.models import F, QuerySet


def main(rows: int, saves: int, rounds: int) -> dict[str, list[float]]:
    """Measure each way once a round; ``saves`` is what so many rows would have taken."""
    from example_project.training.models import TrainingClass
    from tests import uncaptured
    from tms_webhooks.models import Event, Subscription

    fill(rows)
    classes = TrainingClass.objects
    some = list(classes.order_by("pk")[:saves])
    ways: dict[str, Callable[[], object]] = {
        "saves": lambda: _save(some),
        "update": lambda: classes.update(max_students=F("max_students") + 1),
        "bare": lambda: uncaptured.update(QuerySet(TrainingClass), max_students=F("max_students") + 1),
        "insert": lambda: classes.bulk_create(_copies(some)),
    }
    figures: dict[str, list[float]] = {name: [] for name in (*ways, "unsubscribed", "peak_mib")}
    for number in range(rounds + 1):
        times = {}
        for name, way in ways.items():
            times[name] = timed(way)
            classes.filter(name="Copy").delete()
        tracemalloc.start()
        ways["update"]()
        times["peak_mib"] = tracemalloc.get_traced_memory()[1] / 2**20
        tracemalloc.stop()
        Subscription.objects.update(event_type="voucher.*")
        times["unsubscribed"] = timed(ways["update"])
        Subscription.objects.update(event_type="*")
        Event.objects.all().delete()
        times["saves"] *= rows / saves
        times["insert"] *= rows / saves
        # The first round warms up.
        for name in figures if number else ():
            figures[name].append(times[name])
    return figures


@transaction.atomic
def _save(classes: list[Any]) -> None:
    """Save all in one transaction: what a commit takes is no part of the measurement."""
    for training_class in classes:
        training_class.max_students += 1
        training_class.save()


def _copies(classes: list[Any]) -> list[Any]:
    copies = [copy(training_class) for training_class in classes]
    for one in copies:
        one._state = copy(one._state)
        one.pk, one.external_id, one.name = None, None, "Copy"
    return copies


def timed(way: Callable[[], object]) -> float:
    start = perf_counter()
    way()
    return perf_counter() - start


def fill(rows: int) -> None:
    """Make so many classes of one course, which one webhook hears of."""
    from example_project.training.factories import TrainingClassFactory
    from example_project.training.models import TrainingClass
    from tests import uncaptured
    from tests.bench import world

    first = TrainingClassFactory.create()
    fields = {field.name: getattr(first, field.name) for field in TrainingClass._meta.concrete_fields}
    fields |= {"id": None, "external_id": None}
    uncaptured.bulk_create(QuerySet(TrainingClass), [TrainingClass(**fields) for _ in range(rows - 1)], batch_size=500)
    (webhook,) = world.make_webhooks(1, "https://receiver.example.com/hook")
    webhook.organization_id = first.organization_id
    webhook.save()


if __name__ == "__main__":
    django.setup()
    print(json.dumps(main(*map(int, sys.argv[1:4]))))
