"""Multi-table inheritance with both models registered: each change of a class is one event, by whichever model it is made."""

from __future__ import annotations

import pytest
from django.db import transaction

from tests.hosts.inherited.models import OnlineTraining, Training
from tests.hosts.models import Member
from tests.hosts.routes import CHANGES, CREATIONS, DELETIONS
from tests.outbox import prune_events

CHILD_CREATIONS = {name: create for name, create in CREATIONS.items() if name != "bulk_create"}


@pytest.fixture
def online(tenant, topic):
    online = OnlineTraining.objects.create(tenant=tenant, topic=topic, title="Azure", meeting="Meet 1")
    prune_events()
    return online


@pytest.fixture
def bob(tenant):
    bob = Member.objects.create(email="bob@example.com", given_name="Bob", tenant=tenant)
    prune_events()
    return bob


@pytest.mark.parametrize("create", CHILD_CREATIONS.values(), ids=CHILD_CREATIONS)
def test_a_new_child_is_one_event_with_the_childs_values(create, tenant, topic, recorded):
    create(OnlineTraining, tenant=tenant, topic=topic, title="Azure", meeting="Meet 1", seats=7)

    (event,) = recorded()
    assert (event["type"], event["data"]["name"], event["data"]["max_students"]) == ("class.scheduled", "Azure", 7)


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_of_a_childs_own_column_is_one_event(change, online, recorded):
    change(online, seats=20)

    (event,) = recorded()
    assert (event["type"], event["changed"], event["previous"]) == (
        "class.updated",
        ["max_students"],
        {"max_students": 10},
    )


@pytest.mark.parametrize("by", ["child", "parent"])
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_of_a_parents_column_is_one_event_by_both_models(change, by, online, recorded):
    change(online if by == "child" else online.training_ptr, state="cancelled")

    (event,) = recorded()
    assert (event["type"], event["changed"], event["data"]["max_students"]) == ("class.cancelled", ["status"], 10)


@pytest.mark.parametrize("by", ["child", "parent"])
@pytest.mark.parametrize("delete", DELETIONS.values(), ids=DELETIONS)
def test_a_deletion_is_one_event_by_both_models(delete, by, online, recorded):
    delete(online if by == "child" else online.training_ptr)

    (event,) = recorded()
    assert (event["type"], event["data"]["max_students"]) == ("class.deleted", 10)


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


def test_a_child_that_leaves_its_parent_behind_is_a_class_still(online, recorded):
    online.delete(keep_parents=True)

    assert [event["type"] for event in recorded()] == []
    assert Training.objects.exists()
