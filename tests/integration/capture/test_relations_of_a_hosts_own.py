"""Lists of ids behind a table that is a model of the host's, and behind a relation of a model to itself."""

from contextlib import ExitStack

import pytest
from django.db import transaction
from django.db.models.signals import post_save, pre_save

from example_project.training.factories import UserFactory
from tests.catalogue import temporary_type
from tests.integration.capture.conftest import listening
from tests.integration.capture.talks import EVENT_TYPES, TalkSource
from tests.outbox import prune_events
from tests.testapp.models import Speech, Talk
from tms_webhooks.models import Event


@pytest.fixture(autouse=True)
def _listening():
    with ExitStack() as stack:
        for event_type in EVENT_TYPES:
            stack.enter_context(temporary_type(event_type))
        yield stack.enter_context(listening(TalkSource, Talk))


@pytest.fixture
def talk(organization):
    return Talk.objects.create(organization=organization, title="Opening")


@pytest.fixture
def other(organization):
    return Talk.objects.create(organization=organization, title="Closing")


@pytest.fixture
def alice():
    return UserFactory(username="alice")


def steps(recorded, name="speaker_ids"):
    """Return of which talk each event is, the ids that it had, and those that it has."""
    return [(event["data"]["id"], event["previous"][name], event["data"][name]) for event in recorded()]


def test_a_speaker_who_goes_is_recorded(talk, alice, recorded):
    Speech.objects.create(talk=talk, speaker=alice)
    Event.objects.filter(type="talk.changed").delete()
    key = alice.pk
    alice.delete()

    assert [step for step in recorded() if step["type"] == "talk.changed"][0]["previous"] == {"speaker_ids": [key]}


def test_the_rows_of_a_talk_that_goes_are_no_change_of_it(talk, alice, recorded):
    Speech.objects.create(talk=talk, speaker=alice)
    prune_events()
    talk.delete()

    (event,) = recorded()
    assert (event["type"], event["data"]["speaker_ids"]) == ("talk.deleted", [alice.pk])


@pytest.mark.parametrize("signal", [pre_save, post_save])
def test_a_row_that_is_refused_leaves_no_old_values_to_the_next(talk, alice, recorded, signal):
    def refuse(**_kwargs):
        raise ZeroDivisionError

    signal.connect(refuse, sender=Speech)
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        Speech.objects.create(talk=talk, speaker=alice)
    signal.disconnect(refuse, sender=Speech)
    assert not Event.objects.exists()

    talk.speakers.add(alice)

    assert steps(recorded) == [(talk.pk, [], [alice.pk])]


@pytest.mark.django_db(transaction=True)
def test_a_row_and_its_event_commit_together(talk, alice, monkeypatch):
    def crash(*_args, **_kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("tms_webhooks.capture.many_to_many.record_after_change", crash)

    with pytest.raises(KeyboardInterrupt):
        Speech.objects.create(talk=talk, speaker=alice)

    assert not Speech.objects.exists()
    assert not Event.objects.exists()


def test_the_end_of_one_is_recorded_of_those_that_had_it(talk, other, recorded):
    talk.kindred.add(other)
    prune_events()
    key = talk.pk
    talk.delete()

    deleted, changed = recorded()
    assert (deleted["type"], deleted["data"]["id"], deleted["data"]["kindred_ids"]) == ("talk.deleted", key, [other.pk])
    assert (changed["type"], changed["data"]["id"], changed["previous"]) == (
        "talk.changed",
        other.pk,
        {"kindred_ids": [key]},
    )
