"""The host's own fields: each mistake names the field, the value and the remedy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from example_project.training.models import ClassEnrollment, Company, TrainingClass, User
from tests.unit.checks.conftest import Say, only
from tms_webhooks import catalogue
from tms_webhooks.catalogue import EventType, Field, FieldKind, FieldPrivacy, Noun, references
from tms_webhooks.checks.custom import check_samples
from tms_webhooks.checks.sources import check_sources
from tms_webhooks.sources import Created, Custom, EnrollmentSource, Filled, Not, Source, UserSource, register

BADGE = Noun("badge", "Badge", (*references.identity("the badge"), *references.organization("the organization")))


def test_sound_fields_are_passed_in_silence(say: Say) -> None:
    own = {
        "cost_center": "cost_center",
        "department": Custom("department.name", privacy="basic", doc="Department of the user."),
        "tree": Custom("managed_organizations", privacy=FieldPrivacy.ID),
        "label": Custom("get_full_name", kind="string"),
        "seniority": Custom("", kind=FieldKind.INTEGER),
    }
    assert say(UserSource, User, custom=own, supplies=lambda _self: ("custom.seniority",)) == []


@pytest.mark.parametrize(
    ("entry", "text", "hint"),
    [
        (
            {"Department": "department.name"},
            "custom has the name 'Department'.",
            'Use a-z, 0-9 and _ only, as in "cost_center"; no dots, no capitals.',
        ),
        (
            {"home.town": "city"},
            "custom has the name 'home.town'.",
            'Use a-z, 0-9 and _ only, as in "cost_center"; no dots, no capitals.',
        ),
        (
            {"department": 3},
            "custom['department'] is 3, neither a path nor a Custom.",
            'Write "department": "attribute" or "department": Custom("attribute", kind="string").',
        ),
        (
            {"department": Custom(3)},
            "custom['department'] has the path 3, which is not text.",
            'Write "attribute" or "relation.attribute".',
        ),
        (
            {"department": Custom("department.name", kind="text")},
            "custom['department'] has the unknown kind 'text'.",
            "Write one of id, ids, string, integer, number, boolean, datetime, fingerprint, json.",
        ),
        (
            {"department": Custom("department.name", kind="status")},
            "custom['department'] has the unknown kind 'status'.",
            "Write one of id, ids, string, integer, number, boolean, datetime, fingerprint, json.",
        ),
        (
            {"department": Custom("department.name", privacy="secret")},
            "custom['department'] has the unknown privacy 'secret'.",
            "Write one of id, basic, personal.",
        ),
        (
            {"department": Custom("department.name", doc=7)},
            "custom['department'] has the doc 7, which is not text.",
            "Write text, or leave it out.",
        ),
        (
            ["department"],
            "HostUserSource.custom is ['department'], not a dictionary.",
            'Write custom = {"department": "department.name"}.',
        ),
    ],
)
def test_each_entry_has_its_form(say: Say, entry: Any, text: str, hint: str) -> None:
    message = only(say(UserSource, User, custom=entry), "E080")
    assert (message.msg, message.hint) == (text, hint)
    assert str(message.obj) == "<HostUserSource of training.User>"


def test_a_sample_of_another_kind_is_reported(declare: Callable[..., Source]) -> None:
    source = declare(UserSource, User, custom={"department": Custom("department.name", sample=7)})
    message = only(check_samples(), "E080")
    assert message.msg == "custom['department'] has the sample 7, which is no string."
    assert str(message.hint).startswith("Write a value as it is in the payload, such as 'Example'.")
    assert message.obj is source


def test_a_path_that_leads_nowhere_is_reported_once(say: Say) -> None:
    message = only(say(UserSource, User, custom={"department": "department.nome"}), "E032")
    assert message.msg == "custom['department'] is 'department.nome', but training.Department has no attribute 'nome'."
    assert message.hint == (
        'Correct the path, which begins at training.User, or remove the entry. Did you mean "name"?'
    )


def test_a_path_through_many_objects_is_reported(say: Say) -> None:
    message = only(say(UserSource, User, custom={"grade": Custom("enrollments.grade", kind="integer")}), "E033")
    assert message.msg == "custom['grade'] is 'enrollments.grade', but training.User has many objects in 'enrollments'."


def test_an_empty_path_needs_a_derived_value(say: Say) -> None:
    only(say(UserSource, User, custom={"seniority": Custom("", kind="integer")}), "E032")


def test_a_property_needs_a_kind(say: Say) -> None:
    message = only(say(UserSource, User, custom={"label": "get_full_name"}), "E081")
    assert message.msg == (
        "custom['label'] has no kind, and the path 'get_full_name' from training.User leads to no column that has one."
    )
    assert str(message.hint).startswith('Name the kind: "label": Custom("get_full_name", kind="string").')


@pytest.mark.parametrize("name", ["email", "manager", "organization"])
def test_a_name_of_the_noun_is_refused(say: Say, name: str) -> None:
    message = only(say(UserSource, User, custom={name: "cost_center"}), "E082")
    assert message.msg == (
        f"custom['{name}'] has the name of a field of the noun 'user': receivers would confuse data.{name} and "
        f"data.custom.{name}."
    )
    assert message.hint == (
        f'If it is that field, map it: fields = {{"{name}": "cost_center"}}. Otherwise give it another name.'
    )


def test_a_name_of_an_event_of_the_noun_is_refused(say: Say) -> None:
    fields = {"status": "enrollment_status_id", "completion_status": "completion_status_id"}
    event_type = EventType(
        "enrollment.audited_again",
        catalogue.get("enrollment.enrolled").noun,
        "An auditor came again.",
        extra=(Field("round", FieldKind.INTEGER, FieldPrivacy.BASIC),),
    )
    with catalogue.temporarily(event_type):
        only(say(EnrollmentSource, ClassEnrollment, fields=fields, custom={"round": "grade"}), "E082")


def test_a_noun_with_a_field_of_that_name_has_no_room_for_fields_of_the_hosts_own(no_sources: None) -> None:
    noun = Noun("badge", "Badge", (*BADGE.fields, Field("custom", FieldKind.STRING, FieldPrivacy.BASIC)))
    event_type = EventType("badge.issued", noun, "A badge was issued.")
    attributes = {
        "noun": noun,
        "rules": (Created("badge.issued"),),
        "custom": {"room": "email"},
        "fields": {"custom": "name"},
    }
    with catalogue.temporarily(event_type):
        register(Company)(type("Badges", (Source,), attributes))
        message = only(check_sources(), "E082")
    assert message.msg == "custom['room'] can't be sent: the noun 'badge' has a field 'custom' of its own."


def test_two_sources_of_a_noun_may_add_different_fields_but_not_one_field_differently(no_sources: None) -> None:
    event_type = EventType("badge.issued", BADGE, "A badge was issued.")

    def badges(name: str, **custom: Any) -> type[Source]:
        rules = (Created("badge.issued"),)
        keyed = {"fields": {"id": "external_id"}, "only": {"external_id": Not(None)}}
        return type(name, (Source,), {"noun": BADGE, "rules": rules, "custom": custom, **keyed})

    with catalogue.temporarily(event_type):
        register(Company)(badges("One", mail="email", firm="name"))
        register(TrainingClass)(badges("Two", mail=Custom("name", privacy="personal"), room="primary_classroom.name"))
        assert check_sources() == []
        assert [field.name for field in event_type.fields[-3:]] == ["custom.mail", "custom.firm", "custom.room"]

        register(User)(badges("Three", mail=Custom("email", privacy="basic")))
        message = only(check_sources(), "E083")
    assert message.msg == (
        "custom['mail'] is string, basic here, but string, personal in <One of training.Company>: the events of 'badge' "
        "have one schema."
    )


def test_rules_may_watch_a_field_of_the_hosts_own(say: Say) -> None:
    rules = (Filled("custom.cost_center", "user.updated"), Filled("custom.department", "user.created"))
    own = {"cost_center": "cost_center", "department": "department.name"}
    assert say(UserSource, User, custom=own, rules=rules) == []


def test_a_field_of_the_hosts_own_is_not_mapped_in_fields(say: Say) -> None:
    only(say(UserSource, User, custom={"costs": "cost_center"}, fields={"custom.costs": "phone"}), "E031")


def test_a_sample_that_breaks_its_schema_is_reported() -> None:
    assert check_samples() == []
    event_type = EventType("badge.issued", BADGE, "A badge was issued.", sample={"id": 3, "organization": {"name": 4}})
    with catalogue.temporarily(event_type):
        message = only(check_samples(), "W084")
    assert message.msg == (
        "The sample of the event type 'badge.issued' breaks its schema: $.data.organization.name breaks type "
        '["string", "null"].'
    )
