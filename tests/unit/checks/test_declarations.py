"""Owners, selected rows and computed values: each path has to be one that a query can read."""

from __future__ import annotations

from typing import Any

import pytest

from example_project.training.models import ClassEnrollment, CourseAssignment, TrainingClass
from tests.testapp.models import Lesson
from tests.unit.checks.conftest import Say, ids, only
from tms_webhooks.sources import ClassSource, Constant, CourseAssignmentSource, EnrollmentSource, First, Not, Row

BARE: dict[str, Any] = {"status": Constant("Scheduled"), "name": "title"}
ENROLLMENT = {"status": "enrollment_status_id", "completion_status": "completion_status_id"}


def test_a_sound_declaration_says_nothing(say: Say) -> None:
    declared = {
        "organizations": "series.organizations",
        "fields": {**BARE, "enabled": Not("called_off"), "description": First("series.kind", "role")},
        "only": {"labels.word": ["public", None], "learner": Not(None)},
        "reads": {"words": "labels.word"},
    }
    assert say(ClassSource, Lesson, **declared) == []


@pytest.mark.parametrize("name", ["organization", "organizations"])
def test_a_method_is_an_owner(say: Say, name: str) -> None:
    assert say(ClassSource, Lesson, fields=BARE, **{name: lambda self, lesson: lesson.host}) == []


def test_each_path_of_a_computed_value_has_to_lead_somewhere(say: Say) -> None:
    message = only(say(ClassSource, Lesson, organization="host", fields={**BARE, "enabled": Not("open")}), "E032")
    assert message.msg == "fields['enabled'] is 'open', but testapp.Lesson has no attribute 'open'."
    assert "begins at testapp.Lesson" in str(message.hint)


@pytest.mark.parametrize(
    ("row", "part"),
    [(Row("labels.wrod", word="x"), "wrod"), (Row("labels.word", kinds="x"), "kinds")],
)
def test_the_columns_of_a_row_have_to_exist(say: Say, row: Row, part: str) -> None:
    message = only(say(ClassSource, Lesson, organization="host", fields={**BARE, "description": row}), "E032")
    assert message.msg == f"fields['description'] is {str(row)!r}, but testapp.Label has no attribute {part!r}."
    assert "which begins at testapp.Label" in str(message.hint)


def test_a_row_is_one_of_a_list(say: Say) -> None:
    message = only(
        say(ClassSource, Lesson, organization="host", fields={**BARE, "description": Row("role", kind="x")}), "E067"
    )
    assert message.msg == (
        "fields['description'] is Row('role', kind=['x']), but 'role' leads through no list of testapp.Lesson."
    )


def test_so_has_each_path_to_an_owner(say: Say) -> None:
    message = only(say(ClassSource, Lesson, organization=First("host", "deputies"), fields=BARE), "E032")
    assert message.msg == "organization is 'deputies', but testapp.Lesson has no attribute 'deputies'."
    assert 'Did you mean "deputy"?' in str(message.hint)


@pytest.mark.parametrize(("attribute", "declared"), [("reads", {"word": "words"}), ("only", {"words": "x"})])
def test_paths_of_reads_and_only_have_to_lead_somewhere(say: Say, attribute: str, declared: dict[str, Any]) -> None:
    message = only(say(ClassSource, Lesson, organization="host", fields=BARE, **{attribute: declared}), "E085")
    assert "testapp.Lesson has no attribute 'words'" in message.msg


@pytest.mark.parametrize(("attribute", "declared"), [("reads", {"word": "words"}), ("only", {"words": "x"})])
def test_a_property_is_not_known_before_a_change(
    say: Say, attribute: str, declared: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Lesson, "words", property(lambda self: "x"), raising=False)
    message = only(say(ClassSource, Lesson, organization="host", fields=BARE, **{attribute: declared}), "E085")
    assert message.msg.endswith("is 'words', which is no column.")


@pytest.mark.parametrize(
    ("base", "model", "reason", "remedy"),
    [
        (CourseAssignmentSource, CourseAssignment, "belong to the learner's organization", "one organization."),
        (CourseAssignmentSource, CourseAssignment, "have a deadline", "Or write deadline = None."),
    ],
)
def test_some_nouns_have_one_owner(say: Say, base: type, model: type, reason: str, remedy: str) -> None:
    owned = reason.startswith("belong")
    declared = {"organizations": lambda self, one: [], "owned_by_learner": owned}
    message = only(say(base, model, **declared), "E086")
    assert message.msg.endswith(f"but objects of the noun 'course_assignment' {reason}.")
    assert str(message.hint).partition("\n")[0].endswith(remedy)


def test_a_name_in_reads_may_not_hide_a_field(say: Say) -> None:
    message = only(say(ClassSource, Lesson, organization="host", fields=BARE, reads={"name": "title"}), "E087")
    assert "such as 'host_name'" in str(message.hint)


def test_several_owners_are_a_list_of_organizations(say: Say) -> None:
    messages = [only(say(ClassSource, Lesson, fields=BARE, organizations=path), "E035").msg for path in ("labels",)]
    assert messages == ["organizations is 'labels', but it leads to testapp.Label."]


@pytest.mark.parametrize(
    ("path", "problem"),
    [("host", "it leads to one object"), ("proprietors", "testapp.Lesson has no attribute 'proprietors'")],
)
def test_a_path_to_one_owner_or_to_nothing_is_no_list(say: Say, path: str, problem: str) -> None:
    message = only(say(ClassSource, Lesson, fields=BARE, organizations=path), "E035")
    assert message.msg == f"organizations is {path!r}, but {problem}."


def test_a_required_field_may_not_be_null(say: Say) -> None:
    declared: dict[str, Any] = {"fields": {"user": "learner", "class": "series", "status": Constant("Enroll")}}
    messages = say(EnrollmentSource, Lesson, organization="host", learner_organization=None, **declared)
    assert ids(messages) == ["E088", "E088", "W047"]
    message = messages[0]
    assert message.msg == "'user.id' is required in payloads, but testapp.Lesson.learner.pk may be null."
    assert 'only = {"learner": sources.Not(None)}' in str(message.hint)


@pytest.mark.parametrize(
    ("written", "remedy"),
    [
        ({"role": "learner"}, '{"role": "learner", "learner": sources.Not(None)}'),
        ({"role": Not(["a", "b"])}, "{\"role\": sources.Not(['a', 'b']), \"learner\": sources.Not(None)}"),
        ({"learner": [1, None]}, '{"learner": [1]}'),
        ({"learner": Not(1)}, '{"learner": sources.Not([1, None])}'),
        ({"learner": None}, '{"learner": sources.Not(None)}'),
    ],
)
def test_the_remedy_for_a_null_keeps_what_only_says_already(say: Say, written: dict[str, Any], remedy: str) -> None:
    fields: dict[str, Any] = {"user": "learner", "class": "host", "status": Constant("Enroll")}
    messages = say(
        EnrollmentSource, Lesson, organization="host", learner_organization=None, fields=fields, only=written
    )
    (message,) = [message for message in messages if message.msg.startswith("'user.id' is required in payloads")]
    assert str(message.hint).startswith(f"Leave these rows out: only = {remedy}. Or make the column NOT NULL")


def test_rows_without_it_may_be_left_out(say: Say) -> None:
    declared: dict[str, Any] = {
        "fields": {"user": "learner", "class": "series", "status": Constant("Enroll")},
        "only": {"learner": Not(None), "series": Not(None)},
    }
    only(say(EnrollmentSource, Lesson, organization="host", learner_organization=None, **declared), "W047")


@pytest.mark.parametrize(
    ("attribute", "value"),
    [("organizations", 3), ("only", ["role"]), ("reads", "tags"), ("organization", ""), ("organizations", "")],
)
def test_declarations_have_a_form(say: Say, attribute: str, value: object) -> None:
    messages = say(ClassSource, TrainingClass, fields={"status": "confirmation_status_id"}, **{attribute: value})
    assert [message.id for message in messages] == ["tms_webhooks.E030"]


def test_enrollments_of_the_example_say_nothing(say: Say) -> None:
    assert say(EnrollmentSource, ClassEnrollment, fields=ENROLLMENT) == []
