"""Attributes of a source's class that are misspelled."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import pytest

from example_project.training.models import ClassEnrollment, CourseAssignment, TrainingClass
from tests.unit.checks.conftest import Say, only
from tms_webhooks.checks.sources import check_sources
from tms_webhooks.sources import ActivityProgressSource, ClassSource, EnrollmentSource, Source

STATUS = {"status": "confirmation_status_id"}


def helper(self: Any, *_values: Any) -> None:
    """Do nothing."""


@pytest.mark.parametrize(
    ("name", "value", "meant"),
    [
        ("reconcil", True, "reconcile"),
        ("customs", {"room": "room"}, "custom"),
        ("rule", (), "rules"),
        ("closed_wen", None, "closed_when"),
        ("onyl", {"enabled": True}, "only"),
        ("timezone", "organization.time_zone", "time_zone"),
        ("status", {"status": {"open": 0}}, "statuses"),
        ("suplies", ("status",), "supplies"),
        ("derive", helper, "derived"),
        ("event_for", helper, "events_for"),
        ("organisation", helper, "organization"),
    ],
)
def test_a_misspelled_attribute_is_reported_with_the_known_name(say: Say, name: str, value: Any, meant: str) -> None:
    message = only(say(ClassSource, TrainingClass, fields=STATUS, **{name: value}), "W089")
    assert message.msg == f"HostClassSource has the attribute {name!r}, which sources do not read."
    assert message.hint == (
        f'Correct the name. If it is a helper of your own, give it another name. Did you mean "{meant}"?'
    )


def test_an_attribute_that_one_class_of_sources_has_is_known_there(say: Say) -> None:
    messages = say(ActivityProgressSource, CourseAssignment, assignment="user", asignment="user")
    assert [message.hint for message in messages if message.id == "tms_webhooks.W089"] == [
        'Correct the name. If it is a helper of your own, give it another name. Did you mean "assignment"?'
    ]
    assert say(ClassSource, TrainingClass, fields=STATUS, asignment="user")[-1].id != "tms_webhooks.W089"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("_rule", ()),
        ("RULE", ()),
        ("cutoff", 3),
        ("seats", {"a": 1}),
        ("organization_id", 3),
        ("organization_of", helper),
        ("status", helper),
        ("rule", property(helper)),
        ("owner", cached_property(helper)),
        ("read", staticmethod(helper)),
        ("field", classmethod(helper)),
        ("derived_status", helper),
    ],
)
def test_a_helper_of_the_host_is_not_reported(say: Say, name: str, value: Any) -> None:
    assert say(ClassSource, TrainingClass, fields=STATUS, **{name: value}) == []


@pytest.mark.parametrize("name", ["derived", "events_for", "is_open", "organization", "reconcile", "reads"])
def test_an_attribute_of_a_source_is_not_reported(say: Say, name: str) -> None:
    value = vars(Source).get(name)
    assert say(ClassSource, TrainingClass, fields=STATUS, **{name: value}) == []


def test_an_attribute_of_a_mixin_is_reported_for_the_mixin_only(declare: Callable[..., Source]) -> None:
    class Mixin:
        reconcil = True

    class Base(Mixin, EnrollmentSource):
        reconcil = False
        fields = {"status": "enrollment_status_id", "completion_status": "completion_status_id"}

    declare(Base, ClassEnrollment)

    assert [one.msg for one in check_sources() if one.id == "tms_webhooks.W089"] == [
        "Mixin has the attribute 'reconcil', which sources do not read."
    ]
