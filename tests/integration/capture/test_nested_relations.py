"""Receivers of the host's that change a many-to-many field once more while it changes: no event is lost or recorded twice."""

import pytest
from django.db import transaction
from django.db.models.signals import m2m_changed

from example_project.training.factories import TrainingClassFactory, UserFactory
from example_project.training.models import TrainingClass
from example_project.training.webhooks import TrainingClasses
from tests.outbox import prune_events
from tests.registration import disconnect
from tms_webhooks.capture import receivers
from tms_webhooks.sources.registry import sources_of

THROUGH = TrainingClass.instructors.through


class Refused(Exception):
    """What a test ends a savepoint with."""


@pytest.fixture(params=["receivers of the app first", "receivers of the host first"])
def after_an_addition(request):
    """Call a receiver once, when instructors were added, before those of the app or after them."""
    (source,) = (source for source in sources_of(TrainingClass) if isinstance(source, TrainingClasses))
    connected = []

    def connect(receiver):
        def once(instance, action, **_kwargs):
            if action == "post_add" and connected[1:] == []:
                connected.append(instance)
                receiver(instance)

        connected.append(once)
        if request.param == "receivers of the host first":
            disconnect(source)
        m2m_changed.connect(once, sender=THROUGH)
        receivers.connect(source)

    yield connect
    m2m_changed.disconnect(connected[0], sender=THROUGH)


@pytest.fixture
def alice():
    return UserFactory(username="alice")


@pytest.fixture
def bob(alice):
    return UserFactory(username="bob")


def changes(recorded):
    return [(event["data"]["id"], event["previous"], event["data"]["instructor_ids"]) for event in recorded()]


def test_another_class_is_recorded_as_well(training_class, alice, recorded, after_an_addition):
    other = TrainingClassFactory(organization=training_class.organization)
    prune_events()
    after_an_addition(lambda _instance: other.instructors.add(alice))

    training_class.instructors.add(alice)

    expected = [(one.pk, {"instructor_ids": []}, [alice.pk]) for one in (training_class, other)]
    assert sorted(changes(recorded), key=lambda change: change[0]) == expected


def test_the_same_class_is_recorded_from_its_first_ids_to_its_last(
    training_class, alice, bob, recorded, after_an_addition
):
    after_an_addition(lambda instance: instance.instructors.add(bob))

    training_class.instructors.add(alice)

    steps = changes(recorded)
    assert (steps[0][1], steps[-1][2]) == ({"instructor_ids": []}, [alice.pk, bob.pk])
    # Each begins where the one before it ended.
    assert [step[1]["instructor_ids"] for step in steps[1:]] == [step[2] for step in steps[:-1]]


def test_what_is_taken_back_is_not_recorded(training_class, alice, bob, recorded, after_an_addition):
    def add_and_take_back(instance):
        try:
            with transaction.atomic():
                instance.instructors.add(bob)
                raise Refused
        except Refused:
            pass

    after_an_addition(add_and_take_back)

    training_class.instructors.add(alice)

    assert changes(recorded) == [(training_class.pk, {"instructor_ids": []}, [alice.pk])]


def test_another_field_that_is_saved_concurrently_is_part_of_the_same_event(
    training_class, alice, recorded, after_an_addition
):
    training_class.instructors.clear()

    def save(instance):
        instance.max_students = 3
        instance.save()

    before = training_class.max_students
    after_an_addition(save)

    training_class.instructors.add(alice)

    (event,) = recorded()
    assert event["changed"] == ["max_students", "instructor_ids"]
    assert event["previous"] == {"max_students": before, "instructor_ids": []}
