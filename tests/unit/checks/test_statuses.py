"""The way from the host's own status values to the training system's."""

from __future__ import annotations

from typing import Any

import pytest

from example_project.training.models import ClassEnrollment, LearningPath, TrainingClass, User
from tests.unit.checks.conftest import Say, ids, only
from tms_webhooks.choices import ClassStatus
from tms_webhooks.sources import ClassSource, Constant, EnrollmentSource, Entered, UserSource

STATUS = {"status": "confirmation_status_id"}
STATUS_AND_COMPLETION = {"completion_status": "completion_status_id"}
# A status whose values are words of the host's own, and that lives on a model with an organization.
LEVEL = {"status": "audience_level", "course.id": "pk"}
LEVELS = {"beginner": "Tentative", "intermediate": 0, "advanced": ClassStatus.COMPLETED, "expert": "guaranteed-to-run"}


def test_statuses_of_a_name_that_is_no_status_are_refused(say: Say) -> None:
    message = only(say(ClassSource, TrainingClass, fields=STATUS, statuses={"statuss": {}}), "E040")
    assert message.msg == "statuses['statuss'] is not a status of the noun 'class'."
    assert message.hint == ('Remove it. The statuses of this noun are status, delivery_type. Did you mean "status"?')


def test_a_noun_without_statuses_says_so(say: Say) -> None:
    message = only(say(UserSource, User, statuses={"disabled": {1: True}}), "E040")
    assert message.hint == "Remove it. This noun has none."


@pytest.mark.parametrize("meaning", [8, "Postponed", None, True])
def test_a_meaning_that_is_no_status_is_refused(say: Say, meaning: Any) -> None:
    statuses = {"status": {**LEVELS, "beginner": meaning}}
    message = only(say(ClassSource, LearningPath, fields=LEVEL, statuses=statuses), "E041")
    assert message.msg == f"statuses['status']['beginner'] is {meaning!r}, which is not a ClassStatus."
    assert str(message.hint).startswith("Write one of 0 SCHEDULED, 1 GUARANTEED_TO_RUN, 2 CANCELLED, ")


def test_a_constant_that_is_no_status_is_refused(say: Say) -> None:
    message = only(
        say(EnrollmentSource, ClassEnrollment, fields={**STATUS_AND_COMPLETION, "status": Constant("Enrol")}), "E041"
    )
    assert message.msg == "fields['status'] is Constant(constant='Enrol'), which is not a EnrollmentStatus."


def test_a_constant_that_is_a_status_is_passed(say: Say) -> None:
    assert say(EnrollmentSource, ClassEnrollment, fields={**STATUS_AND_COMPLETION, "status": Constant(60)}) == []


def test_numbers_names_and_members_are_statuses(say: Say) -> None:
    assert say(ClassSource, LearningPath, fields=LEVEL, statuses={"status": LEVELS}) == []


def test_values_that_mean_nothing_are_named(say: Say) -> None:
    values = [value for value, _label in LearningPath._meta.get_field("audience_level").flatchoices]
    message = only(say(ClassSource, LearningPath, fields=LEVEL), "E042")
    assert message.msg == (
        f"'audience_level' may be {', '.join(map(repr, values))}, but `statuses` has no matching ClassStatus."
    )
    assert str(message.hint).startswith(
        'Write statuses = {"status": {"beginner": "?", "intermediate": "?", "advanced": "?"}}, after you correct the '
        'guesses in it and replace each "?". The statuses are status: 0 SCHEDULED, '
    )


def test_values_that_the_dictionary_forgot_are_named(say: Say) -> None:
    statuses = {"status": {0: 0, 1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 6}}
    message = only(say(ClassSource, TrainingClass, fields=STATUS, statuses=statuses), "E042")
    assert message.msg.startswith("'confirmation_status_id' may be 7, but `statuses` has no matching ClassStatus.")


def test_the_values_of_all_statuses_are_in_one_message(say: Say) -> None:
    paths = {"status": "training_class.confirmation_status_id", "completion_status": "enrollment_status_id"}
    messages = say(EnrollmentSource, ClassEnrollment, fields=paths, rules=())
    message = only(messages, "E042")
    assert message.msg == (
        "'training_class.confirmation_status_id' may be 1, 2, 3, 4, 5, 6, 7, but `statuses` has no matching "
        "EnrollmentStatus. 'enrollment_status_id' may be 60, but `statuses` has no matching CompletionStatus."
    )
    assert '"completion_status": {0: "' in str(message.hint)


def test_the_dictionary_keeps_the_entries_that_are_written_and_guesses_the_others(say: Say) -> None:
    message = only(say(ClassSource, TrainingClass, fields=STATUS, statuses={"status": {0: 4, 1: 1}}), "E042")
    assert str(message.hint).startswith(
        'Write statuses = {"status": {0: 4, 1: 1, 2: "Cancelled", 3: "Rescheduled", 4: "Tentative", 5: "Requested", '
        '6: "Denied", 7: "Completed"}}, after'
    )


def test_values_behind_a_relation_are_looked_at_too(say: Say) -> None:
    messages = say(EnrollmentSource, ClassEnrollment, fields={"status": "training_class.confirmation_status_id"})
    assert "E042" in ids(messages)


@pytest.mark.parametrize("path", ["pk", "course.pk", "num_open", "max_students"])
def test_a_field_without_choices_is_passed(say: Say, path: str) -> None:
    messages = say(ClassSource, TrainingClass, fields={"status": path}, rules=())
    assert messages == []


def test_a_rule_for_a_status_that_does_not_exist_is_refused(say: Say) -> None:
    rules = (Entered("status", {2: "class.cancelled", 9: "class.updated"}),)
    message = only(say(ClassSource, TrainingClass, fields=STATUS, rules=rules), "E046")
    assert message.msg == "A rule emits class.updated when 'status' becomes 9, which is not a ClassStatus."


def test_a_rule_for_the_hosts_own_word_is_refused(say: Say) -> None:
    rules = (Entered("status", {"Cancelled": "class.cancelled"}),)
    message = only(say(ClassSource, TrainingClass, fields=STATUS, rules=rules), "E046")
    assert message.msg == "A rule emits class.cancelled when 'status' becomes 'Cancelled', which is not a ClassStatus."
