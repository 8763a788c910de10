"""A version that is brought back is a change, or a new class. `tests.hosts.test_routes` has what the packages do as rows change."""

import reversion
from reversion.models import Version

from tests.hosts.versioned.models import RevertedCourse
from tests.outbox import prune_events


def test_a_revert_is_one_change(kept_in_revisions, recorded):
    course = kept_in_revisions
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


def test_a_revert_of_a_deletion_is_a_new_class(kept_in_revisions, recorded):
    with reversion.create_revision():
        kept_in_revisions.save()
    key = kept_in_revisions.pk
    kept_in_revisions.delete()

    Version.objects.get_deleted(RevertedCourse).get().revision.revert()

    assert [(event["type"], event["data"]["id"]) for event in recorded()] == [
        ("class.deleted", str(key)),
        ("class.scheduled", str(key)),
    ]
