"""A content or URL that can't be filled in is refused when it is saved, with words that help."""

import difflib

import pytest
from django.core.exceptions import ValidationError

from tms_webhooks import catalogue
from tms_webhooks.choices import PayloadDetail, PayloadFormat
from tms_webhooks.payloads.formats import RequestFormat
from tms_webhooks.payloads.formats.check import MOST_PROBLEMS, check, names_in
from tms_webhooks.payloads.formats.template import Token, parse, position_in


@pytest.fixture
def comparisons(monkeypatch):
    """The words for which similar ones are searched."""
    words = []
    search = difflib.get_close_matches

    def counted(word, *args, **kwargs):
        words.append(word)
        return search(word, *args, **kwargs)

    monkeypatch.setattr(difflib, "get_close_matches", counted)
    return words


def problems(patterns=("*",), **shape):
    event_types = [event_type for pattern in patterns for event_type in catalogue.expand(pattern)]
    shape = {"format": PayloadFormat.CUSTOM, "url": "https://example.com/", **shape}
    try:
        check(RequestFormat(**shape), event_types)
    except ValidationError as error:
        return error.message_dict
    return {}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{data}",
        '{"event": {type}, "who": "{data.user.first_name} {UserLastName}", "status": {data.status.code}}',
        '[{previous.status}, {sequence}, {actor.kind}, "{organization.external_id}", {truncated}, "{{data.user}}"]',
        "Class {ClassName} has changed: {data.class.name}",
    ],
)
def test_tokens_of_the_events_pass(content):
    assert problems(["enrollment.*"], content=content) == {}


def test_a_url_may_have_tokens_in_every_format():
    url = "https://example.com/changed/{data.id}?user={UserExternalId}&e={id}"

    assert problems(["enrollment.*"], url=url, format=PayloadFormat.STANDARD) == {}


def test_an_unknown_token_is_named_with_the_nearest_ones():
    assert problems(["enrollment.*"], content='{"a": {data.user.emial}}') == {
        "content": [
            "{data.user.emial} is not a field of this webhook's events. Did you mean {data.user.email}, "
            "{data.user.id}, {data.user}?"
        ]
    }
    found = problems(["enrollment.*"], url="https://example.com/{clas_id}")
    assert list(found) == ["url"]
    assert found["url"][0].startswith("{clas_id} is not a field of this webhook's events.")


@pytest.mark.parametrize(
    "content",
    ['{"id": "{data.id"}', '{"id": "{data.id", "at": "{timestamp}"}', "Object {data.id of {type}", "Object {data.id"],
)
def test_a_token_without_its_closing_brace_is_refused(content):
    (message,) = problems(content=content)["content"]
    assert message.startswith("The token {data.id… is not complete. Write it as {data.id}, ")


@pytest.mark.parametrize("content", ["body {color: red} {type}", "if (x) {return}", '{"a": {"b": 1}}', "{{data.id}}"])
def test_braces_that_are_text_pass(content):
    assert "not complete" not in str(problems(content=content))


def test_a_token_of_one_of_the_events_is_enough():
    content = '{"left": {details.days_left}}'

    assert problems(["course_assignment.*"], content=content) == {}
    assert list(problems(["course_assignment.started"], content=content)) == ["content"]


def test_only_the_first_ten_problems_of_all_fields_are_searched_and_reported(comparisons):
    many = " ".join(f"{{data.user.emial{number}|uper}}" for number in range(1_000))
    contents = {event_type.name: many for event_type in catalogue.expand("enrollment.*")}

    found = problems(["enrollment.*"], url="https://example.com/{nope}", content=many, contents=contents)

    assert MOST_PROBLEMS == 10
    assert sum(map(len, found.values())) == 10
    assert found["url"] == [
        "{nope} is not a field of this webhook's events. Did you mean {type}, {EventType}, {HoursSpent}?"
    ]
    assert len(comparisons) <= 2 * MOST_PROBLEMS


@pytest.mark.parametrize(
    "url, message",
    [
        ("https://example.com/{data.id|uper}", "{data.id}: uper is not a format of a token. Did you mean upper?"),
        (
            "https://example.com/?at={timestamp|date}",
            '{timestamp|date}: It needs the parts of a date in quotes, such as date:"%d %b %Y".',
        ),
    ],
)
@pytest.mark.parametrize("payload_format", list(PayloadFormat))
def test_the_formats_of_tokens_in_the_url_are_checked_for_every_payload(url, message, payload_format):
    assert problems(url=url, format=payload_format) == {"url": [message]}


def test_a_personal_token_is_refused_where_nothing_personal_is_sent():
    found = problems(["enrollment.*"], content="{UserId} {UserEmail}", content_type="text/plain", detail="no_personal")

    assert found == {
        "content": ["{UserEmail} is not included in this webhook's payload. Remove it, or choose another payload."]
    }


@pytest.mark.parametrize(
    "content, content_type",
    [
        ('{"a": {data.id}', ""),
        ('{"a": {data.user.first_name} {data.id}}', ""),
        ("[{data.id},]", ""),
        ("{data.id} was changed", ""),
        ("Dear {data.user.first_name}", "application/json"),
        ("a={data.id}", "application/problem+json"),
        # A name of a field is always a text, which the value of a token need not be.
        ("{ {data.user.external_id}: 1}", ""),
    ],
)
def test_a_json_template_that_makes_no_json_is_refused(content, content_type):
    (message,) = problems(["enrollment.*"], content=content, content_type=content_type)["content"]

    assert message.startswith("Content: with its tokens replaced it is not valid JSON (line 1, column ")
    assert "such as Content-Type=text/plain." in message


def test_only_custom_content_is_looked_at():
    assert problems(content="{nope", format=PayloadFormat.STANDARD) == {}
    assert problems(content="{nope}", format=PayloadFormat.SKILLABLE) == {}


@pytest.mark.parametrize("url", ["https://example.com/{data id}", "https://e.com/?a=}"])
def test_a_brace_in_a_url_that_is_no_token_is_refused(url):
    assert problems(url=url) == {
        "url": ["URL: a brace is not part of a token. Write a token as {data.id}, and a literal brace as %7B or %7D."]
    }


def test_everything_is_sent_in_utf_8():
    assert list(problems(content="x", content_type="text/plain; charset=latin-1")) == ["headers"]
    assert problems(content="x", content_type='text/plain; charset="UTF-8"') == {}
    assert list(problems(content="x", content_type="text/plain; v=" + "1" * 300)) == ["headers"]


@pytest.mark.parametrize("detail", list(PayloadDetail))
def test_every_name_that_is_offered_is_a_token(detail):
    for name in names_in(RequestFormat(detail=detail), catalogue.all_types()):
        parts = parse(f"{{{name}}}", position_in("", ""))
        assert [part.name for part in parts if isinstance(part, Token)] == [name]
