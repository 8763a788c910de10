"""The declarations that are written as TypeScript and Python: their names, and the properties that each payload has."""

from __future__ import annotations

import re

import pytest

from tests.unit.catalogue.conftest import BASIC, EXAM
from tms_webhooks import catalogue
from tms_webhooks.catalogue import EventType, Field, FieldKind, Noun
from tms_webhooks.choices import FieldPrivacy, PayloadDetail
from tms_webhooks.documents.type_model import ObjectDeclaration, TypeModel, ValueType, type_model
from tms_webhooks.documents.typed_python import python
from tms_webhooks.documents.typed_typescript import typescript
from tms_webhooks.payloads.formats.detail import reduced

PASSED = EventType("exam.passed", EXAM, "An exam was passed.", needs=("score",))
FAILED = EventType("exam.failed", EXAM, "An exam was failed.")


@pytest.fixture
def model() -> TypeModel:
    return type_model([PASSED, FAILED], reserved={"ExamRoom"})


def object_of(model: TypeModel, name: str) -> ObjectDeclaration:
    return next(one for one in model.objects if one.name == name)


def test_only_what_the_thin_form_has_is_required(model):
    data = object_of(model, "ExamEventData")

    assert [one.name for one in data.properties if one.required] == ["id", "user"]
    assert [one.name for one in object_of(model, "ExamUser").properties if one.required] == ["id"]


def test_nothing_is_required_of_old_values(model):
    assert not any(one.required for one in object_of(model, "ExamEventPrevious").properties)


def test_each_property_says_which_payloads_lack_it(model):
    docs = {one.name: one.doc for one in object_of(model, "ExamEventData").properties}

    assert docs["id"] == "Id of the exam."
    assert docs["score"] == "Score. Not in `thin` payloads."
    (email,) = [one.doc for one in object_of(model, "ExamUser").properties if one.name == "email"]
    assert email == "E-mail address of the learner. Personal: only in `full` payloads."


def test_the_keys_of_the_reduced_forms_are_optional_keys_of_the_envelope(model):
    optional = [one.name for one in model.envelope if not one.required]

    assert optional == ["test", "correlation_id", "left", "truncated", "links"]


def test_a_status_is_one_type_for_new_and_old_values(model):
    (new,) = [one.type for one in object_of(model, "ExamEventData").properties if one.name == "status"]
    (old,) = [one.type for one in object_of(model, "ExamEventPrevious").properties if one.name == "status"]

    assert new == ValueType(reference="ExamStatus")
    assert old == ValueType(reference="ExamStatus", nullable=True)
    assert object_of(model, "ExamStatus").properties[0].type.literals == (0, 10, 20, 30, 40, 50, 60)


def test_a_reserved_name_is_left_alone(model):
    names = [one.name for one in model.objects]

    assert "ExamRoom" not in names
    assert "ExamPassedRoom" in names
    assert len(names) == len(set(names))


def test_a_type_of_a_noun_that_begins_with_a_digit_has_a_valid_name():
    fields = (Field("id", FieldKind.ID, FieldPrivacy.ID, required=True), Field("step.no", FieldKind.ID, BASIC))
    model = type_model([EventType("2fa.enabled", Noun("2fa", "Second factor", fields), "It was enabled.")])

    assert model.events[0].name == "T2faEnabledEvent"
    assert {one.name for one in model.objects} >= {"T2faEventData", "T2faStep"}


def test_each_required_property_is_in_the_thin_form_of_the_sample():
    model = type_model(catalogue.all_types())
    objects = {one.name: one for one in model.objects}

    def missing(declared: ObjectDeclaration, value: dict) -> list[str]:
        found = [one.name for one in declared.properties if one.required and one.name not in value]
        for one in declared.properties:
            if one.type.reference and isinstance(value.get(one.name), dict):
                found += missing(objects[one.type.reference], value[one.name])
        return found

    for event in model.events:
        thin = reduced(catalogue.get(event.event_type).example(), PayloadDetail.THIN)
        assert missing(objects[event.data], thin["data"]) == []


@pytest.mark.parametrize("write", [python, typescript])
def test_a_file_has_every_event_type_and_names_no_host(write):
    text = write(catalogue.all_types())

    for event_type in catalogue.all_types():
        assert f'"{event_type.name}"' in text
    assert "@@" not in text
    assert re.findall(r"https?://|[\w-]+\.(?:com|org|net)\b", text) == []
