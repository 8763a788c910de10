"""How long it takes to compare a copy of many objects, in buckets and one by one, and how much memory a process takes for it."""

import resource

from tests.bench import bulk, environment
from tests.bench.environment import sized
from tests.bench.figures import Figure

ROUNDS = 2
TIMEOUT = 600
OBJECTS = sized(100_000, least=1_000)
BUCKETS = 64
PAGE = 100
LISTED = sized(20_000)
"""The objects that are listed one by one: the time of all is extrapolated."""

FIGURES = (
    Figure("buckets", f"{BUCKETS} buckets of {OBJECTS:,} classes, in pages", "s", at_most=30),
    Figure("page", "the longest page of buckets", "s"),
    Figure("objects", f"{OBJECTS:,} classes one by one, {PAGE} on a page, extrapolated from {LISTED:,}", "s"),
    Figure("memory", "what the process takes more than before", "MB", at_most=60),
)


def run(*, db, rounds):
    """Fill the database in a process of its own: the objects that it makes take memory, too."""
    with environment.database(db):
        environment.figures("digests", "fill")
        return environment.figures("digests", "compare", rounds)


def fill():
    """Make the classes, and a webhook that receives their events."""
    from tests.bench import world

    bulk.fill(OBJECTS)
    world.analyze()


def compare(rounds):
    """Compare all classes in each round; return the seconds and the megabytes."""
    from tms_webhooks.comparison import Comparison
    from tms_webhooks.models import Webhook

    found = {figure.name: [] for figure in FIGURES}
    comparison = Comparison(Webhook.objects.get(), "class")
    comparison.objects(None, limit=PAGE)
    before = _peak()
    for _ in range(rounds):
        pages, first, count = [], 0, 0
        while first is not None:
            answer = []
            pages.append(
                bulk.timed(
                    lambda first=first, answer=answer: answer.append(comparison.buckets(of=BUCKETS, first=first))
                )
            )
            count += sum(one.count for one in answer[0].buckets)
            first = answer[0].next
        assert count == OBJECTS
        found["buckets"].append(sum(pages))
        found["page"].append(max(pages))
        found["objects"].append(bulk.timed(lambda: _list(comparison)) * OBJECTS / LISTED)
        found["memory"].append(_peak() - before)
    return found


def _list(comparison):
    place, count = None, 0
    while count < LISTED:
        page = comparison.objects(place, limit=PAGE)
        count, place = count + len(page.objects), page.next
    assert count == LISTED


def _peak():
    """Return the largest size of this process so far, in megabytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
