"""Whatever a value is, it stays a value: in JSON, in a URL, in a form, in XML."""

import json
from urllib.parse import parse_qs, unquote, urlsplit
from xml.etree import ElementTree

import pytest
from django.test import override_settings
from hypothesis import given
from hypothesis import strategies as st

from tms_webhooks import catalogue
from tms_webhooks.choices import PayloadFormat
from tms_webhooks.exceptions import UnsafeURL
from tms_webhooks.net.urls import check_url
from tms_webhooks.payloads.formats import RequestFormat, fill_url, render

ENOUGH = 10_000_000
texts = st.text(max_size=60) | st.sampled_from(
    [
        '"',
        "\\",
        '\\"',
        '","admin":true,"x":"',
        "{data.id}",
        "{{data.id}}",
        "\x00",
        "\u2028",
        "a&b=c#d/e?f",
        "%2e%2e",
        "🦊",
    ]
)
values = texts | st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)


def event_with(value):
    event = catalogue.get("user.updated").example()
    event["data"]["last_name"] = value
    return event


def filled(content, value, *, content_type=""):
    shape = RequestFormat(format=PayloadFormat.CUSTOM, content=content, content_type=content_type)
    return render(shape, event_with(value), limit=ENOUGH).body


@given(texts)
def test_a_text_between_quotes_round_trips(text):
    body = filled('{"who": "<{data.last_name}>", "again": ["{LastName}"], "n": {data.id}}', text)

    assert json.loads(body) == {"who": f"<{text}>", "again": [text], "n": 5012}


@given(values | st.lists(values, max_size=3) | st.dictionaries(texts, values, max_size=3))
def test_any_value_outside_quotes_round_trips(value):
    assert json.loads(filled('{"a\\"b{": {data.last_name}}', value)) == {'a"b{': value}


@given(texts)
def test_a_text_in_a_path_is_one_segment_and_round_trips(text):
    with override_settings(TMS_WEBHOOKS={}):
        url = check_url(fill_url("https://example.com/users/u-{data.last_name}/changed", event_with(text)))

    assert url.host == "example.com"
    assert url.target.split("/")[:2] == ["", "users"]
    assert unquote(url.target.split("/")[2], errors="strict") == f"u-{text}"
    assert url.target.endswith("/changed")


@given(texts)
def test_a_text_in_a_query_round_trips(text):
    with override_settings(TMS_WEBHOOKS={}):
        url = check_url(fill_url("https://example.com/hook?name=x{data.last_name}&id={data.id}", event_with(text)))

    assert parse_qs(urlsplit(url.url).query, strict_parsing=True) == {"name": [f"x{text}"], "id": ["5012"]}


@given(texts)
def test_a_text_in_a_form_round_trips(text):
    body = filled("name=x{data.last_name}&id={data.id}", text, content_type="application/x-www-form-urlencoded")

    assert parse_qs(body, strict_parsing=True) == {"name": [f"x{text}"], "id": ["5012"]}


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc"], exclude_characters="\ufffe\uffff")))
def test_a_text_in_xml_round_trips(text):
    body = filled('<u name="{data.last_name}">{data.last_name}</u>', text, content_type="text/xml; charset=utf-8")

    element = ElementTree.fromstring(body)
    assert (element.attrib["name"], element.text or "") == (text, text)


@given(texts)
def test_xml_is_well_formed_whatever_the_text(text):
    ElementTree.fromstring(filled("<u>{data.last_name}</u>", text, content_type="application/xml"))


@given(texts)
def test_a_plain_text_is_the_text_and_no_database_chokes_on_it(text):
    assert filled("Dear {data.last_name}!", text) == f"Dear {text}!".replace("\x00", "\ufffd")


@pytest.mark.parametrize(
    "value, written",
    [(None, ""), (True, "true"), (20, "20"), (6.5, "6.5"), ({"code": 20}, '{"code":20}'), (["a"], '["a"]')],
)
def test_a_value_in_a_text_is_written_as_people_write_it(value, written):
    assert filled("<{data.last_name}>", value) == f"<{written}>"


@pytest.mark.parametrize("text", [".", "..", "%2e", "%2E%2e"])
def test_a_value_can_not_lead_up_the_path(text):
    if "%" in text:
        assert fill_url("https://example.com/a/{data.last_name}/b", event_with(text)).split("/")[4] == text.replace(
            "%", "%25"
        )
        return
    with pytest.raises(UnsafeURL, match=r"'\.' or '\.\.'"):
        fill_url("https://example.com/a/{data.last_name}/b", event_with(text))
    with pytest.raises(UnsafeURL):
        fill_url("https://example.com/a/{data.last_name}", event_with(text))


@pytest.mark.parametrize(
    "url",
    ["https://{data.last_name}/", "https://x.{data.last_name}.com/", "{data.last_name}://x/", "https://x:{data.id}?a"],
)
def test_no_value_chooses_where_it_goes(url):
    with pytest.raises(UnsafeURL, match="scheme, host or port"):
        fill_url(url, event_with("evil.example.com"))


def test_a_url_that_became_too_long_is_refused_without_its_values():
    with pytest.raises(UnsafeURL) as caught:
        fill_url("https://example.com/?q={data.last_name}", event_with("secret" * 2_000))

    assert "12023 characters" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_double_brace_is_a_brace():
    assert filled("{{data.id}} is {data.id}", "x", content_type="text/plain") == "{data.id} is 5012"


def test_braces_that_are_no_token_are_left_alone():
    assert filled('{"a":{"b":{data.id}}, "c":{}, "d":"{ }"}', "x") == '{"a":{"b":5012}, "c":{}, "d":"{ }"}'


@pytest.mark.parametrize(
    "content, named, content_type",
    [
        ('{"a":1}', "", "application/json"),
        (" [1]", "", "application/json"),
        ("Dear", "", "text/plain; charset=utf-8"),
        ("", "", "text/plain; charset=utf-8"),
        ("<a/>", "text/xml", "text/xml"),
        ('{"a":1}', "application/vnd.api+json", "application/vnd.api+json"),
    ],
)
def test_the_content_type_is_the_named_one_or_follows_from_the_content(content, named, content_type):
    shape = RequestFormat(format=PayloadFormat.CUSTOM, content=content, content_type=named)

    assert render(shape, event_with("x"), limit=ENOUGH) == (content_type, content)
