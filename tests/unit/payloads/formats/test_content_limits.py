"""A content may have so many tokens, and be so long with its tokens replaced: when it is saved, and when it is sent."""

import json

import pytest

from tests.unit.payloads.formats.test_check import problems
from tms_webhooks import catalogue
from tms_webhooks.choices import PayloadFormat
from tms_webhooks.exceptions import PayloadError
from tms_webhooks.payloads.formats import RequestFormat, render, template
from tms_webhooks.payloads.formats.template import LONGEST_TEXT, TextTooLong, TokenPosition, fill, parse

LIMIT = 262_144


def rendered(content, **event):
    shape = RequestFormat(format=PayloadFormat.CUSTOM, content=content)
    return render(shape, {**catalogue.get("enrollment.enrolled").example(), **event}, limit=LIMIT).body


def filled(content, value):
    return fill(parse(content, TokenPosition.TEXT), lambda _name: value)


# Tokens


@pytest.mark.parametrize(
    "content, count",
    [
        ("{data.id} " * 1_001, "1,001"),
        ("{data.id|upper}" * 501, "1,002"),
        ('{timestamp|date:"%d %m %Y"}' * 201, "1,005"),
        ('{timestamp|date:"' + "%d" * 30_000 + '"}', "30,002"),
    ],
)
def test_too_many_tokens_are_refused_with_their_number(content, count):
    message = (
        f"Content: {count} tokens, with their formats and the parts of dates, are too many; the limit is 1,000. "
        "Use fewer, or give some events a content of their own."
    )
    assert problems(content=content) == {"content": [message]}
    assert problems(contents={"class.*": content}) == {"contents": [f"class.*: {message}"]}


def test_a_stored_content_with_too_many_tokens_is_not_rendered():
    with pytest.raises(PayloadError, match="7,000 tokens"):
        rendered("{data.id} " * 7_000)


@pytest.mark.parametrize("content", ["Ids: " + "{data.id} " * 1_000, "Ids: " + "{data.id|upper}" * 500])
def test_as_many_as_the_limit_pass(content):
    assert problems(content=content) == {}
    assert rendered(content)


# Length


def test_a_content_that_gets_too_long_with_the_values_of_a_sample_is_refused():
    assert problems(["class.cancelled"], content="{data} " * 230) == {
        "content": [
            "Content for class.cancelled: with its tokens replaced it is longer than 65,536 bytes. "
            "Use fewer tokens with long values."
        ]
    }


def test_an_event_with_longer_values_is_sent_in_the_thin_form():
    body = json.loads(
        rendered('{"truncated": {truncated}, "data": {data}}', data={"id": 1, "notes": "x" * LONGEST_TEXT})
    )

    assert body == {"truncated": True, "data": {"id": 1}}


def test_formats_that_grow_a_value_end_as_soon_as_they_have_read_too_much(monkeypatch):
    steps, json_format = [], template.RULES["json"]

    def counted(value, argument):
        steps.append(len(value))
        return json_format.apply(value, argument)

    monkeypatch.setitem(template.RULES, "json", json_format._replace(apply=counted))
    with pytest.raises(TextTooLong):
        filled("{data.name" + "|json" * 100 + "}", "a")

    assert max(steps) <= 16 * LONGEST_TEXT


def test_long_values_that_are_cut_short_can_be_read_a_few_times_but_not_often():
    text = "x" * 60_000
    assert filled("{a|truncate:10}{b|truncate:20|upper}", text) == f"{'x' * 9}…{'X' * 19}…"

    with pytest.raises(TextTooLong):
        filled("".join(f"{{a|upper|truncate:{number}}}" for number in range(1, 300)), text)


# Work


def test_an_object_in_json_is_a_value_and_after_a_format_a_text():
    assert rendered('["{type}", {previous}, {previous|json}, {previous|truncate:9}, {previous|json|json}]') == (
        '["enrollment.enrolled", {"status":{"code":20,"name":"Waitlist"}}, {"status":{"code":20,"name":"Waitlist"}}, '
        r'"{\"status…", "{\"status\":{\"code\":20,\"name\":\"Waitlist\"}}"]'
    )
