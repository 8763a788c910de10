"""Whichever way a row is created, changed or deleted, the events about it are the same."""

import pytest
import reversion
from django.utils import timezone

from tests.hosts.assigned.models import Proposal
from tests.hosts.inherited.models import OnlineTraining
from tests.hosts.people.models import Account, Learner, Study
from tests.hosts.roles.models import Participation
from tests.hosts.routes import CHANGES, CREATIONS, DELETIONS
from tests.hosts.tagged.models import TaggedClass
from tests.hosts.versioned.models import RecordedCourse, RevertedCourse

SCHEDULED, TENTATIVE = {"code": 0, "name": "Scheduled"}, {"code": 4, "name": "Tentative"}
CLASS = ["tenant", "topic"]
VERSIONED = ["kept_in_history", "kept_in_revisions"]

# A model with the fixtures and the values of a new row; then the type of its event, and some of the event's data.
CREATED = [
    (OnlineTraining, CLASS, {"title": "Azure", "meeting": "M", "seats": 7}, "class.scheduled", {"max_students": 7}),
    (
        Learner,
        ["tenant"],
        {"name": "Alice", "city": "Bergen"},
        "user.created",
        {"user_name": "Alice", "city": "Bergen"},
    ),
    (Account, ["tenant"], {"name": "Bob"}, None, {}),
    (Study, ["person"], {}, "user.created", {"user_name": "Dan"}),
    (Participation, ["meetup", "member"], {"role": "learner"}, "enrollment.requested", {}),
    (Participation, ["meetup", "member"], {"role": "trainer"}, None, {}),
    (TaggedClass, CLASS, {"title": "Azure", "is_active": True}, "class.scheduled", {}),
    (TaggedClass, CLASS, {"title": "Azure", "is_active": False}, "class.tentative", {"status": TENTATIVE}),
    (Proposal, ["topic"], {"title": "Azure"}, None, {}),
    *(
        (model, CLASS, {"title": "Azure"}, "class.scheduled", {"name": "Azure"})
        for model in (RecordedCourse, RevertedCourse)
    ),
]
# What is more than a change of the object's own row, which test_every_change.py tries: a fixture or an attribute of it, with the
# new values; then the type of its event, the old values, and some of its data.
CHANGED = [
    ("online.training_ptr", {"state": "cancelled"}, "class.cancelled", {"status": SCHEDULED}, {"max_students": 10}),
    ("learner.account_ptr", {"name": "Carol"}, "user.updated", {"user_name": "Alice"}, {"city": "Oslo"}),
    ("account", {"name": "Carol"}, None, {}, {}),
    ("study.person", {"name": "Eve"}, "user.updated", {"user_name": "Dan"}, {}),
    ("person", {"name": "Eve"}, None, {}, {}),
    ("study", {"kind": "alumnus"}, "user.deleted", {}, {"user_name": "Dan"}),
    ("trainer", {"state": "enrolled"}, None, {}, {}),
    ("trainer", {"role": "learner"}, "enrollment.requested", {}, {}),
    ("participant", {"role": "trainer"}, "enrollment.deleted", {}, {}),
    ("clinic", {"deleted_at": timezone.now()}, "class.deleted", {}, {"name": "Azure"}),
]
# A fixture or an attribute of it; then the type of its event, and some of its data.
DELETED = [
    ("online", "class.deleted", {"max_students": 10}),
    ("online.training_ptr", "class.deleted", {"max_students": 10}),
    ("learner", "user.deleted", {"user_name": "Alice", "city": "Oslo"}),
    ("learner.account_ptr", "user.deleted", {"user_name": "Alice", "city": "Oslo"}),
    ("account", None, {}),
    ("study.person", "user.deleted", {"user_name": "Dan"}),
    ("study", "user.deleted", {"user_name": "Dan"}),
    ("participant", "enrollment.deleted", {}),
    ("trainer", None, {}),
    *((path, "class.deleted", {"name": "Azure"}) for path in ("clinic", "lecture", *VERSIONED)),
]


@pytest.fixture
def row(request):
    """Return the object of a fixture, or an attribute of it."""

    def row(path):
        fixture, _dot, attribute = path.partition(".")
        found = request.getfixturevalue(fixture)
        return getattr(found, attribute) if attribute else found

    return row


@pytest.fixture
def expect(recorded):
    """Compare the events with the only one that is expected, or with none."""

    def expect(event_type, previous, data):
        events = recorded()
        assert [event["type"] for event in events] == [event_type] * bool(event_type)
        for event in events:
            assert event["previous"] == previous
            # A changed list of names has its old values, a first and a last event have none.
            assert sorted(event["changed"]) == sorted(previous)
            assert {name: event["data"][name] for name in data} == data

    return expect


@pytest.mark.parametrize("create", CREATIONS)
@pytest.mark.parametrize("model, fixtures, values, event_type, data", CREATED)
def test_a_new_row(create, model, fixtures, values, event_type, data, row, expect):
    if create == "bulk_create" and model in {OnlineTraining, Learner}:
        pytest.skip("Django inserts no rows that have a parent in bulk.")

    with reversion.create_revision():
        CREATIONS[create](model, **{name: row(name) for name in fixtures}, **values)

    expect(event_type, {}, data)


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("path, values, event_type, previous, data", CHANGED)
def test_a_change(change, path, values, event_type, previous, data, row, expect):
    with reversion.create_revision():
        change(row(path), **values)

    expect(event_type, previous, data)


@pytest.mark.parametrize("delete", DELETIONS.values(), ids=DELETIONS)
@pytest.mark.parametrize("path, event_type, data", DELETED)
def test_a_deletion(delete, path, event_type, data, row, expect):
    with reversion.create_revision():
        delete(row(path))

    expect(event_type, {}, data)
