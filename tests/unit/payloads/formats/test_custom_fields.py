"""Fields of the host's own in each format, detail and token."""

import json

import pytest
from django.core.exceptions import ValidationError

from example_project.training.models import User
from tests.registration import temporarily
from tms_webhooks import catalogue
from tms_webhooks.choices import PayloadDetail, PayloadFormat
from tms_webhooks.filters.condition import EventValues
from tms_webhooks.filters.parsing import parse
from tms_webhooks.payloads.formats import RequestFormat, fill_url, render, tailored
from tms_webhooks.payloads.formats.check import check
from tms_webhooks.sources import Custom, UserSource

ENOUGH = 1_000_000
UPDATED = catalogue.get("user.updated")


class Users(UserSource):
    custom = {
        "department": Custom("department.name", privacy="basic", title="Department", sample="Sales"),
        "cost_center": Custom("cost_center", sample="4711"),
        "department_id": Custom("department", privacy="id", sample=9),
        "remote": Custom("disabled", privacy="basic", sample=True),
        "sites": Custom("managed_organizations", privacy="basic", sample=[1, 2]),
        "answers": Custom("get_full_name", kind="json", privacy="basic", sample={"Shirt size": "L", "Guests": 2}),
    }


@pytest.fixture(autouse=True)
def users():
    with temporarily(Users, User):
        yield


def rendered(shape, **changes):
    event = {**UPDATED.example(), **changes}
    return json.loads(render(shape, tailored(shape, event), limit=ENOUGH).body)


def test_skillable_lists_them_as_the_api_does():
    flat = rendered(RequestFormat(format=PayloadFormat.SKILLABLE))
    assert flat["CustomFields"] == [
        {"Name": "Department", "TextValue": "Sales"},
        {"Name": "cost_center", "TextValue": "4711"},
        {"Name": "department_id", "TextValue": "9", "NumericValue": 9},
        {"Name": "remote", "TextValue": "true", "BooleanValue": True},
        {"Name": "sites", "TextValue": "[1,2]", "SeparatedListValue": "1\t2"},
        {"Name": "Shirt size", "TextValue": "L"},
        {"Name": "Guests", "TextValue": "2", "NumericValue": 2},
    ]
    assert not [name for name in flat if name.startswith("Custom") and name != "CustomFields"]


def test_each_detail_has_those_of_its_privacy():
    assert rendered(RequestFormat(detail=PayloadDetail.NO_PERSONAL))["data"]["custom"].keys() == {
        "department",
        "department_id",
        "remote",
        "sites",
        "answers",
    }
    assert rendered(RequestFormat(detail=PayloadDetail.THIN))["data"]["custom"] == {"department_id": 9}
    thin = rendered(RequestFormat(format=PayloadFormat.SKILLABLE, detail=PayloadDetail.THIN))
    assert thin["CustomFields"] == [{"Name": "department_id", "TextValue": "9", "NumericValue": 9}]


def test_tokens_name_them():
    shape = RequestFormat(
        format=PayloadFormat.CUSTOM,
        url="https://receiver.example/{data.custom.cost_center}/{data.custom.department}",
        content='{"costs": {data.custom.cost_center}, "all": {CustomFields}, "was": {previous.custom.department}}',
    )
    check(shape, [UPDATED])
    event = {**UPDATED.example(), "previous": {"custom": {"department": "Support"}}}
    body = rendered(shape, previous=event["previous"])
    assert (body["costs"], body["was"], body["all"][0]["Name"]) == ("4711", "Support", "Department")
    assert fill_url(shape.url, event) == "https://receiver.example/4711/Sales"


def test_a_condition_compares_them():
    sales = parse({"data.custom.department": ["Sales", "Support"], "changed": "custom.cost_center"}, [UPDATED])
    event = {"data": {"custom": {"department": "Sales"}}, "changed": ["custom.cost_center"]}
    assert sales.holds(EventValues(event))
    assert not sales.holds(EventValues({**event, "data": {"custom": {"department": "Finance"}}}))


def test_a_condition_only_asks_whether_a_json_value_exists():
    assert parse({"data.custom.answers": {"exists": True}}, [UPDATED]).holds(EventValues(UPDATED.example()))
    with pytest.raises(ValidationError, match="data.custom.answers is a JSON value"):
        parse({"data.custom.answers": "L"}, [UPDATED])
