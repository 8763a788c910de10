"""A webhook that knows version 1 gets version 1, whatever the newest one is."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from jsonschema import Draft202012Validator

from tests.catalogue import temporary_older_version, temporary_type
from tms_webhooks import catalogue
from tms_webhooks.catalogue import EventType, Field, FieldKind, Noun, OlderVersion
from tms_webhooks.catalogue.versions import example_at, missing_step, schema_at
from tms_webhooks.choices import FieldPrivacy, PayloadDetail, PayloadFormat
from tms_webhooks.exceptions import ConfigurationError, PayloadError
from tms_webhooks.payloads.formats import RequestFormat, render, tailored

ID = Field("id", FieldKind.ID, FieldPrivacy.ID, required=True)
OLD_FIELDS = (
    ID,
    Field("learner_id", FieldKind.ID, FieldPrivacy.ID, required=True),
    Field("learner_name", FieldKind.STRING, FieldPrivacy.PERSONAL),
)
NEW_FIELDS = (
    ID,
    Field("user.id", FieldKind.ID, FieldPrivacy.ID, required=True),
    Field("user.first_name", FieldKind.STRING, FieldPrivacy.PERSONAL),
)
NEW = EventType(
    "badge.issued",
    Noun("badge", "Badge", NEW_FIELDS),
    "A badge was issued.",
    sample={"id": 7, "user": {"id": 5012, "first_name": "Alice"}},
    sample_previous={"user": {"first_name": "Alicia"}},
    version=2,
)
OLD_DATA = {"id": 7, "learner_id": 5012, "learner_name": "Alice"}


def to_version_1(event):
    user = event["data"].pop("user")
    event["data"] |= {"learner_id": user["id"], "learner_name": user["first_name"]}
    event["changed"] = ["learner_name" if name == "user.first_name" else name for name in event["changed"]]
    old = event["previous"].pop("user", {})
    return {**event, "previous": {"learner_name": old["first_name"]} if old else {}}


@pytest.fixture
def badge():
    older = OlderVersion("badge.issued", version=1, fields=OLD_FIELDS, convert=to_version_1)
    with temporary_type(NEW) as event_type, temporary_older_version(older):
        yield event_type


def test_one_that_is_pinned_to_version_1_gets_version_1(badge):
    event = tailored(RequestFormat(version=1), badge.example())

    assert (event["version"], event["data"]) == (1, OLD_DATA)
    assert (event["changed"], event["previous"]) == (["learner_name"], {"learner_name": "Alicia"})
    Draft202012Validator(schema_at(badge, 1)).validate(event)
    assert list(event) == list(badge.example())


@pytest.mark.parametrize("version", [None, 2, 3])
def test_other_webhooks_get_the_stored_version(badge, version):
    assert tailored(RequestFormat(version=version), badge.example()) == badge.example()


def test_an_event_stored_before_the_new_version_is_unchanged(badge):
    stored = {**badge.example(), "version": 1, "data": OLD_DATA, "changed": [], "previous": {}}

    assert tailored(RequestFormat(version=1), dict(stored)) == stored
    assert tailored(RequestFormat(), dict(stored)) == stored
    assert tailored(RequestFormat(detail=PayloadDetail.NO_PERSONAL), dict(stored))["data"] == {
        "id": 7,
        "learner_id": 5012,
    }


def test_the_privacy_of_the_old_fields_counts_in_the_old_version(badge):
    event = tailored(RequestFormat(version=1, detail=PayloadDetail.NO_PERSONAL), badge.example())

    assert (event["data"], event["changed"], event["previous"]) == ({"id": 7, "learner_id": 5012}, [], {})


def test_every_format_begins_with_the_pinned_version(badge):
    def body(**shape):
        shape = RequestFormat(version=1, **shape)
        return json.loads(render(shape, tailored(shape, badge.example()), limit=10_000).body)

    assert body()["data"] == OLD_DATA
    assert body(format=PayloadFormat.CLOUDEVENTS)["dataschema"] == "urn:tms-webhooks:event:badge.issued:1"
    assert body(format=PayloadFormat.SKILLABLE)["LearnerName"] == "Alice"
    assert body(format=PayloadFormat.CUSTOM, content="[{data.learner_id}, {LearnerId}]") == [5012, 5012]


def test_several_steps_are_taken_one_after_the_other():
    def mark(number):
        def convert(event):
            event["data"]["steps"] = [*event["data"].get("steps", []), number]
            return event

        return OlderVersion("badge.issued", version=number, fields=NEW_FIELDS, convert=convert)

    with (
        temporary_type(replace(NEW, version=3)) as event_type,
        temporary_older_version(mark(1)),
        temporary_older_version(mark(2)),
    ):
        assert tailored(RequestFormat(version=1), event_type.example())["data"]["steps"] == [2, 1]
        assert example_at(event_type, 2)["version"] == 2


def test_a_step_that_is_missing_is_an_error_that_names_it():
    with temporary_type(NEW) as event_type:
        assert missing_step(event_type, 1) == 1
        assert missing_step(event_type, 2) is None
        with pytest.raises(PayloadError, match=r"^Version 1 of badge.issued can't be made from version 2\.$"):
            tailored(RequestFormat(version=1), event_type.example())


def test_a_version_is_registered_once_and_from_1():
    older = OlderVersion("badge.issued", version=1, fields=OLD_FIELDS, convert=to_version_1)
    with temporary_older_version(older), pytest.raises(ConfigurationError, match="registered already"):
        catalogue.register_older(older)
    with pytest.raises(ConfigurationError, match="the first version is 1"):
        catalogue.register_older(replace(older, version=0))
