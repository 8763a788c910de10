"""Which names an event type may have, and how one is found."""

import pytest

from tests.catalogue import temporary_type
from tms_webhooks import catalogue, event_names
from tms_webhooks.exceptions import ConfigurationError, UnknownEventType


@pytest.mark.parametrize(
    "name, suggestion",
    [
        ("enrolment.waitlisted", ' Did you mean "enrollment.waitlisted"'),
        ("clas.x", ' Did you mean "class.'),
        ("zzz", ""),
    ],
)
def test_the_error_of_an_unknown_name_suggests_the_nearest_that_is_offered(name, suggestion):
    with pytest.raises(UnknownEventType) as caught:
        catalogue.get(name)
    assert str(caught.value).startswith(f'Unknown event type "{name}".{suggestion}')
    assert bool(event_names.nearest(name)) == bool(suggestion)
    assert "class.snapshot" not in event_names.nearest(name)


def test_a_host_registers_a_type_of_its_own(make_event_type):
    event_type = make_event_type("exam.passed")
    with temporary_type(event_type) as registered:
        assert registered is event_type
        assert catalogue.get("exam.passed") is event_type
        *moves, snapshot = catalogue.all_types()[-3:]
        assert catalogue.grouped()["exam"] == [event_type, *moves, snapshot]
        assert [(one.name, one.offered) for one in moves] == [("exam.removed", True), ("exam.added", True)]
        assert (snapshot.name, snapshot.offered) == ("exam.snapshot", False)
        for one in (*moves, snapshot):
            one.validate(one.example())
    assert not event_names.is_pattern_known("exam.passed")
    assert not event_names.is_known("exam.snapshot")


def test_a_second_type_of_one_name_is_refused_and_the_first_stays(make_event_type):
    first = catalogue.get("class.scheduled")
    with pytest.raises(ConfigurationError, match='The event type "class.scheduled" is registered already'):
        catalogue.register(make_event_type("class.scheduled"))
    assert catalogue.get("class.scheduled") is first


@pytest.mark.parametrize(
    "name", ["", "exam", "Exam.passed", "exam.", ".passed", "exam..passed", "exam.pass ed", "exam.*", "a.b\n"]
)
def test_an_ill_formed_name_is_refused(name, make_event_type):
    with pytest.raises(ConfigurationError, match="is not an event name"):
        catalogue.register(make_event_type(name))
    assert name not in [event_type.name for event_type in catalogue.all_types()]


def test_the_snapshot_of_a_noun_is_its_usual_sample_without_what_one_event_adds():
    usual, snapshot = catalogue.get("class.scheduled").example(), catalogue.get("class.snapshot").example()
    assert (snapshot["data"], snapshot["changed"], snapshot["previous"]) == (usual["data"], [], {})
    assert snapshot["actor"] == {"kind": "system", "id": None}


def test_the_removal_of_an_object_has_its_ids_alone():
    removed = catalogue.get("enrollment.removed")
    assert removed.example()["data"] == {
        "id": 70031,
        "external_id": "ENR-70031",
        "classroom": {"id": 77},
        "user": {"id": 5012, "external_id": "E-20417"},
        "class": {"id": 8840, "external_id": "AZ-104-2026-12"},
        "course": {"id": 301, "external_id": "AZ-104"},
    }
    assert removed.schema()["properties"]["data"]["required"] == ["id"]


def test_what_stays_with_its_first_organization_has_no_moves():
    assert event_names.matching("learning_path.*") == ["learning_path.completed"]
    assert not event_names.is_known("learning_path.removed")


def test_a_second_type_of_a_hosts_noun_leaves_its_moves_and_its_snapshot_the_last(make_event_type):
    first = make_event_type("exam.passed")
    with temporary_type(first), temporary_type(make_event_type("exam.failed", noun=first.noun)):
        assert [one.name for one in catalogue.grouped()["exam"]] == [
            "exam.passed",
            "exam.failed",
            "exam.removed",
            "exam.added",
            "exam.snapshot",
        ]
