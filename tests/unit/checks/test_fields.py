"""The mapping: names that exist, paths that lead somewhere, nothing missing."""

from __future__ import annotations

from typing import Any

import pytest

from example_project.training.models import (
    ClassEnrollment,
    CourseAssignment,
    CourseFeedback,
    LearningPath,
    Organization,
    TrainingClass,
    User,
    Voucher,
)
from tests.unit.checks.conftest import Say, ids, only
from tms_webhooks.catalogue.types.feedback import FEEDBACK
from tms_webhooks.catalogue.types.user import USER
from tms_webhooks.scaffold.names import is_secret
from tms_webhooks.sources import (
    ClassSource,
    Constant,
    CourseAssignmentSource,
    Created,
    Custom,
    EnrollmentSource,
    FeedbackSource,
    First,
    Not,
    Source,
    UserSource,
    VoucherSource,
)

STATUS = {"status": "confirmation_status_id"}
ENROLLMENT = {"status": "enrollment_status_id", "completion_status": "completion_status_id"}


# Names


def test_a_name_that_is_no_field_gets_the_nearest_as_a_suggestion(say: Say) -> None:
    message = only(say(ClassSource, TrainingClass, fields={**STATUS, "start": "start_at"}), "E031")
    assert message.msg == "fields['start'] is not a field of the noun 'class'."
    assert str(message.hint).startswith("Write one of id, external_id, name, ")
    assert str(message.hint).endswith('Did you mean "start_at" or "status"?')


def test_a_reference_is_a_name(say: Say) -> None:
    assert say(ClassSource, TrainingClass, fields={**STATUS, "instructor": "primary_instructor"}) == []


def test_the_organization_is_named_in_the_class_and_not_in_fields(say: Say) -> None:
    message = only(say(ClassSource, TrainingClass, fields={**STATUS, "organization": "company.organization"}), "E031")
    assert message.hint == (
        'Write organization = "company.organization" in the class itself; `fields` does not change it.'
    )


# Paths


def test_a_value_in_a_list_of_objects_is_a_name(say: Say) -> None:
    fields = {**STATUS, "session_times": "session_times", "session_times.start_at": "start_at"}
    assert say(ClassSource, TrainingClass, fields=fields) == []


def test_the_path_of_a_value_in_a_list_begins_at_a_listed_object(say: Say) -> None:
    fields = {**STATUS, "session_times": "session_times", "session_times.start_at": "begins"}
    message = only(say(ClassSource, TrainingClass, fields=fields), "E032")
    assert message.msg == (
        "fields['session_times.start_at'] is 'begins', but training.SessionTime has no attribute 'begins'."
    )
    assert str(message.hint).startswith("Correct the path, which begins at training.SessionTime, or write")


def test_a_value_that_the_objects_of_a_list_do_not_have_is_refused(say: Say) -> None:
    message = only(say(ClassSource, TrainingClass, fields={**STATUS, "session_times.room": "room"}), "E031")
    assert message.msg == "fields['session_times.room'] is not a field of the noun 'class'."


def test_a_property_of_a_listed_object_is_never_sent(say: Say) -> None:
    fields = {**STATUS, "instructors": "instructors", "instructors.first_name": "get_full_name"}
    message = only(say(ClassSource, TrainingClass, fields=fields), "W055")
    assert message.msg == (
        "fields['instructors.first_name'] is 'get_full_name', which is no column: it is null in each object of the list."
    )
    assert "fields = {'instructors': …}" in str(message.hint)


def test_a_path_that_leads_nowhere_is_reported_with_its_end(say: Say) -> None:
    message = only(say(ClassSource, TrainingClass, fields={**STATUS, "name": "course.nome"}), "E032")
    assert message.msg == "fields['name'] is 'course.nome', but training.Course has no attribute 'nome'."
    assert message.hint == (
        'Correct the path, which begins at training.TrainingClass, or write "" to leave the field out. '
        'Did you mean "name"?'
    )


def test_the_first_step_of_a_path_is_looked_at_too(say: Say) -> None:
    message = only(say(ClassSource, TrainingClass, fields={"status": "confirmation_status"}), "E032")
    assert message.msg == (
        "fields['status'] is 'confirmation_status', but training.TrainingClass has no attribute 'confirmation_status'."
    )
    assert str(message.hint).endswith('Did you mean "confirmation_status_id"?')


def test_the_key_of_the_object_is_no_path_to_another_object(say: Say) -> None:
    message = only(say(ClassSource, TrainingClass, fields={**STATUS, "course": "pk"}), "E032")
    assert message.msg == "fields['course'] is 'pk', but training.TrainingClass has only a plain column 'pk'."


def test_a_path_that_goes_on_behind_a_plain_column_is_refused(say: Say) -> None:
    message = only(say(ClassSource, TrainingClass, fields={**STATUS, "name": "name.title"}), "E032")
    assert message.msg == "fields['name'] is 'name.title', but training.TrainingClass has only a plain column 'name'."


def test_a_reference_has_to_lead_to_an_object(say: Say) -> None:
    message = only(say(ClassSource, TrainingClass, fields={**STATUS, "instructor": "name"}), "E032")
    assert message.msg == "fields['instructor'] is 'name', but training.TrainingClass has only a plain column 'name'."


@pytest.mark.parametrize(
    "path", ["pk", "num_enroll", "get_absolute_url.x", "course.pk", "course_id", "organization.parent.name", ""]
)
def test_columns_properties_and_empty_paths_can_be_followed(
    say: Say, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr(TrainingClass, "get_absolute_url", lambda self: "", raising=False)
    assert say(ClassSource, TrainingClass, fields={**STATUS, "name": path}) == []


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("enrollments.user.name", "training.TrainingClass has many objects in 'enrollments'"),
        ("course.subscription_profiles", "training.Course has many objects in 'subscription_profiles'"),
        ("course.learning_paths.name", "training.Course has many objects in 'learning_paths'"),
        ("objects", "training.TrainingClass has many objects in 'objects'"),
    ],
)
def test_a_path_through_many_objects_is_refused(say: Say, path: str, problem: str) -> None:
    message = only(say(ClassSource, TrainingClass, fields={**STATUS, "name": path}), "E033")
    assert message.msg == f"fields['name'] is {path!r}, but {problem}."
    assert str(message.hint).startswith("Name a property of ")


@pytest.mark.parametrize("path", ["logentry", "logentry_set"])
def test_many_objects_may_have_two_names(say: Say, path: str) -> None:
    message = only(say(UserSource, User, fields={"title": path}), "E033")
    assert message.msg == f"fields['title'] is {path!r}, but training.User has many objects in {path!r}."


def test_only_what_can_be_followed_is_suggested(say: Say) -> None:
    message = only(say(ClassSource, TrainingClass, fields={**STATUS, "name": "enrollment"}), "E032")
    # A property and no relation to many.
    assert '"num_enroll"' in str(message.hint)
    assert '"enrollments"' not in str(message.hint)


def test_what_the_apps_own_classes_assume_may_be_missing(say: Say) -> None:
    # `user_name` is `username` by default, and an organization has no such thing.
    messages = say(UserSource, Organization, organization="parent")
    assert "E032" not in ids(messages)


# Computed values


def test_computed_values_are_fields_that_the_model_has(say: Say) -> None:
    fields = {"disabled": Not("is_active"), "title": Constant("Dr."), "time_zone": First("time_zone_id", "city")}
    assert say(UserSource, User, fields=fields) == []
    assert say(ClassSource, TrainingClass, fields={"status": Constant("Scheduled")}) == []


# What is missing


def test_a_required_field_has_to_be_found(say: Say) -> None:
    message = only(say(ClassSource, TrainingClass), "E034")
    assert (
        message.msg == "'status' is needed by the noun 'class', but 'status' does not exist on training.TrainingClass."
    )
    assert message.hint == (
        'Name the attribute: fields = {"status": "confirmation_status_id"}. If `derived` makes the value, list it in '
        "`supplies`."
    )


def test_where_no_column_fits_the_hint_names_none(say: Say) -> None:
    message = only(say(ClassSource, LearningPath, fields={"course": "", "course.id": "pk"}), "E034")
    assert str(message.hint).startswith('Name the attribute: fields = {"status": "…"}.')


def test_a_missing_reference_is_guessed_from_the_foreign_keys(say: Say) -> None:
    messages = say(VoucherSource, Voucher, rules=(Created("class_feedback.created"),), noun=FEEDBACK, deadline=None)
    (message,) = [message for message in messages if "'class.id'" in message.msg]
    assert message.msg == (
        "'class.id' is needed by class_feedback.created, but 'class.id' does not exist on training.Voucher."
    )
    assert str(message.hint).startswith('Name the attribute: fields = {"class": "redeemed_class"}.')


def test_a_required_field_can_not_be_left_out(say: Say) -> None:
    message = only(say(ClassSource, TrainingClass, fields={"status": ""}), "E034")
    assert message.msg == "'status' is needed by the noun 'class', but it is left out."


def test_a_field_that_derived_makes_is_not_missing(say: Say) -> None:
    attributes = {"derived": lambda self, values: {"status": 1}, "supplies": lambda self: ("status",)}
    assert say(ClassSource, TrainingClass, **attributes) == []


def test_a_required_reference_is_named_by_its_key(say: Say) -> None:
    fields = {**ENROLLMENT, "class": ""}
    message = only(say(EnrollmentSource, ClassEnrollment, fields=fields), "E034")
    assert message.msg == "'class.id' is needed by the noun 'enrollment', but it is left out."
    assert str(message.hint).startswith('Name the attribute: fields = {"class": "training_class"}.')


def test_a_wrong_path_is_not_reported_again_as_missing(say: Say) -> None:
    only(say(EnrollmentSource, ClassEnrollment, fields={**ENROLLMENT, "class": "training_clas"}), "E032")


def test_an_event_that_can_happen_needs_its_own_fields(say: Say) -> None:
    fields = {"course": "", "class": "class_enrollment.training_class"}
    message = only(say(FeedbackSource, CourseFeedback, fields=fields), "E034")
    assert message.msg == "'course.id' is needed by course_feedback.created, but it is left out."


def test_an_event_that_can_not_happen_needs_nothing(say: Say) -> None:
    messages = say(FeedbackSource, CourseFeedback, fields={"class": ""})
    assert ids(messages) == ["W047"]
    assert (
        messages[0].msg == "Never emitted, because training.CourseFeedback has no 'class.id': class_feedback.created."
    )


def test_the_completion_of_an_assignment_follows_from_its_dates(say: Say) -> None:
    messages = say(CourseAssignmentSource, CourseAssignment, fields={"completion_status": "", "started_at": ""})
    reported = {(number, message.msg) for number, message in zip(ids(messages), messages, strict=True)}
    needed = "'completion_status' is needed by course_assignment.expired, but it is left out."
    assert ("E034", needed) in reported


def test_a_derived_status_is_not_missing(say: Say) -> None:
    assert say(CourseAssignmentSource, CourseAssignment, fields={"completion_status": ""}) == []


def test_a_model_with_another_key_maps_its_id(say: Say) -> None:
    source = {"noun": USER, "rules": (Created("user.created"),), "fields": {"id": "pk"}}
    assert say(Source, User, **source) == []


# Values of a wrong meaning, and secrets in payloads


@pytest.mark.parametrize(
    ("source", "model", "name", "column"),
    [(UserSource, User, "disabled", "is_active"), (ClassSource, TrainingClass, "is_public", "course.hidden")],
)
def test_a_boolean_that_means_the_opposite_is_warned_of(
    say: Say, monkeypatch: pytest.MonkeyPatch, source: Any, model: Any, name: str, column: str
) -> None:
    monkeypatch.setattr("example_project.training.models.Course.hidden", False, raising=False)
    fields = {name: column} if source is UserSource else {**STATUS, name: column}
    message = only(say(source, model, fields=fields), "W102")
    assert message.msg == f"fields[{name!r}] is {column!r}, whose name means the opposite."
    assert str(message.hint).startswith(f'Write fields = {{"{name}": Not("{column}")}}.')


@pytest.mark.parametrize("path", [Not("is_active"), "is_staff", ""])
def test_a_boolean_that_is_negated_or_has_another_meaning_is_passed(say: Say, path: Any) -> None:
    assert "W102" not in ids(say(UserSource, User, fields={"disabled": path}))


@pytest.mark.parametrize(
    "declared",
    [
        {"fields": {"title": "password"}},
        {"custom": {"hash": "password"}},
        {"custom": {"hash": Custom("password", privacy="personal")}},
    ],
)
def test_a_password_in_a_payload_is_warned_of(say: Say, declared: Any) -> None:
    message = only(say(UserSource, User, **declared), "W103")
    assert "is read by the path 'password', which looks like a secret" in message.msg


@pytest.mark.parametrize(
    "declared",
    [
        {"custom": {"password_changed": Custom("password", kind="fingerprint")}},
        {"reads": {"hash": "password"}},
        {"fields": {"title": "email"}},
    ],
)
def test_a_fingerprint_and_a_value_that_is_not_sent_are_passed(say: Say, declared: Any) -> None:
    assert say(UserSource, User, **declared) == []


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("password", True),
        ("api_tokens", True),
        ("apiKey", True),
        ("client_secret", True),
        ("public_key", False),
        ("tokenizer", False),
        ("passport", False),
    ],
)
def test_names_of_secrets(name: str, is_one: bool) -> None:
    assert is_secret(name) is is_one
