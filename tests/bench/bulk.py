"""The cost of a bulk change compared with the same number of saves."""

from __future__ import annotations

from time import perf_counter

from django.db import transaction

from tests.bench import environment
from tests.bench.environment import ratios, sized
from tests.bench.figures import Figure

ROUNDS = 3
TIMEOUT = 240
ROWS = sized(10_000)
SAVES = sized(1_000)
"""They take so long that fewer are made, and their time is extrapolated."""

FIGURES = (
    Figure("update", f"one captured `update()` of {ROWS:,} rows, per row", "µs"),
    Figure(
        "ratio",
        "the same, divided by as many captured saves in one transaction",
        at_most={"sqlite": 0.2, "postgres": 0.15},
    ),
)


def run(*, db, rounds):
    """Measure `update()` and saves in each round."""
    with environment.database(db):
        found = environment.figures("bulk", "measure", rounds)
    return {
        "update": [seconds / ROWS * 1e6 for seconds in found["update"]],
        "ratio": ratios(found["update"], found["saves"]),
    }


def measure(rounds):
    """Return the seconds of both ways in each round; for the saves, as many as the rows would take."""
    from django.db.models import F

    from example_project.training.models import TrainingClass
    from tms_webhooks.models import Event

    fill(ROWS)
    classes = TrainingClass.objects
    some = list(classes.order_by("pk")[:SAVES])
    found = {"saves": [], "update": []}
    for number in range(rounds + 1):
        saves = timed(lambda: _save(some)) * ROWS / SAVES
        update = timed(lambda: classes.update(max_students=F("max_students") + 1))
        Event.objects.all().delete()
        # The first round warms up.
        if number:
            found["saves"].append(saves)
            found["update"].append(update)
    return found


@transaction.atomic
def _save(classes):
    """Save all in one transaction: what a commit takes is no part of the measurement."""
    for training_class in classes:
        training_class.max_students += 1
        training_class.save()


def timed(way):
    """Return how many seconds a function takes."""
    start = perf_counter()
    way()
    return perf_counter() - start


def fill(rows):
    """Make so many classes of one course, and one webhook for them."""
    from django.db.models import QuerySet

    from example_project.training.factories import TrainingClassFactory
    from example_project.training.models import TrainingClass
    from tests import uncaptured
    from tests.bench import world

    first = TrainingClassFactory.create()
    fields = {field.name: getattr(first, field.name) for field in TrainingClass._meta.concrete_fields}
    fields |= {"id": None, "external_id": None}
    uncaptured.bulk_create(QuerySet(TrainingClass), [TrainingClass(**fields) for _ in range(rows - 1)], batch_size=500)
    world.make_webhooks(1, "https://receiver.example.com/hook", organization=first.organization)
