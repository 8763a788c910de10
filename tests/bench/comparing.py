"""Passes over many classes, in a process of their own: ``python -m tests.bench.comparing ROWS CHANGED SAVES ROUNDS``.

The last line is JSON: what each pass took in each round, in seconds, and each kind of save in microseconds.
"""

from __future__ import annotations

import json
import sys
import tracemalloc
from collections.abc import Sequence
from functools import partial
from time import perf_counter
from typing import Any

import django
from django.db import transaction
from django.db.models import Avg, F, QuerySet
from django.db.models.functions import Length
from django.utils import timezone

from tests import uncaptured
from tests.bench import updates

BLOCK = 25


def main(rows: int, changed: int, saves: int, rounds: int) -> dict[str, list[float]]:
    """Measure a first pass, and then a pass that finds nothing and one that finds some in each round."""
    from example_project.training.models import TrainingClass
    from example_project.training.webhooks import TrainingClasses
    from tms_webhooks.models import Event, SourceState
    from tms_webhooks.reconcile import passes

    updates.fill(rows)
    (source,) = passes.all_sources()[:1]
    TrainingClasses.reconcile = True

    def pass_over() -> float:
        start = perf_counter()
        passes.reconcile(source, now=timezone.now())
        return perf_counter() - start

    first = pass_over()
    size = SourceState.objects.aggregate(size=Avg(Length("state") + Length("related")))["size"]
    keys = list(TrainingClass.objects.order_by("pk").values_list("pk", flat=True))[:: rows // changed]
    figures: dict[str, list[float]] = {"first": [first], "bytes": [float(size)], "nothing": [], "changed": []}
    figures |= {"peak_mib": [], "saved_us": [], "kept_us": []}
    for _ in range(rounds):
        figures["nothing"].append(pass_over())
        uncaptured.update(QuerySet(TrainingClass).filter(pk__in=keys), max_students=F("max_students") + 1)
        figures["changed"].append(pass_over())
        tracemalloc.start()
        pass_over()
        figures["peak_mib"].append(tracemalloc.get_traced_memory()[1] / 2**20)
        tracemalloc.stop()
        for name, seconds in _saves(TrainingClass, TrainingClasses, saves).items():
            figures[name].append(seconds / saves * 1e6)
        Event.objects.all().delete()
    return figures


def _saves(model: Any, declaration: Any, saves: int) -> dict[str, float]:
    """Time saves that remember and saves that don't, in turns."""
    times = {"saved_us": 0.0, "kept_us": 0.0}
    # Rows of their own: where one is saved unremembered, the next remembering has more to do.
    found = list(model.objects.order_by("pk")[: 2 * BLOCK])
    rows = dict(zip(times, (found[:BLOCK], found[BLOCK:]), strict=True))
    for _ in range(saves // BLOCK):
        for name, some in rows.items():
            declaration.reconcile = name == "kept_us"
            times[name] += updates.timed(partial(_save, some))
    declaration.reconcile = True
    return times


@transaction.atomic
def _save(some: Sequence[Any]) -> None:
    for one in some:
        one.max_students = one.max_students % 1000 + 1
        one.save()


if __name__ == "__main__":
    django.setup()
    print(json.dumps(main(*map(int, sys.argv[1:5]))))
