"""The cost of comparing rows with their last recorded states, and what recording the state adds to a captured save."""

from __future__ import annotations

from functools import partial

from django.db import transaction

from tests.bench import bulk, environment
from tests.bench.environment import ratios, sized
from tests.bench.figures import Figure

ROUNDS = 3
TIMEOUT = 240
ROWS = sized(20_000, least=100)
CHANGED = sized(1_000, least=10)
SAVES = sized(500, least=25)
BLOCK = 25

FIGURES = (
    Figure("save_ratio", "a captured save with `reconcile = True`, divided by one without"),
    Figure("first", "the first pass, per object", "µs"),
    Figure("unchanged", "a pass without differences, per object", "µs"),
    Figure("changed", f"a pass that finds {CHANGED:,} changed objects among {ROWS:,}, per object", "µs"),
    Figure("bytes", "recorded state of a class", "bytes"),
)


def run(*, db, rounds):
    """Measure the first pass once, and the others and the saves in each round."""
    with environment.database(db):
        found = environment.figures("reconcile", "measure", rounds)
    passes = {name: [seconds / ROWS * 1e6 for seconds in found[name]] for name in ("first", "unchanged", "changed")}
    return {**passes, "bytes": found["bytes"], "save_ratio": ratios(found["with_state"], found["without"])}


def measure(rounds):
    """Return the seconds of each pass and of both kinds of saves, and the size of a state."""
    from django.db.models import Avg, F, QuerySet
    from django.db.models.functions import Length
    from django.utils import timezone

    from example_project.training.models import TrainingClass
    from example_project.training.webhooks import TrainingClasses
    from tests import uncaptured
    from tms_webhooks import reconciliation
    from tms_webhooks.models import Event, SourceState

    bulk.fill(ROWS)
    (source,) = reconciliation.all_sources()[:1]
    TrainingClasses.reconcile = True

    def pass_over():
        return bulk.timed(lambda: reconciliation.reconcile(source, now=timezone.now()))

    found = {
        "first": [pass_over()],
        "unchanged": [],
        "changed": [],
        "without": [],
        "with_state": [],
    }
    found["bytes"] = [float(SourceState.objects.aggregate(size=Avg(Length("state") + Length("related")))["size"])]
    keys = list(TrainingClass.objects.order_by("pk").values_list("pk", flat=True))[:: ROWS // CHANGED]
    for _ in range(rounds):
        found["unchanged"].append(pass_over())
        uncaptured.update(QuerySet(TrainingClass).filter(pk__in=keys), max_students=F("max_students") + 1)
        found["changed"].append(pass_over())
        for name, seconds in _saves(TrainingClass, TrainingClasses).items():
            found[name].append(seconds)
        Event.objects.all().delete()
    return found


def _saves(model, declaration):
    """Time saves that record the state and saves that don't, alternately."""
    times = {"without": 0.0, "with_state": 0.0}
    # Rows of their own: after a save without its state, the next recording has more to do.
    found = list(model.objects.order_by("pk")[: 2 * BLOCK])
    rows = dict(zip(times, (found[:BLOCK], found[BLOCK:]), strict=True))
    for _ in range(SAVES // BLOCK):
        for name, some in rows.items():
            declaration.reconcile = name == "with_state"
            times[name] += bulk.timed(partial(_save, some))
    declaration.reconcile = True
    return times


@transaction.atomic
def _save(some):
    for one in some:
        one.max_students = one.max_students % 1000 + 1
        one.save()
