"""What a subscription's pattern means."""

from __future__ import annotations

import pytest

from tests.unit.catalogue.conftest import MakeEventType
from tms_webhooks import catalogue


def test_an_exact_name_means_itself() -> None:
    assert catalogue.names_matching("class.cancelled") == ["class.cancelled"]
    assert catalogue.expand("class.cancelled") == [catalogue.get("class.cancelled")]


def test_a_noun_with_a_star_means_its_events_and_no_others() -> None:
    assert catalogue.names_matching("class.*") == [
        "class.scheduled",
        "class.guaranteed_to_run",
        "class.cancelled",
        "class.rescheduled",
        "class.tentative",
        "class.requested",
        "class.denied",
        "class.completed",
        "class.updated",
        "class.deleted",
    ]


def test_a_star_means_every_event() -> None:
    assert catalogue.expand("*") == catalogue.all_types()


@pytest.mark.parametrize(
    "pattern",
    ["", ".", ".*", "**", "class", "class*", "class.", "class.sched*", "*.cancelled", "course.*", "class.*.*"],
)
def test_an_unknown_or_ill_formed_pattern_means_nothing(pattern: str) -> None:
    assert catalogue.expand(pattern) == []
    assert catalogue.names_matching(pattern) == []
    assert not catalogue.is_pattern_known(pattern)


@pytest.mark.parametrize("pattern", ["class.cancelled", "class_feedback.*", "webhook.test", "*"])
def test_a_pattern_that_means_something_is_known(pattern: str) -> None:
    assert catalogue.is_pattern_known(pattern)


def test_a_pattern_takes_in_types_that_are_registered_later(make_event_type: MakeEventType) -> None:
    with catalogue.temporarily(make_event_type("class.photographed")):
        assert "class.photographed" in catalogue.names_matching("class.*")
    assert "class.photographed" not in catalogue.names_matching("class.*")


def test_a_noun_with_a_star_takes_in_names_of_more_segments(make_event_type: MakeEventType) -> None:
    with catalogue.temporarily(make_event_type("exam.oral.passed")):
        assert catalogue.names_matching("exam.*") == ["exam.oral.passed"]
        assert catalogue.names_matching("exam.oral.*") == ["exam.oral.passed"]
        assert catalogue.names_matching("exam.o.*") == []
