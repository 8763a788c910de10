"""The pattern of a subscription matches event types."""

import pytest

from tests.catalogue import temporary_type
from tms_webhooks import catalogue, event_names


def test_an_exact_name_means_itself():
    assert event_names.matching("class.cancelled") == ["class.cancelled"]
    assert catalogue.expand("class.cancelled") == [catalogue.get("class.cancelled")]


def test_a_noun_with_a_star_means_its_events_and_no_others():
    assert event_names.matching("achievement.*") == [
        "achievement.received",
        "achievement.updated",
        "achievement.revoked",
        "achievement.removed",
        "achievement.added",
    ]


def test_a_star_means_everything_that_happens_in_training():
    training = [event_type for event_type in catalogue.all_types() if event_type.noun.name != "webhook"]
    assert catalogue.expand("*") == [event_type for event_type in training if event_type.offered]
    assert len(training) < len(catalogue.all_types())


def test_operational_events_match_only_an_explicit_pattern():
    assert "webhook.disabled" in event_names.matching("webhook.*")
    assert event_names.patterns_for("webhook.disabled") == ["webhook.disabled", "webhook.*"]


def test_the_patterns_for_a_name_run_from_narrow_to_wide():
    assert event_names.patterns_for("class.cancelled") == ["class.cancelled", "class.*", "*"]
    assert event_names.patterns_for("exam.oral.passed") == ["exam.oral.passed", "exam.oral.*", "exam.*", "*"]


def test_the_patterns_for_a_name_are_those_that_match_it():
    names = [event_type.name for event_type in catalogue.all_types()]
    for pattern in {pattern for name in names for pattern in event_names.patterns_for(name)}:
        assert event_names.matching(pattern) == [name for name in names if pattern in event_names.patterns_for(name)]


@pytest.mark.parametrize(
    "pattern",
    ["", ".", ".*", "**", "class", "class*", "class.", "class.sched*", "*.cancelled", "courses.*", "class.*.*"],
)
def test_an_unknown_or_ill_formed_pattern_means_nothing(pattern):
    assert catalogue.expand(pattern) == []
    assert event_names.matching(pattern) == []
    assert not event_names.is_pattern_known(pattern)


def test_a_pattern_takes_in_types_that_are_registered_later(make_event_type):
    with temporary_type(make_event_type("class.photographed")):
        assert "class.photographed" in event_names.matching("class.*")
    assert "class.photographed" not in event_names.matching("class.*")


def test_a_noun_with_a_star_takes_in_names_of_more_segments(make_event_type):
    with temporary_type(make_event_type("exam.oral.passed")):
        assert event_names.matching("exam.*") == ["exam.oral.passed", "exam.removed", "exam.added"]
        assert event_names.matching("exam.oral.*") == ["exam.oral.passed"]
        assert event_names.matching("exam.o.*") == []


def test_what_is_made_for_one_webhook_matches_its_own_name_alone():
    assert event_names.matching("class.snapshot") == ["class.snapshot"]
    assert event_names.patterns_for("class.snapshot") == ["class.snapshot"]
    assert event_names.patterns_for("webhook.snapshot_completed") == ["webhook.snapshot_completed"]
    assert "webhook.snapshot_completed" not in event_names.matching("webhook.*")
    assert "class.snapshot" not in event_names.nearest_patterns("class.snapshots")


def test_a_suggestion_is_a_pattern_that_matches_something():
    nouns = {event_type.noun.name for event_type in catalogue.all_types()}
    found = {one for noun in nouns for one in event_names.nearest_patterns(f"{noun}.*")}
    assert [one for one in found if not event_names.is_pattern_known(one)] == []
    assert "class_feedback.*" in event_names.nearest_patterns("feedbacks.*")
