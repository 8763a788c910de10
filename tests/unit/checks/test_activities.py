"""The source of an activity must lead to a course assignment, and not back to itself."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from example_project.training.models import ActivityResult, CourseAssignment, User
from tests.unit.checks.conftest import Say, ids, only
from tms_webhooks.sources import ActivityProgressSource, CourseAssignmentSource, Source

Declare = Callable[..., Source]


@pytest.fixture
def assignments(declare: Declare) -> Source:
    return declare(CourseAssignmentSource, CourseAssignment)


def test_an_assignment_that_is_registered_will_do(assignments: Source, say: Say) -> None:
    assert say(ActivityProgressSource, ActivityResult) == []


def test_one_that_is_not_is_reported(say: Say) -> None:
    message = only([one for one in say(ActivityProgressSource, ActivityResult) if one.id.endswith("E057")], "E057")
    assert message.msg == (
        "assignment is 'assignment', but training.CourseAssignment is not registered with a CourseAssignmentSource."
    )
    assert "register their model with a CourseAssignmentSource" in str(message.hint)


def test_a_mapping_that_goes_round_in_circles_is_reported(say: Say) -> None:
    said = say(ActivityProgressSource, User, assignment="manager", organization="organization")
    (message,) = [one for one in said if one.id.endswith("E057")]
    assert message.msg == "assignment is 'manager', which leads back to the same model."


def test_two_that_read_each_other_are_reported(declare: Declare, say: Say) -> None:
    declare(ActivityProgressSource, User, assignment="manager", organization="organization")
    assert ids(say(ActivityProgressSource, CourseAssignment, assignment="user")).count("E057") == 2


def test_a_path_without_a_foreign_key_is_reported(assignments: Source, say: Say) -> None:
    said = say(ActivityProgressSource, ActivityResult, assignment="score")
    (message,) = [one for one in said if one.id.endswith("E057")]
    assert message.msg == "assignment is 'score', which is not a foreign key of training.ActivityResult."
