"""The rows and their events are written together, or neither."""

import pytest
from django.db import IntegrityError, transaction

from example_project.training.factories import TrainingClassFactory
from example_project.training.models import TrainingClass
from tests.factories import WebhookFactory
from tests.outbox import prune_events
from tms_webhooks.models import Event
from tms_webhooks.outbox import record, wake

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("small_chunks")]


class Crash(BaseException):
    """The end of a process, as nearly as one can be had without ending it."""


@pytest.fixture
def classes():
    first = TrainingClassFactory()
    WebhookFactory(organization=first.organization, events=["class.*"])
    made = [first, *TrainingClassFactory.create_batch(4, organization=first.organization, course=first.course)]
    prune_events()
    return made


def statuses():
    return set(TrainingClass.objects.values_list("confirmation_status_id", flat=True))


CHANGES = {
    "update": lambda classes: TrainingClass.objects.update(confirmation_status_id=2),
    "bulk_update": lambda classes: TrainingClass.objects.bulk_update(
        [setattr(one, "confirmation_status_id", 2) or one for one in classes], ["confirmation_status_id"]
    ),
    "bulk_create": lambda classes: TrainingClass.objects.bulk_create(
        [TrainingClassFactory.build(organization=classes[0].organization, course=classes[0].course) for _ in range(5)]
    ),
    "delete": lambda classes: TrainingClass.objects.all().delete(),
}


@pytest.fixture(params=CHANGES.values(), ids=CHANGES)
def change(request):
    return request.param


@pytest.mark.parametrize("chunk", [1, 2])
def test_a_crash_before_the_events_are_written_takes_the_rows_with_it(classes, change, monkeypatch, chunk):
    """Also those of a chunk that was written before."""
    written = []

    def crash(*args, **kwargs):
        written.append(args)
        if len(written) == chunk:
            raise Crash
        return insertion_of(*args, **kwargs)

    insertion_of = record.insertion_of
    monkeypatch.setattr(record, "insertion_of", crash)

    with pytest.raises(Crash):
        change(classes)

    assert (statuses(), TrainingClass.objects.count()) == ({0}, 5)
    assert not Event.objects.exists()


def test_a_chunk_that_the_database_refuses_takes_the_others_back(classes):
    """The last of five would end before it starts."""
    classes[4].end_at = classes[4].start_at
    for one in classes[:4]:
        one.name = "Renamed"

    with pytest.raises(IntegrityError):
        TrainingClass.objects.bulk_update(classes, ["name", "end_at"], batch_size=1)

    assert not TrainingClass.objects.filter(name="Renamed").exists()
    assert not Event.objects.exists()


def test_the_bell_rings_once_for_a_commit(classes, monkeypatch):
    rings = []
    monkeypatch.setattr(wake.waker, "wake", lambda: rings.append(None))

    with transaction.atomic():
        TrainingClass.objects.update(confirmation_status_id=2)
        classes[0].guarantee()
        TrainingClass.objects.filter(pk=classes[1].pk).delete()
        assert rings == []

    assert rings == [None]


def test_the_bell_rings_for_what_follows_a_rolled_back_savepoint(classes, monkeypatch):
    rings = []
    monkeypatch.setattr(wake.waker, "wake", lambda: rings.append(None))

    with transaction.atomic():
        with pytest.raises(Crash), transaction.atomic():
            TrainingClass.objects.update(confirmation_status_id=2)
            raise Crash
        classes[0].guarantee()
    assert rings == [None]

    with pytest.raises(Crash), transaction.atomic():
        classes[1].guarantee()
        raise Crash
    assert rings == [None]
