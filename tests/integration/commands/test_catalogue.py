"""``manage.py webhooks_catalogue``: the events as Markdown, JSON Schema, OpenAPI, AsyncAPI, and for Power Automate."""

import json

import pytest
from django.core.management import CommandError, call_command
from jsonschema import Draft202012Validator

from tms_webhooks import catalogue


@pytest.fixture
def printed(capsys):
    """Run the command; return what it printed."""

    def printed(*arguments):
        call_command("webhooks_catalogue", *arguments)
        return capsys.readouterr().out

    return printed


def test_markdown_has_every_event_with_its_fields_and_a_sample(printed):
    page, nouns = printed(), []

    for event_type in catalogue.all_types():
        assert f"### {event_type.name}\n\n{event_type.summary}\n" in page
        # The sample of a noun's first event is complete; the test of the reference has the others.
        if event_type.noun not in nouns:
            block = page.partition(f"### {event_type.name}\n")[2].partition("```json\n")[2].partition("```")[0]
            assert json.loads(block) == event_type.example()
        nouns.append(event_type.noun)
    assert "- `status`: status, never null, basic. " in page
    assert "2 Cancelled" in page


def test_some_events_alone(printed):
    page = printed("--event", "voucher.*")

    assert "### voucher.redeemed" in page
    assert "### class.cancelled" not in page


@pytest.mark.slow
def test_json_schema_is_one_that_the_samples_obey(printed):
    one = json.loads(printed("--format", "json-schema", "--event", "class.cancelled"))
    every = json.loads(printed("--format", "json-schema"))

    assert one == catalogue.get("class.cancelled").schema()
    for event_type in catalogue.all_types():
        Draft202012Validator(every).validate(event_type.example())


def test_documents_for_machines_name_every_event(printed):
    names = {event_type.name for event_type in catalogue.all_types()}

    assert set(json.loads(printed("--format", "openapi"))["webhooks"]) == names
    assert set(json.loads(printed("--format", "asyncapi"))["components"]["messages"]) == names


def test_a_connector_has_the_chosen_events(printed):
    document = json.loads(printed("--format", "power-automate", "--event", "voucher.*"))
    (parameter,) = document["paths"]["/hooks/"]["post"]["parameters"]

    assert document["swagger"] == "2.0"
    assert "voucher.redeemed" in (names := parameter["schema"]["properties"]["event"]["enum"])
    assert all(name.startswith("voucher.") for name in names)


def test_a_file_is_written(printed, tmp_path):
    file = tmp_path / "events.md"

    assert printed("--output", str(file)) == ""
    assert file.read_text(encoding="utf-8").startswith("# Events\n")


@pytest.mark.parametrize(
    "arguments, expected",
    [
        (["--event", "clas.done"], "Unknown event clas.done"),
        (["--event", "class.*", "--format", "openapi"], "openapi always has all events"),
        (["--format", "pdf"], "invalid choice: 'pdf'"),
        (["--output", "/nowhere/at/all"], "/nowhere/at/all can't be written: No such file"),
    ],
)
def test_bad_input_is_named(arguments, expected):
    with pytest.raises(CommandError, match=expected):
        call_command("webhooks_catalogue", *arguments)
