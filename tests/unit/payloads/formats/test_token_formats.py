"""Formats of tokens: each does one thing, never fails on a value, and an invalid one is refused when the webhook is saved."""

import json
import time

import pytest
from django.core.exceptions import ValidationError

from tms_webhooks.catalogue import get, registry
from tms_webhooks.payloads.formats import RequestFormat, render, tailored, tokens_without_value
from tms_webhooks.payloads.formats.check import check, empty_tokens
from tms_webhooks.payloads.formats.template import TokenPosition, fill, parse, slack_text, teams_text

VALUES = {
    "time": "2026-11-04T05:06:07.123Z",
    "epoch": 1_793_768_767,
    "name": 'R&D <Büro> "A"',
    "link": "[Log in](https://evil.example)",
    "null": None,
    "empty": "",
    "number": 12.5,
    "list": [1, "b"],
    "yes": True,
    "long": "x" * 400,
}


def filled(text, position=TokenPosition.TEXT):
    return fill(parse(text, position), VALUES.get)


@pytest.mark.parametrize(
    "token, text",
    [
        ('{time|date:"%d %b %Y"}', "04 Nov 2026"),
        ("{time|date:'%A %a %B %m %y %H:%M:%S %I %p %Z %%'}", "Wednesday Wed November 11 26 05:06:07 05 AM UTC %"),
        ('{epoch|date:"%Y-%m-%d %H:%M"}', "2026-11-04 05:06"),
        ('{name|date:"%Y"}', 'R&D <Büro> "A"'),
        ('{yes|date:"%Y"}', "true"),
        ("{name|upper}", 'R&D <BÜRO> "A"'),
        ("{name|lower}", 'r&d <büro> "a"'),
        ('{null|default:"none"} {empty|default:"none"} {number|default:"none"}', "none none 12.5"),
        ("{name|truncate:5}", "R&D …"),
        ("{name|truncate:14}", 'R&D <Büro> "A"'),
        ("{number|truncate:3}", "12…"),
        ("{list|json}", '[1,"b"]'),
        ("{name|slack}", 'R&amp;D &lt;Büro&gt; "A"'),
        ("{link|teams} {name|teams}", '[Log in] (https:\u200b//evil.\u200bexample) R&D <Büro> "A"'),
        ('{time|date:"%b"|upper|default:"-"}', "NOV"),
        ("{null|upper|truncate:3|json|slack}", '""'),
        ('{null|date:"%Y"|default:""}', ""),
    ],
)
def test_a_format_changes_the_value(token, text):
    assert filled(token) == text


@pytest.mark.parametrize("write", [slack_text, teams_text])
@pytest.mark.parametrize(
    "text, shown",
    [
        ("https://evil.example.com/a?b=c", "https:\u200b//evil.\u200bexample.\u200bcom/a?b=c"),
        ("see www.evil.example now", "see www.\u200bevil.\u200bexample now"),
        ("x://evil.example/@a", "x:\u200b//evil.\u200bexample/@a"),
        ("**Paid** ~no~ `code`", "\u2217\u2217Paid\u2217\u2217 \u223cno\u223c \u02cbcode\u02cb"),
        ("_now_ __now__ (_now_)", "\uff3fnow\uff3f \uff3f\uff3fnow\uff3f\uff3f (\uff3fnow\uff3f)"),
        ("first_last@example.com", "first_last@example.com"),
        ("Azure 2.0, 10.5 % in a_b", "Azure 2.0, 10.5 % in a_b"),
    ],
)
def test_a_text_for_a_chat_has_neither_markdown_nor_a_bare_link(write, text, shown):
    assert write(text) == shown


def test_a_text_for_teams_has_no_function_of_a_card():
    assert teams_text("{{DATE(2026-01-01T00:00:00Z, SHORT)}}") == "{ {DATE(2026-01-01T00:00:00Z, SHORT)}}"
    assert teams_text("{{{x}}}") == "{ { {x}}}"


@pytest.fixture
def new_york(monkeypatch):
    """The time zone of the process is New York."""
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_a_time_without_a_zone_is_in_utc_whatever_the_zone_of_the_process(new_york):
    event = get("class.cancelled").example()
    event["data"]["start_at"] = "2026-11-04T05:06:07"

    body = render(
        RequestFormat(format="custom", content='At {data.start_at|date:"%d %H:%M %Z"}, {Start}'), event, limit=99
    )

    assert body.body == "At 04 05:06 UTC, 1793768767"


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize(
    "formats",
    ['date:"%d"', "upper", "lower", 'default:"-"', "truncate:1", "json", "slack", "teams", "json|slack|truncate:9"],
)
def test_content_stays_valid_json_with_every_format_of_every_value(name, formats):
    content = f'{{"a": "{{{name}|{formats}}}", "b": {{{name}|{formats}}}, "c": {{{name}|{formats}|json}}}}'

    assert set(json.loads(filled(content, TokenPosition.JSON_VALUE))) == {"a", "b", "c"}


def test_quotes_in_a_format_do_not_end_the_text_around_it():
    content = '{"when": "{time|date:"%Y"}", "name": "{name}"}'

    assert json.loads(filled(content, TokenPosition.JSON_VALUE)) == {"when": "2026", "name": VALUES["name"]}


def test_values_in_a_url_and_a_form_are_escaped_after_their_format():
    assert filled("{name|truncate:5}", TokenPosition.URL) == "R%26D%20%E2%80%A6"
    assert filled("{name|truncate:5}", TokenPosition.FORM) == "R%26D+%E2%80%A6"


@pytest.mark.parametrize(
    "content, message",
    [
        ("{data.name|uper}", "{data.name}: uper is not a format of a token. Did you mean upper?"),
        ("{data.name|date}", '{data.name|date}: It needs the parts of a date in quotes, such as date:"%d %b %Y".'),
        ('{timestamp|date:"%Q"}', "{timestamp|date}: %Q is not a part of a date. Use %d"),
        ('{timestamp|date:"%d %"}', "{timestamp|date}: % is not a part of a date."),
        ("{data.name|truncate:0}", "{data.name|truncate}: It needs a number of characters from 1 to 10,000"),
        ('{data.name|truncate:"9"}', "{data.name|truncate}: It needs a number"),
        ("{data.name|default}", '{data.name|default}: It needs a text in quotes, such as default:"-".'),
        ("{data.name|upper:3}", "{data.name|upper}: It takes no argument; remove the colon and the argument."),
        ("{timestamp|date:%Y}", "The token {timestamp|date:%Y… is not complete."),
        ("{data.name|}", "The token {data.name|… is not complete."),
        ('{data.name|default:"a}', "is not complete"),
    ],
)
def test_a_mistake_is_refused_with_its_remedy(content, message):
    with pytest.raises(ValidationError) as error:
        check(RequestFormat(format="custom", content=content, content_type="text/plain"), [get("class.cancelled")])

    assert message in " ".join(error.value.message_dict["content"])


def test_each_event_gets_the_content_of_its_narrowest_pattern():
    shape = RequestFormat(
        format="custom", content="any {type}", contents={"class.*": "class {data.name}", "class.cancelled": "off"}
    )

    def body(name):
        return render(shape, tailored(shape, get(name).example()), limit=10_000).body

    assert body("class.cancelled") == "off"
    assert body("class.scheduled").startswith("class ")
    assert body("user.updated") == "any user.updated"


def test_the_content_of_an_event_is_checked_against_that_event():
    shape = RequestFormat(format="custom", contents={"class.*": "{data.user.email}", "user.*": '{"a": {data.id}'})

    with pytest.raises(ValidationError) as error:
        check(shape, registry.all_types())

    first, second = error.value.message_dict["contents"]
    assert first.startswith("class.*: {data.user.email} is not a field of this webhook's events.")
    assert second.startswith("user.*: Content: with its tokens replaced it is not valid JSON")


@pytest.mark.parametrize("default", ["-", ""])
def test_a_token_with_a_default_is_missing_neither_in_an_event_type_nor_in_an_event(default):
    shape = RequestFormat(
        format="custom", content=f"{{data.user.email|default:'{default}'}} {{data.user.id|upper}}", url="https://e.com/"
    )
    event = get("class.cancelled").example()

    assert list(empty_tokens(shape, [get("class.cancelled")])) == ["data.user.id"]
    assert tokens_without_value(event, shape) == ["data.user.id"]
