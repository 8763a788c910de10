"""The way from an object to the organizations whose webhooks hear of it."""

from __future__ import annotations

import pytest

from example_project.training.models import (
    ClassEnrollment,
    CourseAssignment,
    Organization,
    Role,
    TrainingClass,
    User,
)
from tests.unit.checks.conftest import Say, ids, only
from tms_webhooks.sources import ClassSource, CourseAssignmentSource, EnrollmentSource, UserSource

STATUS = {"status": "confirmation_status_id"}
ENROLLMENT = {"status": "enrollment_status_id", "completion_status": "completion_status_id"}


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("organisation", "training.TrainingClass has no attribute 'organisation'"),
        ("course.organisation", "training.Course has no attribute 'organisation'"),
        ("course", "it leads to training.Course"),
        ("name", "training.TrainingClass has only a plain column 'name'"),
        ("primary_instructor.managed_organizations", "training.User has many objects in 'managed_organizations'"),
    ],
)
def test_the_path_has_to_lead_to_an_organization(say: Say, path: str, problem: str) -> None:
    message = only(say(ClassSource, TrainingClass, fields=STATUS, organization=path), "E035")
    assert message.msg == f"organization is {path!r}, but {problem}."
    assert str(message.hint).startswith(
        'Write the path from training.TrainingClass to training.Organization, such as organization = "user.organization".'
    )


def test_the_nearest_attributes_are_suggested(say: Say) -> None:
    message = only(say(ClassSource, TrainingClass, fields=STATUS, organization="organisation"), "E035")
    assert 'Did you mean "organization"?' in str(message.hint)


def test_the_hint_lists_the_paths_of_foreign_keys_that_lead_there(say: Say) -> None:
    message = only(say(ClassSource, TrainingClass, fields=STATUS, organization="owner"), "E035")
    assert str(message.hint).endswith(
        ' These lead there: organization = "organization" or organization = "course.organization" or '
        'organization = "company.organization".'
    )


def test_the_hint_lists_paths_to_the_learners_organization(say: Say) -> None:
    message = only(
        say(EnrollmentSource, ClassEnrollment, fields=ENROLLMENT, learner_organization="learner.organization"), "E036"
    )
    assert str(message.hint).endswith(
        ' These lead there: learner_organization = "user.organization" or '
        'learner_organization = "training_class.organization" or learner_organization = "classroom.organization".'
    )


def test_where_no_foreign_keys_lead_there_the_hint_lists_no_path(say: Say) -> None:
    messages = say(UserSource, Role, organization="owner", fields={"user_name": "name"})
    (message,) = [one for one in messages if one.id == "tms_webhooks.E035"]
    assert "These lead there" not in str(message.hint)


@pytest.mark.parametrize("path", ["organization", "organization_id", "company.organization", "organization.parent"])
def test_any_way_to_an_organization_is_fine(say: Say, path: str) -> None:
    assert say(ClassSource, TrainingClass, fields=STATUS, organization=path) == []


def test_the_column_of_the_key_may_be_named_by_itself(say: Say) -> None:
    fields = {"organization.id": "pk", "organization.external_id": "external_id", "user_name": ""}
    assert say(UserSource, Organization, fields=fields, rules=()) == []


def test_a_property_may_lead_to_the_organization(say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TrainingClass, "owner", property(lambda self: self.organization), raising=False)
    assert say(ClassSource, TrainingClass, fields=STATUS, organization="owner") == []


def test_so_may_that_of_objects_that_expire(say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CourseAssignment, "owner", property(lambda self: self.user.organization), raising=False)
    assert say(CourseAssignmentSource, CourseAssignment, organization="owner") == []


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("user.organisation", "training.User has no attribute 'organisation'"),
        ("user.company", "it leads to training.Company"),
    ],
)
def test_the_learners_organization_has_to_be_one(say: Say, path: str, problem: str) -> None:
    message = only(say(EnrollmentSource, ClassEnrollment, fields=ENROLLMENT, learner_organization=path), "E036")
    assert message.msg == f"learner_organization is {path!r}, but {problem}."
    assert "or learner_organization = None." in str(message.hint)


@pytest.mark.parametrize("path", [None, "user.organization", "user.company.organization"])
def test_the_learners_organization_may_be_left_out(say: Say, path: str | None) -> None:
    assert say(EnrollmentSource, ClassEnrollment, fields=ENROLLMENT, learner_organization=path) == []


def test_where_there_is_no_organization_model_another_check_reports_it(say: Say, settings) -> None:
    settings.TMS_WEBHOOKS_ORGANIZATION_MODEL = "training.Organisation"
    assert ids(say(UserSource, User, organization="company")) == []
