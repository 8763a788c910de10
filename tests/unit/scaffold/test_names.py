"""Names of columns that mean the same as canonical ones."""

from __future__ import annotations

import pytest

from example_project.training.models import ClassEnrollment, Organization, TrainingClass, User
from tms_webhooks.catalogue.schema import Field, FieldKind
from tms_webhooks.choices import ClassStatus, FieldPrivacy
from tms_webhooks.scaffold.names import best_likeness, column_for, likeness, opposite_for, words_of


def field(name: str, kind: FieldKind) -> Field:
    choices = ClassStatus if kind is FieldKind.STATUS else None
    return Field(name, kind, FieldPrivacy.BASIC, choices=choices)


def test_words_are_split_at_capitals_and_underscores():
    assert words_of("TrainingClass") == ["training", "class"]
    assert words_of("HTTPLink2_at") == ["http", "link", "2", "at"]


@pytest.mark.parametrize(("name", "other"), [("starts_on", "start_at"), ("is_public", "public"), ("Titles", "title")])
def test_names_that_differ_in_fillers_and_plurals_only_are_equal(name, other):
    assert likeness(name, other) == 1.0


@pytest.mark.parametrize(
    ("name", "other"), [("name", "title"), ("start_at", "end_at"), ("city", "state"), ("at", "id")]
)
def test_names_of_other_things_are_not_alike(name, other):
    assert likeness(name, other) == 0.0


def test_a_spelling_mistake_is_less_alike_than_the_name():
    assert 0 < likeness("descripton", "description") < 1


def test_a_synonym_counts_less_than_the_name_and_more_than_nothing():
    assert 0 < best_likeness("begins", "start_at") < best_likeness("starts", "start_at") + 0.1
    assert best_likeness("begins", "end_at") == 0.0


@pytest.mark.parametrize(
    ("model", "name", "kind", "column"),
    [
        (TrainingClass, "status", FieldKind.STATUS, "confirmation_status_id"),
        (TrainingClass, "created_at", FieldKind.DATETIME, "created"),
        (TrainingClass, "max_students", FieldKind.INTEGER, "max_students"),
        (TrainingClass, "instructor", FieldKind.STRING, ""),
        (ClassEnrollment, "completion_status", FieldKind.STATUS, "completion_status_id"),
        (ClassEnrollment, "name", FieldKind.STRING, ""),
        (Organization, "organization.time_zone", FieldKind.STRING, "time_zone_id"),
    ],
)
def test_the_column_that_fits_is_found_by_name_and_type(model, name, kind, column):
    assert column_for(model, field(name, kind)) == column


def test_a_column_of_another_type_does_not_fit():
    assert column_for(TrainingClass, field("created_at", FieldKind.STRING)) == ""


def test_a_column_that_another_field_has_is_not_used_again():
    assert column_for(TrainingClass, field("status", FieldKind.STATUS), taken=["confirmation_status_id"]) == ""


def test_a_column_with_the_opposite_meaning_is_found():
    assert opposite_for(User, field("disabled", FieldKind.BOOLEAN)) == "is_active"
    assert opposite_for(TrainingClass, field("disabled", FieldKind.BOOLEAN)) == "enabled"
    assert opposite_for(ClassEnrollment, field("disabled", FieldKind.BOOLEAN)) == ""
