"""What the models show of an attribute path: a column, an object, or where it can't be followed."""

import pytest

from example_project.training.models import Organization, TrainingClass, User
from tests.testapp.models import Site
from tms_webhooks.sources.paths import broken_path, column_at, follow, lookup_of, may_be_null, references_of

CLASS = "training.TrainingClass"


@pytest.mark.parametrize(
    "model, path, lookup, reason",
    [
        (TrainingClass, "name", "name", ""),
        (TrainingClass, "course.name", "course__name", ""),
        # The row has the key already.
        (TrainingClass, "course.pk", "course_id", ""),
        (TrainingClass, "course_id", "course_id", ""),
        (TrainingClass, "organization.parent.id", "organization__parent_id", ""),
        # Either side of a one-to-one field
        (Site, "lease.pk", "lease__id", ""),
        (Site, "lease.nothing", None, "testapp.Lease has no attribute 'nothing'"),
        # A property may return anything.
        (TrainingClass, "num_enroll.x", None, ""),
        (TrainingClass, "pk.x", None, f"{CLASS} has only a plain column 'pk'"),
        (TrainingClass, "name.x", None, f"{CLASS} has only a plain column 'name'"),
        (TrainingClass, "nothing.x", None, f"{CLASS} has no attribute 'nothing'"),
        (TrainingClass, "enrollments.x", None, f"{CLASS} has many objects in 'enrollments'"),
        (TrainingClass, "", None, f"{CLASS} has no attribute ''"),
    ],
)
def test_a_path_is_followed_to_a_column_or_to_its_first_obstacle(model, path, lookup, reason):
    found = broken_path(model, path)
    assert (lookup_of(model, path), str(found or "")) == (lookup, reason)


@pytest.mark.parametrize(
    "path, target, column, nullable, references",
    [
        ("organization", Organization, "organization", False, []),
        ("organization.parent", Organization, "parent", True, ["organization"]),
        ("primary_instructor.email", None, "email", True, ["primary_instructor"]),
        ("num_enroll", None, None, True, []),
    ],
)
def test_a_path_leads_to_an_object_or_a_value(path, target, column, nullable, references):
    assert follow(TrainingClass, path) is target
    assert getattr(column_at(TrainingClass, path), "name", None) == column
    assert may_be_null(TrainingClass, path) is nullable
    assert references_of(TrainingClass, path) == references


def test_a_list_leads_to_no_single_object():
    assert (follow(User, "enrollments"), lookup_of(User, "enrollments"), may_be_null(User, "enrollments")) == (
        None,
        None,
        True,
    )
