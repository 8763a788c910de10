"""Names, dates and external ids that a source never sends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.core.checks import CheckMessage

from example_project.training.models import (
    ClassEnrollment,
    CourseAssignment,
    CourseFeedback,
    LearningPath,
    TrainingClass,
    User,
)
from tests.unit.checks.conftest import Say, ids, only
from tms_webhooks.checks import nulls
from tms_webhooks.checks import sources as source_checks
from tms_webhooks.sources import (
    ActivityProgressSource,
    ClassSource,
    Constant,
    CourseAssignmentSource,
    EnrollmentSource,
    First,
    Row,
    Source,
    UserSource,
    registry,
)

STATUS = {"status": "confirmation_status_id"}
ENROLLMENT = {"status": "enrollment_status_id", "completion_status": "completion_status_id"}


def test_all_nulls_of_a_source_are_in_one_warning_that_shows_how_to_map_them(say_all: Say) -> None:
    fields = {"status": "audience_level", "course.id": "pk"}
    statuses = {"status": {"beginner": 0, "intermediate": 1, "advanced": 7}}
    message = only(say_all(ClassSource, LearningPath, fields=fields, statuses=statuses), "W092")
    assert message.msg == (
        "Null in every payload, because training.LearningPath has no such attribute: 'start_at', 'end_at', 'course.name'."
    )
    assert message.hint == (
        'Map them: fields = {"start_at": "…", "end_at": "…", "course.name": "…"}. The path "" leaves a field out on purpose.'
    )


def test_the_path_to_replace_is_refused_if_it_is_left_in(say_all: Say) -> None:
    fields = {"status": "audience_level", "course.id": "pk", "start_at": "…", "end_at": "", "course.name": "…"}
    statuses = {"status": {"beginner": 0, "intermediate": 1, "advanced": 7}}
    messages = say_all(ClassSource, LearningPath, fields=fields, statuses=statuses)
    assert ids(messages) == ["E032", "E032"]
    assert messages[0].msg == "fields['start_at'] is '…', but training.LearningPath has no attribute '…'."


def test_a_column_that_fits_is_in_the_hint(say_all: Say) -> None:
    fields = {"status": Constant("Scheduled"), "start_at": "", "end_at": ""}
    attributes = {"fields": fields, "organization": "course.organization", "rules": ()}
    message = only(say_all(ClassSource, CourseFeedback, **attributes), "W092")
    assert message.msg.endswith("has no such attribute: 'name'.")
    assert message.hint == 'Map them: fields = {"name": "title"}. The path "" leaves a field out on purpose.'


def test_a_field_whose_path_is_wrong_is_not_reported_again(say_all: Say) -> None:
    only(say_all(ClassSource, TrainingClass, fields={**STATUS, "course.name": "course.nam"}), "E032")


def test_a_field_that_is_left_out_on_purpose_is_not_reported(say_all: Say) -> None:
    assert say_all(CourseAssignmentSource, CourseAssignment, fields={"subscription.name": ""}) == []


def test_a_reference_that_the_model_lacks_is_not_reported(say_all: Say) -> None:
    assert say_all(ClassSource, TrainingClass, fields={**STATUS, "instructor": ""}) == []


def test_fields_that_the_source_of_another_model_reads_are_reported_there_only(
    declare: Callable[..., Source],
) -> None:
    declare(ClassSource, TrainingClass, fields={**STATUS, "start_at": "", "end_at": "starts"})
    declare(EnrollmentSource, ClassEnrollment, fields=ENROLLMENT)
    messages = source_checks.check_sources()
    assert ids(messages) == ["E032"]


def test_a_field_that_derived_makes_is_not_reported(say_all: Say) -> None:
    supplied = {"subscription.name"}
    assert say_all(CourseAssignmentSource, CourseAssignment, supplies=lambda self: supplied) == []


def test_a_model_with_all_attributes_is_not_reported(say_all: Say) -> None:
    assert say_all(UserSource, User) == []


def test_rows_that_are_no_objects_of_the_noun_are_not_reported(say_all: Say) -> None:
    messages = say_all(ActivityProgressSource, CourseAssignment, assignment="user")
    assert "W092" not in ids(messages)


# Organizations


@pytest.fixture
def sources_of_people(declare: Callable[..., Source], settings: Any) -> Callable[..., list[CheckMessage]]:
    """Declare two sources, and return the checks of the paths of organizations."""

    def check(**fields: str) -> list[CheckMessage]:
        settings.TMS_WEBHOOKS = {"ORGANIZATION_FIELDS": fields}
        declare(UserSource, User)
        declare(EnrollmentSource, ClassEnrollment, fields=ENROLLMENT)
        return nulls.check_organizations()

    return check


def test_an_organization_that_has_all_attributes_is_not_reported(sources_of_people: Any) -> None:
    assert sources_of_people() == []


def test_a_path_that_leads_nowhere_is_refused_once_for_all_sources(sources_of_people: Any) -> None:
    message = only(sources_of_people(name="nam", external_id="external_id"), "E090")
    assert message.msg == (
        "TMS_WEBHOOKS['ORGANIZATION_FIELDS']['name'] is 'nam', but training.Organization has no attribute 'nam'."
    )
    assert str(message.hint).endswith("or write '' to leave it out. Did you mean \"name\"?")


COMPUTED: list[tuple[Any, str, str]] = [
    (First("parent.label", "name"), "First('parent.label', 'name')", "training.Organization has no attribute 'label'"),
    (Row("companies.nam", email="x"), "Row('companies.nam', email=['x'])", "training.Company has no attribute 'nam'"),
    (Row("companies.name", mail="x"), "Row('companies.name', mail=['x'])", "training.Company has no attribute 'mail'"),
]


@pytest.mark.parametrize(("path", "written", "problem"), COMPUTED)
def test_a_computed_value_of_organizations_with_a_path_that_leads_nowhere_is_refused(
    sources_of_people: Any, path: Any, written: str, problem: str
) -> None:
    message = only(sources_of_people(name=path), "E090")
    assert message.msg == f"TMS_WEBHOOKS['ORGANIZATION_FIELDS']['name'] is {written}, but {problem}."


@pytest.mark.parametrize("path", [First("parent.name", "name"), Row("companies.name", email="x"), str])
def test_a_computed_value_of_organizations_is_passed(sources_of_people: Any, path: Any) -> None:
    assert sources_of_people(name=path if path is not str else lambda organization: organization.name) == []


def test_the_name_and_the_external_id_of_organizations_are_reported_once_for_all_sources(
    sources_of_people: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nulls, "available", lambda source: {"organization.id", "learner_organization.id"})
    message = only(sources_of_people(time_zone="time_zone_id"), "W091")
    assert message.msg == (
        "Null in payloads, because training.Organization has no such attribute: an organization's 'external_id' and 'name'."
    )
    assert message.hint == (
        'Write TMS_WEBHOOKS["ORGANIZATION_FIELDS"] = {"time_zone": "time_zone_id", "external_id": "external_id", '
        '"name": "name"}. The path "" leaves a value out on purpose.'
    )


def test_a_value_of_organizations_without_a_column_that_fits_gets_a_path_that_is_refused_if_it_is_left_in(
    sources_of_people: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nulls, "available", lambda source: {"organization.id"})
    monkeypatch.setattr(nulls, "column_for", lambda model, field: "")
    message = only(sources_of_people(), "W091")
    entries = '{"external_id": "…", "name": "…"}'
    assert str(message.hint).startswith(f'Write TMS_WEBHOOKS["ORGANIZATION_FIELDS"] = {entries}.')

    assert ids(sources_of_people(external_id="…", name="…")) == ["E090", "E090"]


def test_a_value_of_organizations_that_is_left_out_on_purpose_is_not_reported(
    sources_of_people: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sources_of_people(name="", external_id="") == []
    user, _enrollment = registry.all_sources()
    assert "organization.name" not in user.mapped


def test_a_value_that_each_source_maps_itself_is_not_reported(
    declare: Callable[..., Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nulls, "available", lambda source: {"organization.id"})
    declare(UserSource, User, fields={"organization.name": "company.name", "organization.external_id": ""})
    assert nulls.check_organizations() == []


def test_without_an_organization_model_another_check_reports_it(sources_of_people: Any, settings: Any) -> None:
    settings.TMS_WEBHOOKS_ORGANIZATION_MODEL = "training.Organisation"
    assert sources_of_people(name="nam") == []
