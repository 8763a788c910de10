"""Each event's sample is valid, and is the one that integrators have been shown.

The samples live as golden files in ``tests/golden/samples``. After an intended change, write them again with::

    python -m tests.goldens

and read the difference before you commit it: a receiver out there parses what it shows.
"""

import json
import os
from operator import attrgetter
from pathlib import Path

from tests.catalogue import data_fields, object_fields
from tests.each import each
from tests.unit.catalogue.conftest import each_event_type
from tms_webhooks.catalogue import status_name
from tms_webhooks.catalogue.types import BUILT_IN
from tms_webhooks.choices import PayloadDetail
from tms_webhooks.payloads.formats import RequestFormat, tailored

GOLDEN = Path(__file__).parents[2] / "golden" / "samples"
WRITE_GOLDEN = "TMS_WEBHOOKS_WRITE_GOLDEN"
REGENERATE = "write it again with python -m tests.goldens"


def value_at(nested, dotted_name):
    for segment in dotted_name.split("."):
        nested = None if nested is None else nested[segment]
    return nested


@each_event_type
def test_every_sample_is_valid(event_type):
    event_type.validate(event_type.example())


@each_event_type
def test_every_sample_is_its_golden_file(event_type):
    path = GOLDEN / f"{event_type.name}.json"
    text = json.dumps(event_type.example(), indent=2, ensure_ascii=False) + "\n"
    if os.environ.get(WRITE_GOLDEN):
        path.write_text(text, encoding="utf-8")
    assert path.exists(), f"{path.name} is missing; {REGENERATE}"
    assert path.read_text(encoding="utf-8") == text, f"The sample of {event_type.name} changed; {REGENERATE}"


def test_no_golden_file_is_left_of_an_event_that_is_gone():
    names = {event_type.name for event_type in BUILT_IN}
    assert {path.stem for path in GOLDEN.iterdir()} - names == set(), "delete the files of these events"


@each_event_type
def test_a_sample_shows_every_field_of_its_type_in_order(event_type):
    data = event_type.example()["data"]
    for field in event_type.sent_fields:
        value = value_at(data, field.name)  # raises KeyError, naming what the sample lacks
        for one in value if field.items and value else ():
            assert list(one) == [item.name for item in field.items]
    assert list(data) == list(dict.fromkeys(field.name.split(".")[0] for field in event_type.sent_fields))


@each([one for one in BUILT_IN if not one.is_removal], attrgetter("name"))
def test_the_data_of_a_sample_is_the_object_in_each_detail_whatever_the_event_is(event_type):
    for detail in PayloadDetail:
        event = tailored(RequestFormat(detail=detail), event_type.example())
        assert data_fields(event, detail) == object_fields(event_type, detail)


@each_event_type
def test_a_sample_has_details_if_its_event_has_values_of_its_own(event_type):
    details = event_type.example().get("details", {})

    assert list(details) == list(dict.fromkeys(field.name.split(".")[0] for field in event_type.details))
    for field in event_type.details:
        value_at(details, field.name)  # raises KeyError, naming what the sample lacks


@each_event_type
def test_old_values_in_a_sample_differ_from_the_new(event_type):
    example = event_type.example()
    new = {**example["data"], **example.get("details", {})}
    for name in example["changed"]:
        assert value_at(example["previous"], name) != value_at(new, name), name


@each_event_type
def test_a_status_in_a_sample_has_the_name_of_its_code(event_type):
    example = event_type.example()
    for field in event_type.sent_fields:
        if field.choices is None:
            continue
        status = value_at(example["data"], field.name)
        assert status["name"] == status_name(field.choices(status["code"]))


def test_an_example_is_the_callers_to_change():
    event_type = BUILT_IN[0]
    spoiled = event_type.example()
    spoiled["data"]["course"]["name"] = "spoiled"
    spoiled["previous"]["status"]["code"] = 99
    assert event_type.example()["data"]["course"]["name"] == "Azure Administrator"
    assert event_type.example()["previous"]["status"]["code"] == 5
