"""A host may give a key as the text that came with a request: it names the same object as the key that the row has."""

import uuid
from contextlib import ExitStack

import pytest
from django.db.models.signals import post_save

from example_project.training.factories import UserFactory
from tests.catalogue import temporary_type
from tests.integration.capture.conftest import listening
from tests.integration.capture.reconcile.conftest import Workshops
from tests.integration.capture.talks import EVENT_TYPES, TalkSource
from tests.integration.capture.workshops import WorkshopSource
from tests.testapp.models import Speech, Talk, Ticket, Workshop
from tms_webhooks.models import SourceState
from tms_webhooks.reconciliation import ReconcileResult, reconcile


@pytest.fixture
def talks(organization):
    with ExitStack() as stack:
        for event_type in EVENT_TYPES:
            stack.enter_context(temporary_type(event_type))
        stack.enter_context(listening(TalkSource, Talk))
        yield [Talk.objects.create(organization=organization, title=title) for title in ("Opening", "Closing")]


def test_a_row_between_two_that_is_moved_to_a_talk_by_its_text(talks, recorded):
    first, second = talks
    alice = UserFactory()
    speech = Speech.objects.create(talk=first, speaker=alice)

    speech.talk_id = str(second.pk)
    speech.save()

    steps = [(event["data"]["id"], event["data"]["speaker_ids"]) for event in recorded()]
    assert steps == [(first.pk, [alice.pk]), (first.pk, []), (second.pk, [alice.pk])]


def test_a_save_in_the_middle_of_one_of_the_same_row(listen, organization, recorded):
    made = Workshop.objects.create(organization=organization, title="Pair programming", seats=1)

    def save_again(instance, **_kwargs):
        if instance.seats == 2:
            inner = Workshop.objects.get(pk=instance.pk)
            inner.seats = 3
            inner.save()

    # Before ours: the events of the outer save are not recorded yet when the inner one begins.
    post_save.connect(save_again, sender=Workshop)
    listen(WorkshopSource, Workshop)
    Workshop(pk=str(made.pk), organization=organization, title="Pair programming", seats=2).save()
    post_save.disconnect(save_again, sender=Workshop)

    steps = [(event["previous"].get("seats"), event["data"]["seats"]) for event in recorded()]
    assert steps == [(1, 2), (2, 3)]


@pytest.mark.parametrize("spelled", [str, lambda key: key.hex], ids=["with hyphens", "without"])
def test_a_row_is_remembered_by_its_key(listen, organization, clock, spelled):
    source = listen(Workshops, Ticket)
    reconcile(source, now=clock.now)
    key = uuid.UUID(int=7)

    ticket = Ticket.objects.create(pk=spelled(key), organization=organization, title="Balcony")
    ticket.title = "Stalls"
    ticket.save()

    assert list(SourceState.objects.values_list("key", flat=True)) == [f'"{key}"']
    assert reconcile(source, now=clock.now) == ReconcileResult(seen=1)
    ticket.delete()
    assert not SourceState.objects.exists()
