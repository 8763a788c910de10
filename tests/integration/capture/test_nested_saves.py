"""Receivers of the host's that save the object which is being saved: each event begins where the last one ended."""

import contextlib

import pytest
from django.db import transaction
from django.db.models import QuerySet
from django.db.models.signals import post_save, pre_save

from tests import uncaptured
from tests.integration.capture.workshops import WorkshopSource
from tests.outbox import number_events
from tests.testapp.models import Workshop
from tms_webhooks.models import Event


class Refused(Exception):
    """What a test ends a savepoint with."""


@contextlib.contextmanager
def receiving(signal, receiver):
    """Call a receiver for the first save of a workshop alone, as one has to that saves it again."""
    calls = []

    def once(instance, **_kwargs):
        if not calls:
            calls.append(instance)
            receiver(instance)

    signal.connect(once, sender=Workshop)
    try:
        yield
    finally:
        signal.disconnect(once, sender=Workshop)


@pytest.fixture(params=["receivers of the app first", "receivers of the host first"])
def listen_around(request, listen):
    """Listen to workshops before the host's receivers or after them: nothing may depend on it."""

    def around(signal, receiver, action):
        if request.param == "receivers of the app first":
            listen(WorkshopSource, Workshop)
            with receiving(signal, receiver):
                action()
        else:
            with receiving(signal, receiver):
                listen(WorkshopSource, Workshop)
                action()

    return around


@pytest.fixture
def workshop(organization):
    return Workshop.objects.create(organization=organization, title="Pair programming")


def steps(recorded):
    return [(event["type"], event["sequence"], event["previous"], event["data"]["title"]) for event in recorded()]


def save(workshop, **values):
    for name, value in values.items():
        setattr(workshop, name, value)
    workshop.save()


def test_a_second_save_after_the_first_is_a_second_event(listen_around, workshop, recorded):
    listen_around(post_save, lambda instance: save(instance, title="Second"), lambda: save(workshop, title="First"))

    assert steps(recorded) == [
        ("workshop.changed", 1, {"title": "Pair programming"}, "First"),
        ("workshop.changed", 2, {"title": "First"}, "Second"),
    ]


def test_a_new_object_that_is_saved_again_is_created_once(listen_around, organization, recorded):
    listen_around(
        post_save,
        lambda instance: save(instance, title="Second"),
        lambda: Workshop.objects.create(organization=organization, title="First"),
    )

    assert steps(recorded) == [
        ("workshop.created", 1, {}, "First"),
        ("workshop.changed", 2, {"title": "First"}, "Second"),
    ]


def test_a_save_before_the_write_comes_first(listen_around, workshop, recorded):
    def before(instance):
        other = Workshop.objects.get(pk=instance.pk)
        save(other, title="Zeroth")

    listen_around(pre_save, before, lambda: save(workshop, title="First"))

    assert steps(recorded) == [
        ("workshop.changed", 1, {"title": "Pair programming"}, "Zeroth"),
        ("workshop.changed", 2, {"title": "Zeroth"}, "First"),
    ]


def test_an_object_that_a_receiver_saves_before_it_is_saved_is_created_once(listen_around, organization, recorded):
    listen_around(
        pre_save,
        lambda instance: save(instance, title="Zeroth"),
        lambda: save(Workshop(organization=organization), title="First"),
    )

    assert [step[0] for step in steps(recorded)] == ["workshop.created"]
    assert Workshop.objects.count() == 1


@pytest.mark.parametrize("seats", [10, 12])
def test_a_second_save_that_is_rolled_back_leaves_the_first(listen_around, workshop, recorded, seats):
    def in_vain(instance):
        with contextlib.suppress(Refused), transaction.atomic():
            save(Workshop.objects.get(pk=instance.pk), title="Second", seats=seats)
            raise Refused

    listen_around(post_save, in_vain, lambda: save(workshop, title="First"))

    assert steps(recorded) == [("workshop.changed", 1, {"title": "Pair programming"}, "First")]
    assert Workshop.objects.get().title == "First"


def test_a_third_save_after_one_that_was_rolled_back_begins_where_the_first_ended(listen_around, workshop, recorded):
    def in_vain_then_in_earnest(instance):
        with contextlib.suppress(Refused), transaction.atomic():
            save(Workshop.objects.get(pk=instance.pk), title="Second")
            raise Refused
        save(Workshop.objects.get(pk=instance.pk), title="Third")

    listen_around(post_save, in_vain_then_in_earnest, lambda: save(workshop, title="First"))

    assert steps(recorded) == [
        ("workshop.changed", 1, {"title": "Pair programming"}, "First"),
        ("workshop.changed", 2, {"title": "First"}, "Third"),
    ]


def test_a_change_without_signals_between_write_and_reading_is_part_of_the_change(listen, workshop, recorded):
    def quietly(instance):
        uncaptured.update(QuerySet(Workshop).filter(pk=instance.pk), seats=3)

    with receiving(post_save, quietly):
        listen(WorkshopSource, Workshop)
        save(workshop, title="First")

    (event,) = recorded()
    assert (event["previous"], event["data"]["seats"]) == ({"title": "Pair programming", "seats": 10}, 3)


def test_an_object_that_a_receiver_deletes_is_recorded_until_its_end(listen_around, workshop, recorded):
    listen_around(post_save, lambda instance: Workshop(pk=instance.pk).delete(), lambda: save(workshop, title="First"))

    assert steps(recorded) == [
        ("workshop.changed", 1, {"title": "Pair programming"}, "First"),
        ("workshop.deleted", 2, {}, "First"),
    ]


def test_saving_another_object_in_between_mixes_nothing_up(listen_around, workshop, organization, recorded):
    other = Workshop.objects.create(organization=organization, title="Mob programming")

    listen_around(post_save, lambda _instance: save(other, title="Second"), lambda: save(workshop, title="First"))

    assert sorted((event["previous"]["title"], event["data"]["title"]) for event in recorded()) == [
        ("Mob programming", "Second"),
        ("Pair programming", "First"),
    ]
    number_events()
    assert set(Event.objects.values_list("sequence", flat=True)) == {1}
