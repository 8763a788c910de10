"""The rules: their events exist and can happen."""

from __future__ import annotations

import pytest
from django.db import models
from django.db.models import F

from example_project.training.models import ClassEnrollment, CourseAssignment, TrainingClass, User, Voucher
from tests.testapp.models import DatedAssignment
from tests.unit.checks.conftest import Say, ids, only
from tms_webhooks.checks.sources import check_sources
from tms_webhooks.sources import (
    ClassSource,
    CourseAssignmentSource,
    Created,
    EnrollmentSource,
    Entered,
    Filled,
    UserSource,
    VoucherSource,
)
from tms_webhooks.sources.deadlines import Deadline

STATUS = {"status": "confirmation_status_id"}
VOUCHER = {"class": "redeemed_class", "user": "redeemed_by"}


# Their names


def test_an_event_that_is_unknown_gets_the_nearest_as_a_suggestion(say: Say) -> None:
    message = only(say(ClassSource, TrainingClass, fields=STATUS, rules=(Created("class.canceled"),)), "E043")
    assert message.msg == "A rule names the event 'class.canceled', which is not in the catalogue."
    assert str(message.hint).startswith(
        'Correct the name, or register an event type with this name. Did you mean "class.cancelled"'
    )


def test_a_pattern_is_no_event(say: Say) -> None:
    only(say(ClassSource, TrainingClass, fields=STATUS, rules=(Created("class.*"),)), "E043")


def test_the_events_of_a_deadline_are_looked_at_too(say: Say) -> None:
    deadline = Deadline("expires_at", expiring="course_assignment.expires", expired="course_assignment.expired")
    message = only(say(CourseAssignmentSource, CourseAssignment, deadline=deadline), "E043")
    assert "'course_assignment.expires'" in message.msg


def test_an_event_of_another_noun_is_refused(say: Say) -> None:
    message = only(say(ClassSource, TrainingClass, fields=STATUS, rules=(Created("user.created"),)), "E044")
    assert (
        message.msg == "A rule names the event 'user.created' of the noun 'user', but the source has the noun 'class'."
    )


# What they watch


def test_a_rule_can_not_watch_what_the_noun_lacks(say: Say) -> None:
    rules = (Filled("redeemed", "voucher.redeemed"),)
    message = only(say(VoucherSource, Voucher, fields=VOUCHER, rules=rules), "E045")
    assert message.msg == "A rule watches 'redeemed', which is not a field of the noun 'voucher'."
    assert str(message.hint).endswith('Did you mean "redeemed_at"?')


def test_a_rule_can_watch_what_derived_makes(say: Say) -> None:
    attributes = {
        "derived": lambda self, values: {"redeemed": values["redeemed_at"]},
        "supplies": lambda self: ("redeemed",),
    }
    rules = (Filled("redeemed", "voucher.redeemed"),)
    assert say(VoucherSource, Voucher, fields=VOUCHER, rules=rules, **attributes) == []


@pytest.mark.parametrize("path", ["redeemed_class.start_at", "is_redeemed"])
def test_a_rule_can_not_watch_what_is_in_another_row(say: Say, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.setattr(Voucher, "is_redeemed", property(lambda self: self.redeemed_at), raising=False)
    message = only(say(VoucherSource, Voucher, fields={**VOUCHER, "redeemed_at": path}), "E037")
    assert message.msg == (
        f"A rule watches 'redeemed_at', which is read by the path {path!r}: a change of it does not change a row of "
        "training.Voucher, and can't be detected."
    )


def test_a_deadline_can_not_be_in_another_row(say: Say) -> None:
    message = only(
        say(CourseAssignmentSource, CourseAssignment, fields={"expires_at": "subscription.expires_at"}), "E037"
    )
    assert message.msg.startswith("A rule watches 'expires_at', which is read by the path 'subscription.expires_at'")


# What never happens


def test_events_that_wait_for_a_missing_field_are_named_together(say: Say) -> None:
    fields = {"status": "enrollment_status_id"}
    message = only(say(EnrollmentSource, ClassEnrollment, fields=fields), "W047")
    assert message.msg == (
        "Never emitted, because training.ClassEnrollment has no 'completion_status': enrollment.attending, "
        "enrollment.completed, enrollment.incomplete, enrollment.no_show, enrollment.failed."
    )
    assert message.hint == (
        'Map it: fields = {"completion_status": "…"}; or leave it out on purpose: fields = {"completion_status": ""}.'
    )


@pytest.mark.parametrize("name", ["started_at", "expires_at", "assignment_status"])
def test_a_field_that_is_left_out_on_purpose_silences_its_events(say: Say, name: str) -> None:
    assert say(CourseAssignmentSource, CourseAssignment, fields={name: ""}) == []


def test_a_host_that_leaves_the_events_out_hears_nothing(say: Say) -> None:
    rules = (Entered("status", {60: "enrollment.enrolled"}),)
    assert say(EnrollmentSource, ClassEnrollment, fields={"status": "enrollment_status_id"}, rules=rules) == []


def test_a_consequence_of_a_wrong_path_is_not_reported_again(say: Say) -> None:
    fields = {"status": "enrollment_status_id", "completion_status": "completion_status"}
    only(say(EnrollmentSource, ClassEnrollment, fields=fields), "E032")


# Twice


def test_two_sources_of_one_model_must_not_emit_the_same_event(say: Say) -> None:
    say(UserSource, User, rules=(Created("user.created"),))
    messages = say(UserSource, User, fields={"user_name": "email"})
    assert ids(messages) == ["W048"]
    assert messages[0].msg == (
        "user.created would be emitted twice: by this source and by <HostUserSource of training.User>."
    )


def test_two_sources_of_one_model_may_emit_different_events(say: Say) -> None:
    say(UserSource, User, rules=(Created("user.created"),))
    assert say(UserSource, User, rules=(Entered("disabled", {True: "user.deactivated"}),)) == []


# Scans


@pytest.fixture
def unindexed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CourseAssignment._meta, "indexes", [])


def test_a_date_without_an_index_is_pointed_out(say: Say, unindexed: None) -> None:
    message = only(say(CourseAssignmentSource, CourseAssignment), "W049")
    assert message.msg == ("training.CourseAssignment.expires_at has no index: each expiry scan reads the whole table.")
    assert message.hint == ('Add models.Index(fields=["expires_at"], name="…") to Meta.indexes, and a migration.')


def test_an_index_that_begins_with_something_else_does_not_help(
    say: Say, unindexed: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CourseAssignment._meta, "indexes", [models.Index(fields=["user", "expires_at"], name="both")])
    assert ids(say(CourseAssignmentSource, CourseAssignment)) == ["W049"]


@pytest.mark.parametrize(
    "index",
    [
        models.Index(fields=["-expires_at", "user"], name="by_date"),
        models.Index(F("expires_at").desc(nulls_last=True), name="by_date"),
        models.Index(fields=["expires_at"], name="open", condition=models.Q(completed_at__isnull=True)),
    ],
)
def test_an_index_that_begins_with_the_date_is_enough(
    say: Say, unindexed: None, monkeypatch: pytest.MonkeyPatch, index: models.Index
) -> None:
    monkeypatch.setattr(CourseAssignment._meta, "indexes", [index])
    assert say(CourseAssignmentSource, CourseAssignment) == []


def test_an_index_of_the_column_itself_is_enough(say: Say, unindexed: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CourseAssignment._meta.get_field("expires_at"), "db_index", True)
    assert say(CourseAssignmentSource, CourseAssignment) == []


# Time zones


DATES = {"assignment_status": "state", "started_at": "started_on", "completed_at": "completed_on"}
DATED = {"fields": {**DATES, "expires_at": "expires_on"}}


def test_a_date_without_a_time_needs_a_time_zone(say: Say) -> None:
    message = only(say(CourseAssignmentSource, DatedAssignment, **DATED), "W039")
    assert message.msg == (
        "testapp.DatedAssignment.expires_on is a date without a time: it is over at the end of the day in TIME_ZONE "
        "(UTC), wherever the organization is."
    )
    assert "TMS_WEBHOOKS['ORGANIZATION_FIELDS'] = {'time_zone': '…'}" in message.hint


def test_a_date_is_complete_with_the_time_zone_of_all_organizations(say: Say, settings) -> None:
    settings.TMS_WEBHOOKS = {"ORGANIZATION_FIELDS": {"time_zone": "time_zone_id"}}
    assert say(CourseAssignmentSource, DatedAssignment, **DATED) == []


@pytest.mark.parametrize("path", ["user.organization.time_zone_id", "user.time_zone_id"])
def test_a_date_with_a_time_zone_is_complete(say: Say, path: str) -> None:
    assert say(CourseAssignmentSource, DatedAssignment, time_zone=path, **DATED) == []


def test_a_moment_needs_no_time_zone(say: Say) -> None:
    assert say(CourseAssignmentSource, CourseAssignment) == []


def test_a_time_zone_that_is_not_there_is_refused(say: Say) -> None:
    message = only(say(CourseAssignmentSource, CourseAssignment, time_zone="user.organization.timezone_id"), "E038")
    assert message.msg == (
        "time_zone is 'user.organization.timezone_id', but training.Organization has no attribute 'timezone_id'."
    )
    assert str(message.hint).endswith('Did you mean "time_zone_id"?')


@pytest.mark.parametrize("wrong", [7, "", ["organization"]])
def test_a_time_zone_that_is_no_path_is_refused(say: Say, wrong: object) -> None:
    message = only(say(CourseAssignmentSource, CourseAssignment, time_zone=wrong), "E030")
    assert message.msg == f"time_zone is {wrong!r}, not a path."


def test_every_source_is_looked_at(say: Say) -> None:
    say(ClassSource, TrainingClass)
    say(UserSource, User, fields={"phone": "telephone"})
    assert ids(check_sources()) == ["E034", "E032"]
