"""Bulk changes of the same rows at once: one waits for the other, and nothing is lost between them."""

import pytest
from django.db import connection
from django.db.models import F

from example_project.training.factories import TrainingClassFactory
from example_project.training.models import TrainingClass
from tests.factories import WebhookFactory
from tests.outbox import number_events
from tests.threads import at_once, during
from tms_webhooks.models import Event

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("small_chunks"),
    pytest.mark.skipif(
        connection.vendor == "sqlite",
        reason="SQLite lets one transaction write at a time, and locks before it reads: there is nothing to race for.",
    ),
]


@pytest.fixture
def classes():
    first = TrainingClassFactory(max_students=10)
    more = TrainingClassFactory.create_batch(7, organization=first.organization, course=first.course, max_students=10)
    WebhookFactory(organization=first.organization, events=["class.*"])
    return [first, *more]


def chains(events):
    """Return for each class its events by their numbers: number, seats before, seats after."""
    found = {}
    for event in sorted(events, key=lambda event: event["sequence"]):
        step = (event["sequence"], event["previous"]["max_students"], event["data"]["max_students"])
        found.setdefault(event["data"]["id"], []).append(step)
    return found


def test_overlapping_updates_make_one_chain_for_each_object(classes, recorded):
    keys = [one.pk for one in classes]

    def add(rows, seats):
        return lambda: TrainingClass.objects.filter(pk__in=rows).update(max_students=F("max_students") + seats)

    errors = at_once(add(keys[:6], 1), add(keys[2:], 100), add([*reversed(keys)], 1000))

    assert errors == []
    for key, chain in chains(recorded()).items():
        last = TrainingClass.objects.get(pk=key).max_students
        assert [number for number, _before, _after in chain] == list(range(1, len(chain) + 1))
        assert [before for _number, before, _after in chain] == [10, *(after for _number, _before, after in chain[:-1])]
        assert chain[-1][2] == last
    assert Event.objects.count() == 6 + 6 + 8


def test_a_save_waits_for_the_update_and_begins_where_it_ended(classes, recorded):
    mine = classes[3]
    mine.max_students = 30

    during(lambda: TrainingClass.objects.update(max_students=20), mine.save)

    assert chains(recorded())[mine.pk] == [(1, 10, 20), (2, 20, 30)]


def test_an_update_leaves_alone_what_stops_to_match_while_it_waits(classes, recorded):
    cancelled = classes[0]

    during(
        cancelled.cancel,
        lambda: TrainingClass.objects.filter(confirmation_status_id=0).update(confirmation_status_id=1),
    )

    assert TrainingClass.objects.get(pk=cancelled.pk).confirmation_status_id == 2
    assert [event["type"] for event in recorded() if event["data"]["id"] == cancelled.pk] == ["class.cancelled"]
    assert Event.objects.filter(type="class.guaranteed_to_run").count() == 7


def test_an_update_that_fails_leaves_the_other_its_numbers(classes, recorded):
    during(
        lambda: TrainingClass.objects.update(max_students=20),
        lambda: TrainingClass.objects.update(max_students=30),
        refuse=True,
    )

    assert chains(recorded()) == {one.pk: [(1, 10, 30)] for one in classes}


def test_objects_that_begin_to_count_at_once_share_no_number(classes):
    def create(name):
        one = classes[0]
        fields = {
            "course": one.course,
            "organization": one.organization,
            "start_at": one.start_at,
            "end_at": one.end_at,
        }
        return lambda: TrainingClass.objects.bulk_create([TrainingClass(name=name, **fields) for _number in range(5)])

    assert at_once(*map(create, ("One", "Two", "Three"))) == []

    number_events()
    assert Event.objects.filter(type="class.scheduled", sequence=1).count() == 15
