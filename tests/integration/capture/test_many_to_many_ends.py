"""The deletion of a related object: the objects that had it in a many-to-many field each record one event."""

import pytest
from django.db import connection, transaction
from django.db.models.signals import pre_delete
from django.test.utils import CaptureQueriesContext

from example_project.training.factories import TrainingClassFactory, UserFactory
from example_project.training.models import TrainingClass, User
from tests.outbox import prune_events


@pytest.fixture
def alice():
    return UserFactory(username="alice")


@pytest.fixture
def bob(alice):
    return UserFactory(username="bob")


def changes(recorded):
    return [
        (event["type"], event["data"]["id"], event["previous"], event["data"]["instructor_ids"]) for event in recorded()
    ]


def test_an_instructor_who_goes_is_recorded_of_each_class(training_class, alice, bob, recorded):
    other = TrainingClassFactory(organization=training_class.organization)
    TrainingClassFactory(organization=training_class.organization)
    training_class.instructors.set([alice, bob])
    other.instructors.set([alice])
    prune_events()

    key = alice.pk
    alice.delete()

    assert changes(recorded) == [
        ("class.updated", training_class.pk, {"instructor_ids": [key, bob.pk]}, [bob.pk]),
        ("class.updated", other.pk, {"instructor_ids": [key]}, []),
    ]


def test_several_who_go_at_once_are_one_change_of_a_class(training_class, alice, bob, recorded):
    training_class.instructors.set([alice, bob])
    prune_events()

    User.objects.filter(username__in=["alice", "bob"]).delete()

    assert changes(recorded) == [("class.updated", training_class.pk, {"instructor_ids": [alice.pk, bob.pk]}, [])]


def test_a_class_that_goes_is_not_changed_by_that(training_class, alice, recorded):
    training_class.instructors.set([alice])
    prune_events()

    TrainingClass.objects.all().delete()

    assert [(kind, ids) for kind, _key, _previous, ids in changes(recorded)] == [("class.deleted", [alice.pk])]


def test_an_end_that_is_refused_leaves_no_old_values_to_the_next(training_class, alice, bob, recorded):
    training_class.instructors.set([alice])
    prune_events()

    def refuse(**_kwargs):
        raise ZeroDivisionError

    pre_delete.connect(refuse, sender=User)
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        alice.delete()
    pre_delete.disconnect(refuse, sender=User)
    training_class.instructors.add(bob)

    assert changes(recorded) == [
        ("class.updated", training_class.pk, {"instructor_ids": [alice.pk]}, [alice.pk, bob.pk])
    ]


def test_who_teaches_nothing_costs_one_query(training_class, alice):
    with CaptureQueriesContext(connection) as captured:
        alice.delete()

    between = [query["sql"] for query in captured if "_instructors" in query["sql"]]
    # The second one is Django's.
    assert [sql.split()[0] for sql in between] == ["SELECT", "DELETE"]
