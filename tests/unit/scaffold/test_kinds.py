"""Which source a model is."""

from __future__ import annotations

import pytest

from example_project.training import models
from tms_webhooks.scaffold.kinds import SOURCES, guess_kind, kind_by_name
from tms_webhooks.sources.registry import all_sources


@pytest.mark.parametrize("source", all_sources(), ids=repr)
def test_the_models_of_the_example_project_are_what_it_registers_them_for(source):
    guess = guess_kind(source.model)
    if source.noun.name == "learning_path":
        # Computed of the assignments.
        assert guess.kind == "course_assignment"
    elif source.noun.name == "course_assignment":
        assert guess.kind in ("course_assignment", "activity")
    else:
        assert guess.kind == source.noun.name


def test_a_model_with_courses_is_a_path_that_can_be_computed():
    assert guess_kind(models.LearningPath).kind == "computed_learning_path"


@pytest.mark.parametrize("model", [models.Organization, models.Role, models.Classroom, models.Company])
def test_a_model_that_no_noun_describes_has_no_source(model):
    assert guess_kind(model).kind == ""


def test_the_reason_names_what_the_guess_was_made_from():
    assert guess_kind(models.ClassEnrollment).reason == (
        "the name ClassEnrollment, the foreign keys 'training_class' and 'user'"
    )
    assert guess_kind(models.User).reason == "AUTH_USER_MODEL"


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        (models.Organization, "organization"),
        (models.User, "user"),
        (models.Course, "course"),
        (models.Classroom, "classroom"),
        (models.Role, ""),
    ],
)
def test_the_kind_of_a_related_model_follows_from_its_name(model, kind):
    assert kind_by_name(model) == kind


def test_each_kind_has_a_source_of_its_own():
    assert len(set(SOURCES.values())) == len(SOURCES)
