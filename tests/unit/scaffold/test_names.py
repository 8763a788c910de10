"""Names of columns and choices that mean the same as canonical ones."""

import pytest

from example_project.training.models import ClassEnrollment, Organization, TrainingClass, User
from tms_webhooks import choices
from tms_webhooks.catalogue.schema import Field, FieldKind
from tms_webhooks.scaffold.names import alike, column_for, meaning_of, meanings_of, opposite_for, words_of


def field(name, kind):
    return Field(
        name, kind, choices.FieldPrivacy.BASIC, choices=choices.ClassStatus if kind is FieldKind.STATUS else None
    )


def test_words_are_split_at_capitals_and_underscores():
    assert words_of("TrainingClass") == ["training", "class"]
    assert words_of("HTTPLink2_at") == ["http", "link", "2", "at"]


@pytest.mark.parametrize(
    "name, other, expected",
    [
        ("starts_on", "start_at", True),
        ("is_public", "public", True),
        ("Titles", "title", True),
        ("name", "title", False),
        ("start_at", "end_at", False),
        ("city", "state", False),
        ("at", "id", False),
    ],
)
def test_names_are_alike_if_they_differ_in_fillers_and_plurals_only(name, other, expected):
    assert alike(name, other) is expected


@pytest.mark.parametrize(
    "model, name, kind, column",
    [
        (TrainingClass, "status", FieldKind.STATUS, "confirmation_status_id"),
        (TrainingClass, "created_at", FieldKind.DATETIME, "created"),
        (TrainingClass, "max_students", FieldKind.INTEGER, "max_students"),
        (TrainingClass, "instructor", FieldKind.STRING, ""),
        (ClassEnrollment, "completion_status", FieldKind.STATUS, "completion_status_id"),
        (ClassEnrollment, "name", FieldKind.STRING, ""),
        (Organization, "organization.time_zone", FieldKind.STRING, "time_zone_id"),
        # A column of another type
        (TrainingClass, "created_at", FieldKind.STRING, ""),
    ],
)
def test_the_column_that_fits_is_found_by_name_and_type(model, name, kind, column):
    assert column_for(model, field(name, kind)) == column


def test_a_column_that_another_field_has_is_not_used_again():
    assert column_for(TrainingClass, field("status", FieldKind.STATUS), taken=["confirmation_status_id"]) == ""


def test_a_column_with_the_opposite_meaning_is_found():
    assert opposite_for(User, field("disabled", FieldKind.BOOLEAN)) == "is_active"
    assert opposite_for(TrainingClass, field("disabled", FieldKind.BOOLEAN)) == "enabled"
    assert opposite_for(ClassEnrollment, field("disabled", FieldKind.BOOLEAN)) == ""


@pytest.mark.parametrize(
    "value, label, statuses, meaning",
    [
        ("cancelled", "Cancelled", choices.ClassStatus, "Cancelled"),
        ("x", "No Show", choices.CompletionStatus, "No Show"),
        ("no-show", "Did not come", choices.CompletionStatus, "No Show"),
        (3, "no-show", choices.CompletionStatus, "No Show"),
        (0, "Cancelled", choices.ClassStatus, "Cancelled"),
        ("planned", "Planned", choices.ClassStatus, ""),
        ("awaiting", "Awaiting payment", choices.EnrollmentStatus, ""),
        (1, "1", choices.ClassStatus, ""),
    ],
)
def test_a_value_means_the_status_that_its_label_or_its_own_name_says(value, label, statuses, meaning):
    assert meanings_of([(value, label)], statuses) == {value: meaning}


@pytest.mark.parametrize("value, meaning", [(0, "Scheduled"), ("scheduled", "Scheduled"), ("planned", ""), (None, "")])
def test_a_value_is_read_as_a_number_or_a_name(value, meaning):
    assert meaning_of(value, choices.ClassStatus) == meaning
