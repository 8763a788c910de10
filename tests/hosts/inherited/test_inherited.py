"""Multi-table inheritance with the parent registered: each change of its row is one event, by whichever model it is made."""

import pytest
from django.db import transaction

from tests.hosts.inherited.models import OnlineTraining, Training
from tests.hosts.models import Member
from tests.hosts.routes import CHANGES
from tests.outbox import prune_events


@pytest.fixture
def bob(tenant):
    bob = Member.objects.create(email="bob@example.com", given_name="Bob", tenant=tenant)
    prune_events()
    return bob


@pytest.mark.parametrize("model", [Training, OnlineTraining], ids=["parent", "child"])
def test_a_queryset_of_parents_and_children_is_one_event_for_each(model, online, tenant, topic, recorded):
    Training.objects.create(tenant=tenant, topic=topic, title="Python")
    prune_events()

    model.objects.update(state="cancelled")

    titles = ["Azure", "Python"] if model is Training else ["Azure"]
    assert sorted(event["data"]["name"] for event in recorded()) == titles


@pytest.mark.parametrize("route", ["admin", "REST"])
@pytest.mark.parametrize("by", ["child", "parent"])
def test_a_list_that_is_saved_after_the_row_is_part_of_its_event(route, by, online, bob, recorded):
    obj = online if by == "child" else online.training_ptr

    with transaction.atomic(using="training"):
        CHANGES[route](obj, title="Renamed", trainers=[bob.pk])

    (event,) = recorded()
    assert (event["type"], event["changed"]) == ("class.updated", ["name", "instructor_ids"])
    assert event["data"]["instructor_ids"] == [str(bob.pk)]
