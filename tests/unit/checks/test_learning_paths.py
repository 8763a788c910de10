"""Learning paths whose completion is worked out from their courses."""

from __future__ import annotations

from typing import Any

import pytest

from example_project.training.models import CourseAssignment
from tests.unit.checks.conftest import Say, only
from tms_webhooks.sources import ComputedLearningPathSource

PATH = {"path_model": "training.LearningPath"}


def test_a_computed_learning_path_names_its_model(say: Say) -> None:
    message = only(say(ComputedLearningPathSource, CourseAssignment), "E050")
    assert message.msg == "path_model is None, which is not a model."
    assert message.hint == "Write path_model = 'app_label.ModelName' with your model of learning paths."


def test_a_model_that_does_not_exist_gets_the_nearest_as_a_suggestion(say: Say) -> None:
    message = only(say(ComputedLearningPathSource, CourseAssignment, path_model="training.LearningPaths"), "E050")
    assert message.msg == "path_model is 'training.LearningPaths', which is not a model."
    assert 'Did you mean "training.LearningPath"' in str(message.hint)


@pytest.mark.parametrize(
    ("attributes", "text", "hint"),
    [
        (
            {"path_courses": "course"},
            "path_courses is 'course', but training.LearningPath has no such relation to many courses.",
            'Name the relation from the path to its courses. Did you mean "courses"?',
        ),
        (
            {"path_courses": "organization"},
            "path_courses is 'organization', but training.LearningPath has no such relation to many courses.",
            "Name the relation from the path to its courses.",
        ),
        (
            {"path_courses": "subscription_profiles"},
            "path_courses is 'subscription_profiles', but it leads to training.SubscriptionProfile, not to training.Course.",
            'Name the relation from the path to its courses. Did you mean "subscription_profiles"?',
        ),
        (
            {"path_enabled": "is_enabled"},
            "path_enabled is 'is_enabled', but training.LearningPath has no such field.",
            'Name the field that says whether the path is in use, or write "" if the model has none. Did you mean "enabled"?',
        ),
    ],
)
def test_the_names_on_the_path_exist(say: Say, attributes: dict[str, Any], text: str, hint: str) -> None:
    message = only(say(ComputedLearningPathSource, CourseAssignment, **PATH, **attributes), "E051")
    assert (message.msg, message.hint) == (text, hint)


@pytest.mark.parametrize("enabled", ["enabled", ""])
def test_right_names_are_passed(say: Say, enabled: str) -> None:
    assert say(ComputedLearningPathSource, CourseAssignment, **PATH, path_enabled=enabled) == []


def test_the_course_of_the_assignment_has_to_be_found(say: Say) -> None:
    message = only(say(ComputedLearningPathSource, CourseAssignment, **PATH, fields={"course": ""}), "E034")
    assert message.msg == "'course.id' is needed by the noun 'learning_path', but it is left out."
