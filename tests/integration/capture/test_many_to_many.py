"""A many-to-many field that a source maps: its change is a change of the object, and every payload has its ids."""

import pytest
from django.db import connection, transaction
from django.db.models.signals import m2m_changed
from django.test.utils import CaptureQueriesContext

from example_project.training.factories import TrainingClassFactory, UserFactory
from example_project.training.models import TrainingClass
from example_project.training.webhooks import TrainingClasses
from tests.outbox import prune_events
from tests.registration import disconnect
from tms_webhooks.capture import many_to_many, receivers
from tms_webhooks.models import Event, Subscription
from tms_webhooks.sources.registry import sources_of

THROUGH = TrainingClass.instructors.through


@pytest.fixture
def alice():
    return UserFactory(username="alice")


@pytest.fixture
def bob(alice):
    return UserFactory(username="bob")


def changes(recorded):
    return [
        (event["type"], event["changed"], event["previous"], event["data"]["instructor_ids"]) for event in recorded()
    ]


def test_the_other_side_records_of_each_class(training_class, alice, bob, recorded):
    other = TrainingClassFactory(organization=training_class.organization)
    training_class.instructors.add(bob)
    prune_events()

    alice.classes_taught.set([training_class, other])
    alice.classes_taught.clear()

    keys = sorted([training_class.pk, other.pk])
    assert [event["data"]["id"] for event in recorded()] == [*keys, *keys]
    assert [change[2]["instructor_ids"] for change in changes(recorded)] == [
        [bob.pk],
        [],
        [alice.pk, bob.pk],
        [alice.pk],
    ]


def test_a_change_that_nobody_wants_costs_one_query(training_class, alice):
    Subscription.objects.all().delete()

    with CaptureQueriesContext(connection) as captured:
        training_class.instructors.add(alice)

    assert sum("tms_webhooks_" in query["sql"] for query in captured) == 1


@pytest.mark.django_db(transaction=True)
def test_a_crash_before_the_event_is_written_takes_the_change_with_it(training_class, alice, monkeypatch):
    def crash(*_args, **_kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(many_to_many, "record_after_change", crash)

    with pytest.raises(KeyboardInterrupt):
        training_class.instructors.add(alice)

    assert not training_class.instructors.exists()
    assert not Event.objects.exists()


def test_a_source_that_is_let_go_records_no_more(training_class, alice):
    (source,) = (source for source in sources_of(TrainingClass) if isinstance(source, TrainingClasses))
    disconnect(source)
    try:
        training_class.instructors.add(alice)
    finally:
        receivers.connect(source)

    assert not Event.objects.exists()


def test_a_failed_change_leaves_no_old_values_to_the_next(training_class, alice, bob, recorded):
    def refuse(**_kwargs):
        raise ZeroDivisionError

    m2m_changed.connect(refuse, sender=THROUGH)
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        training_class.instructors.add(alice)
    m2m_changed.disconnect(refuse, sender=THROUGH)
    # No event is recorded.
    THROUGH.objects.bulk_create([THROUGH(trainingclass=training_class, user=bob)])

    training_class.instructors.add(alice)

    assert [change[2] for change in changes(recorded)] == [{"instructor_ids": [bob.pk]}]
