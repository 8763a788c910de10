"""The fields of each noun, their privacy, and the values that are never included."""

import re

import pytest

from tests.unit.catalogue.conftest import EXAM, each_event_type
from tms_webhooks.catalogue import Field, FieldKind, Noun
from tms_webhooks.catalogue.types import BUILT_IN
from tms_webhooks.catalogue.types.voucher import VOUCHER
from tms_webhooks.choices import EnrollmentStatus, FieldPrivacy
from tms_webhooks.exceptions import ConfigurationError

FORBIDDEN = re.compile(
    r"password|secret|token|integration_?key|training_?key|api_?key|virtual_classroom|meeting(?!_fingerprint$)|url|image|voucher_?code",
    re.IGNORECASE,
)
PERSONAL = re.compile(
    r"(^|\.)(user_name|title|first_name|middle_name|last_name|email|phone2?|address[12]|city|state|zip|country_code|content)$"
)
ALL_FIELDS = {
    (event_type.name, field.name): field
    for event_type in BUILT_IN
    for field in (*event_type.noun.fields, *event_type.details)
} | {
    (event_type.name, field.name, item.name): item
    for event_type in BUILT_IN
    for field in (*event_type.noun.fields, *event_type.details)
    for item in field.items
}


def property_names(schema):
    if isinstance(schema, dict):
        yield from schema.get("properties", {})
        for value in schema.values():
            yield from property_names(value)


def test_every_field_is_documented_in_a_sentence_and_has_a_privacy_class():
    for place, field in ALL_FIELDS.items():
        assert re.fullmatch(r"[A-Z].+\.", field.doc), place
        assert isinstance(field.privacy, FieldPrivacy), place


def test_names_addresses_and_free_text_of_people_are_personal_and_nothing_else_is():
    for place, field in ALL_FIELDS.items():
        is_of_classroom = any(name.startswith("classroom.") for name in (place[0], field.name))
        is_personal = bool(PERSONAL.search(field.name)) and not is_of_classroom
        assert (field.privacy is FieldPrivacy.PERSONAL) is is_personal, place


def test_ids_and_only_ids_have_the_privacy_of_ids():
    for place, field in ALL_FIELDS.items():
        is_id = re.search(r"(^|[._])ids?$", field.name) is not None
        assert (field.privacy is FieldPrivacy.ID) is is_id, place
        assert (field.kind in {FieldKind.ID, FieldKind.IDS}) is is_id, place
        assert (field.kind is FieldKind.IDS) is field.name.endswith("_ids"), place


def test_no_personal_field_is_required():
    assert [
        place for place, field in ALL_FIELDS.items() if field.required and field.privacy is FieldPrivacy.PERSONAL
    ] == []


def test_instants_end_in_at_and_nothing_else_does():
    for place, field in ALL_FIELDS.items():
        assert field.name.endswith("_at") is (field.kind is FieldKind.DATETIME), place


@each_event_type
def test_no_schema_has_a_field_that_must_never_leave(event_type):
    for name in property_names(event_type.schema()):
        assert not FORBIDDEN.search(name), name


def test_the_code_of_a_voucher_never_leaves():
    assert "code" not in {field.name for field in VOUCHER.fields}


@each_event_type
def test_every_referenced_object_has_its_ids(event_type):
    names = {field.name for field in event_type.all_fields}
    # Of these, a field of the host's record is the only trace.
    only_ids = {"company", "profile", "classroom", "activity", "redemption"} | {"enrollment", "course_assignment"}
    prefixes = {name.rpartition(".")[0] for name in names} - {"", "window"}
    assert {f"{prefix}.id" for prefix in prefixes} <= names
    assert {f"{prefix}.external_id" for prefix in prefixes - only_ids} <= names


def test_an_event_type_can_need_an_optional_field_of_its_noun(make_event_type):
    needing = make_event_type(needs=("score",))
    assert {field.name: field.required for field in needing.fields}["score"]
    assert not {field.name: field.required for field in EXAM.fields}["score"]


@pytest.mark.parametrize("name", ["", "Status", "user.", ".id", "user..id", "user id", "user-id"])
def test_an_ill_formed_field_name_is_refused(name):
    with pytest.raises(ConfigurationError, match="is not a field name"):
        Field(name, FieldKind.STRING, FieldPrivacy.BASIC)


@pytest.mark.parametrize(
    "name, kind, values, text",
    [
        ("status", FieldKind.STATUS, {}, "choices"),
        ("status", FieldKind.INTEGER, {"choices": EnrollmentStatus}, "choices"),
        ("rooms", FieldKind.OBJECTS, {}, "items"),
        ("room_ids", FieldKind.IDS, {"items": EXAM.fields[:1]}, "items"),
        ("rooms", FieldKind.OBJECTS, {"items": EXAM.fields[:1] * 2}, 'The field "rooms" has the field "id" twice'),
    ],
)
def test_a_status_needs_choices_and_a_list_needs_the_fields_of_its_objects_and_no_other_kind_takes_them(
    name, kind, values, text
):
    with pytest.raises(ConfigurationError, match=text):
        Field(name, kind, FieldPrivacy.BASIC, **values)


@pytest.mark.parametrize(
    "fields, text",
    [
        (EXAM.fields[:1] * 2, 'The noun "exam" has the field "id" twice'),
        ((*EXAM.fields, Field("user", FieldKind.ID, FieldPrivacy.ID)), '"user" both as a field and as an object'),
    ],
)
def test_a_noun_with_a_field_twice_or_inside_a_field_is_refused(fields, text):
    with pytest.raises(ConfigurationError, match=text):
        Noun("exam", "Exam", fields)


@pytest.mark.parametrize(
    "changes, text",
    [
        ({"details": EXAM.fields[:1]}, 'The event type "exam.passed" has the field "id" twice'),
        ({"needs": ("grade",)}, '"exam.passed" needs the field "grade"'),
    ],
)
def test_an_event_type_with_a_field_twice_or_that_needs_one_that_its_noun_lacks_is_refused(
    make_event_type, changes, text
):
    with pytest.raises(ConfigurationError, match=text):
        make_event_type(**changes)
