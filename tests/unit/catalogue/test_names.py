"""Which names an event type may have, and how one is found."""

from __future__ import annotations

import re

import pytest

from tests.catalogue import temporary_type
from tests.unit.catalogue.conftest import MakeEventType
from tms_webhooks import catalogue, event_names
from tms_webhooks.exceptions import ConfigurationError, UnknownEventType

PROMISED = {
    "class": "scheduled guaranteed_to_run cancelled rescheduled tentative requested denied completed updated deleted snapshot",
    "class_feedback": "created",
    "course_feedback": "created",
    "feedback": "snapshot",
    "course_assignment": "created started completed expired expiring cancelled updated reopened deleted progressed snapshot",
    "subscription": "created expiring expired cancelled updated reopened deleted snapshot",
    "enrollment": "requested cancelled waitlisted approved denied audited enrolled "
    "attending completed incomplete no_show failed updated deleted snapshot",
    "user": "created updated activated deactivated deleted merged closed snapshot",
    "learning_path": "completed snapshot",
    "achievement": "received revoked snapshot",
    "voucher": "redeemed returned expiring snapshot",
    "webhook": "test failing disabled recovered exhausted secret_rotated snapshot_completed",
}


def test_the_catalogue_holds_the_emitted_types_and_no_others() -> None:
    promised = [f"{noun}.{verb}" for noun, verbs in PROMISED.items() for verb in verbs.split()]
    assert sorted(event_type.name for event_type in catalogue.types.BUILT_IN) == sorted(promised)
    assert set(catalogue.types.BUILT_IN) <= set(catalogue.all_types())


def test_every_name_is_two_segments_in_the_past_tense_alphabet() -> None:
    for event_type in catalogue.types.BUILT_IN:
        assert re.fullmatch(r"[a-z0-9_]+\.[a-z0-9_]+", event_type.name), event_type.name


def test_types_are_grouped_by_noun_in_the_order_of_registration() -> None:
    groups = catalogue.grouped()
    assert list(groups)[:10] == [
        "class",
        "feedback",
        "course_assignment",
        "subscription",
        "enrollment",
        "user",
        "learning_path",
        "achievement",
        "voucher",
        "webhook",
    ]
    assert [event_type.name for event_type in groups["feedback"]] == [
        "class_feedback.created",
        "course_feedback.created",
        "feedback.snapshot",
    ]
    assert groups["class"][0].name == "class.scheduled"
    assert groups["class"][-1].name == "class.snapshot"


def test_get_finds_a_type_by_its_exact_name() -> None:
    assert catalogue.get("enrollment.waitlisted").name == "enrollment.waitlisted"


def test_the_error_of_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(UnknownEventType) as caught:
        catalogue.get("enrolment.waitlisted")
    assert str(caught.value).startswith(
        'Unknown event type "enrolment.waitlisted". Did you mean "enrollment.waitlisted"'
    )
    assert event_names.nearest("enrolment.waitlisted")[0] == "enrollment.waitlisted"


def test_the_error_of_a_name_whose_noun_is_misspelled_suggests_events_of_the_nearest_noun() -> None:
    with pytest.raises(UnknownEventType) as caught:
        catalogue.get("clas.x")
    assert str(caught.value).startswith('Unknown event type "clas.x". Did you mean "class.')
    assert all(name.startswith("class.") for name in event_names.nearest("clas.x"))
    assert "class.snapshot" not in event_names.nearest("class.x")


def test_the_error_of_a_name_like_no_other_suggests_nothing() -> None:
    with pytest.raises(UnknownEventType) as caught:
        catalogue.get("zzz")
    assert str(caught.value) == 'Unknown event type "zzz".'


def test_a_host_registers_a_type_of_its_own(make_event_type: MakeEventType) -> None:
    event_type = make_event_type("exam.passed")
    with temporary_type(event_type) as registered:
        assert registered is event_type
        assert catalogue.get("exam.passed") is event_type
        snapshot = catalogue.all_types()[-1]
        assert catalogue.grouped()["exam"] == [event_type, snapshot]
        assert (snapshot.name, snapshot.offered) == ("exam.snapshot", False)
        snapshot.validate(snapshot.example())
    assert not event_names.is_pattern_known("exam.passed")
    assert not event_names.is_known("exam.snapshot")


def test_a_temporary_type_goes_even_if_the_block_raises(make_event_type: MakeEventType) -> None:
    with pytest.raises(ZeroDivisionError), temporary_type(make_event_type("exam.passed")):
        _ = 1 / 0
    assert not event_names.is_pattern_known("exam.passed")


def test_a_second_type_of_one_name_is_refused_and_the_first_stays(make_event_type: MakeEventType) -> None:
    first = catalogue.get("class.scheduled")
    with pytest.raises(ConfigurationError, match='The event type "class.scheduled" is registered already'):
        catalogue.register(make_event_type("class.scheduled"))
    assert catalogue.get("class.scheduled") is first


@pytest.mark.parametrize(
    "name", ["", "exam", "Exam.passed", "exam.", ".passed", "exam..passed", "exam.pass ed", "exam.*", "a.b\n"]
)
def test_an_ill_formed_name_is_refused(name: str, make_event_type: MakeEventType) -> None:
    with pytest.raises(ConfigurationError, match="is not an event name"):
        catalogue.register(make_event_type(name))
    assert name not in [event_type.name for event_type in catalogue.all_types()]


def test_a_name_may_have_more_than_two_segments(make_event_type: MakeEventType) -> None:
    with temporary_type(make_event_type("exam.oral.passed")):
        assert catalogue.get("exam.oral.passed").name == "exam.oral.passed"


def test_the_snapshot_of_a_noun_is_its_usual_sample_without_what_one_event_adds() -> None:
    usual, snapshot = catalogue.get("class.scheduled").example(), catalogue.get("class.snapshot").example()
    assert (snapshot["data"], snapshot["changed"], snapshot["previous"]) == (usual["data"], [], {})
    assert snapshot["actor"] == {"kind": "system", "id": None}


def test_a_second_type_of_a_hosts_noun_leaves_its_snapshot_the_last(make_event_type: MakeEventType) -> None:
    first = make_event_type("exam.passed")
    with temporary_type(first), temporary_type(make_event_type("exam.failed", noun=first.noun)):
        assert [one.name for one in catalogue.grouped()["exam"]] == ["exam.passed", "exam.failed", "exam.snapshot"]
