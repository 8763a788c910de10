"""Each object counts its own events, from 1 and without gaps."""

import json
from uuid import uuid4

import pytest
from django.db import transaction
from django.utils import timezone

from example_project.training.factories import ClassEnrollmentFactory, TrainingClassFactory
from tests.factories import WebhookFactory
from tests.outbox import number_events, prune_events
from tms_webhooks.models import Event, EventSequence
from tms_webhooks.outbox.fanout import fan_out
from tms_webhooks.signals import event_recorded


class Refused(Exception):
    """What a test ends a transaction with."""


@pytest.fixture
def training_class():
    training_class = TrainingClassFactory()
    WebhookFactory(organization=training_class.organization, events=["*"])
    return training_class


def sequences(subject):
    number_events()
    return list(Event.objects.filter(subject_id=str(subject.pk)).order_by("pk").values_list("sequence", flat=True))


def test_an_object_counts_from_one(training_class, recorded):
    training_class.cancel()
    training_class.schedule()
    training_class.guarantee()

    assert sequences(training_class) == [1, 2, 3]
    assert [event["sequence"] for event in recorded()] == [1, 2, 3]


def test_objects_of_two_kinds_with_one_key_count_apart(training_class):
    enrollment = ClassEnrollmentFactory(training_class=training_class, pk=training_class.pk)
    training_class.cancel()
    number_events()

    assert set(Event.objects.filter(subject_id=str(enrollment.pk)).values_list("subject_type", "sequence")) >= {
        ("enrollment", 1),
        ("class", 1),
    }


def test_keys_that_differ_by_case_accents_or_spaces_count_apart(training_class):
    training_class.cancel()
    event, keys = Event.objects.get(), ["ab", "AB", "ab ", "äb"]
    for key in keys * 2:
        event.pk, event.uid, event.subject_id = None, uuid4(), key
        event.save(force_insert=True)
    number_events()

    numbered = Event.objects.filter(subject_type=event.subject_type)
    assert {
        key: [*numbered.filter(subject_id=key).values_list("sequence", flat=True)] for key in keys
    } == dict.fromkeys(keys, [2, 1])
    assert EventSequence.objects.current(event.subject_type, keys, using="default") == dict.fromkeys(keys, 2)


def test_a_number_that_was_rolled_back_is_given_again(training_class):
    training_class.cancel()
    with pytest.raises(Refused), transaction.atomic():
        training_class.guarantee()
        assert sequences(training_class) == [1, 2]
        raise Refused
    training_class.guarantee()

    assert sequences(training_class) == [1, 2]


def test_a_number_of_a_fan_out_that_was_rolled_back_is_given_again(training_class):
    training_class.cancel()
    with pytest.raises(Refused), transaction.atomic():
        number_events()
        raise Refused

    assert Event.objects.get().sequence is None
    assert sequences(training_class) == [1]


def test_an_event_is_announced_and_stored_without_a_number(training_class):
    announced = []

    def receive(event, **_kwargs):
        announced.append((event.sequence, json.loads(event.body)["sequence"]))

    event_recorded.connect(receive)
    try:
        training_class.cancel()
    finally:
        event_recorded.disconnect(receive)

    assert announced == [(None, None)]
    fan_out(timezone.now())
    event = Event.objects.get()
    assert (event.sequence, json.loads(event.body)["sequence"]) == (1, 1)


def test_a_number_is_in_each_body_that_is_read_and_no_body_is_written_again(training_class):
    stored = Event.objects.values_list("body", flat=True)
    training_class.cancel()
    (written,) = stored

    fan_out(timezone.now())

    assert list(stored.all()) == [written]
    numbered = written.replace('"sequence":null', '"sequence":1')
    events = Event.objects.all()
    assert [one.get().body for one in (events, events.defer("body"), events.only("body"))] == [numbered] * 3


def test_a_body_that_was_stored_with_its_number_is_read_as_it_is(training_class):
    training_class.cancel()
    number_events()
    event = Event.objects.get()
    # A value of the host's that looks like a body without a number.
    stored = event.body.replace('"data":{', '"data":{"raw":{"sequence":null,"actor":null},', 1)
    Event.objects.update(body=stored)

    assert Event.objects.get().body == stored


def test_a_deferred_body_is_read_in_one_query(training_class, django_assert_num_queries):
    training_class.cancel()
    number_events()
    event = Event.objects.defer("body").get()

    with django_assert_num_queries(1):
        assert json.loads(event.body)["sequence"] == 1


def test_pruned_events_leave_their_number_taken(training_class):
    training_class.cancel()
    prune_events()

    training_class.guarantee()

    assert sequences(training_class) == [2]
