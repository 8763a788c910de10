"""A status that is made of a boolean and a tag has old values, and each way to change one of them is one event."""

import pytest
from django.db import transaction

from tests.hosts.routes import CHANGES
from tests.hosts.tagged.models import Tag
from tests.outbox import prune_events

SCHEDULED, CANCELLED, TENTATIVE = (
    {"code": 0, "name": "Scheduled"},
    {"code": 2, "name": "Cancelled"},
    {"code": 4, "name": "Tentative"},
)


@pytest.fixture
def off():
    return Tag.objects.create(word="cancelled")


ADD = {
    "add": lambda tagged, off: tagged.tags.add(off),
    "set": lambda tagged, off: tagged.tags.set([off]),
    "add on the other side": lambda tagged, off: off.taggedclass_set.add(tagged),
    "admin": lambda tagged, off: CHANGES["admin"](tagged, tags=[off.pk]),
    "REST": lambda tagged, off: CHANGES["REST"](tagged, tags=[off.pk]),
}


@pytest.mark.parametrize("add", ADD.values(), ids=ADD)
def test_the_tag_changes_the_status(add, tagged, off, recorded):
    add(tagged, off)

    (event,) = recorded()
    assert (event["type"], event["data"]["status"], event["previous"]) == (
        "class.cancelled",
        CANCELLED,
        {"status": SCHEDULED},
    )


REMOVE = {
    "remove": lambda tagged, off: tagged.tags.remove(off),
    "clear": lambda tagged, off: tagged.tags.clear(),
    "delete": lambda tagged, off: off.delete(),
    "delete of a queryset": lambda tagged, off: Tag.objects.all().delete(),
}


@pytest.mark.parametrize("remove", REMOVE.values(), ids=REMOVE)
def test_without_the_tag_the_status_is_that_of_the_boolean_again(remove, tagged, off, recorded):
    tagged.tags.add(off)
    prune_events()

    remove(tagged, off)

    (event,) = recorded()
    assert (event["type"], event["previous"]) == ("class.scheduled", {"status": CANCELLED})


def test_a_tag_that_means_nothing_is_no_event(tagged, recorded):
    tagged.tags.add(Tag.objects.create(word="popular"))

    assert recorded() == []


def test_a_form_that_changes_both_is_one_event_of_the_last_status_with_the_old_one(tagged, off, recorded):
    with transaction.atomic(using="training"):
        CHANGES["REST"](tagged, title="Renamed", tags=[off.pk])

    assert [(event["type"], event["changed"]) for event in recorded()] == [
        ("class.updated", ["name"]),
        ("class.cancelled", ["status"]),
    ]
