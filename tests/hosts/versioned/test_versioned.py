"""Packages that keep old versions write rows of their own; each change of a class is recorded once all the same."""

from __future__ import annotations

import pytest
import reversion
from reversion.models import Version

from tests.hosts.routes import CHANGES, CREATIONS, DELETIONS
from tests.hosts.versioned.models import RecordedCourse, RevertedCourse
from tests.outbox import prune_events


@pytest.fixture(params=[RecordedCourse, RevertedCourse], ids=["simple-history", "reversion"])
def model(request):
    return request.param


@pytest.fixture
def course(model, tenant, topic):
    course = model.objects.create(tenant=tenant, topic=topic, title="Azure")
    prune_events()
    return course


@pytest.mark.parametrize("create", CREATIONS.values(), ids=CREATIONS)
def test_a_new_class_is_one_event(create, model, tenant, topic, recorded):
    with reversion.create_revision():
        create(model, tenant=tenant, topic=topic, title="Azure")

    (event,) = recorded()
    assert (event["type"], event["data"]["name"]) == ("class.scheduled", "Azure")


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_is_one_event(change, course, recorded):
    with reversion.create_revision():
        change(course, state="cancelled")

    (event,) = recorded()
    assert (event["type"], event["changed"]) == ("class.cancelled", ["status"])


@pytest.mark.parametrize("delete", DELETIONS.values(), ids=DELETIONS)
def test_a_deletion_is_one_event(delete, course, recorded):
    with reversion.create_revision():
        delete(course)

    assert [event["type"] for event in recorded()] == ["class.deleted"]


@pytest.mark.parametrize("model", [RevertedCourse], indirect=True)
def test_a_revert_is_one_change(course, recorded):
    with reversion.create_revision():
        course.save()
    course.title = "Renamed"
    course.state = "cancelled"
    course.save()
    prune_events()

    Version.objects.get_for_object(course).first().revision.revert()

    (event,) = recorded()
    assert (event["type"], event["data"]["name"]) == ("class.scheduled", "Azure")
    assert event["previous"] == {"name": "Renamed", "status": {"code": 2, "name": "Cancelled"}}


@pytest.mark.parametrize("model", [RevertedCourse], indirect=True)
def test_a_revert_of_a_deletion_is_a_new_class(course, recorded):
    with reversion.create_revision():
        course.save()
    key = course.pk
    course.delete()

    Version.objects.get_deleted(RevertedCourse).get().revision.revert()

    assert [(event["type"], event["data"]["id"]) for event in recorded()] == [
        ("class.deleted", str(key)),
        ("class.scheduled", str(key)),
    ]
