"""Header lines as people type them: what they mean, what is refused, and that no value is ever repeated."""

import pytest
from django.core.exceptions import ValidationError
from hypothesis import given
from hypothesis import strategies as st

from tms_webhooks import validators

NAME = "Line 1: Not a header name: use letters, digits and hyphens only. In a line, “=” follows the name, not “:”."


def problems(text):
    with pytest.raises(ValidationError) as caught:
        validators.parse_headers(text)
    return [(error.code, message) for error in caught.value.error_list for message in error.messages]


@pytest.mark.parametrize(
    "text, headers",
    [
        # Nothing.
        ("", {}),
        ("\n \r\n\t\n", {}),
        # Studio's own example: the value ends in "=".
        ("Authorization=Basic dXNlcjpwYXNz==", {"Authorization": "Basic dXNlcjpwYXNz=="}),
        # The first "=" splits, whatever follows.
        ("X-Filter=a=b=c", {"X-Filter": "a=b=c"}),
        ("X-Equals==", {"X-Equals": "="}),
        # As a browser sends a text area; blank lines between and after.
        ("X-One=1\r\n\r\nX-Two=2\r\n", {"X-One": "1", "X-Two": "2"}),
        # Blanks around, never within.
        ("  X-One \t=  a  b\t ", {"X-One": "a  b"}),
        ("X-Tab=a\tb", {"X-Tab": "a\tb"}),
        # An empty value is a value.
        ("X-Empty=", {"X-Empty": ""}),
        # A colon is at home in a value.
        ("X-Link=https://example.com/?a=1", {"X-Link": "https://example.com/?a=1"}),
        # Every character that a name may have.
        ("!#$%&'*+-.^_`|~09azAZ=1", {"!#$%&'*+-.^_`|~09azAZ": "1"}),
        # Latin-1, also where other systems see the end of a line (U+0085) or a blank (U+00A0).
        ("X-Name=Zoë\x85 \xa0Ünal", {"X-Name": "Zoë\x85 \xa0Ünal"}),
        # Near a forbidden name, but another one.
        (
            "X-Webhook-Id=1\nHosts=2\nTmsid=3\nwebhook=4",
            {"X-Webhook-Id": "1", "Hosts": "2", "Tmsid": "3", "webhook": "4"},
        ),
        ("Cookie=a=1\nAccept=text/plain", {"Cookie": "a=1", "Accept": "text/plain"}),
        # The model refuses it unless the body is custom content.
        ("Content-Type=text/xml", {"Content-Type": "text/xml"}),
    ],
)
def test_lines_become_headers(text, headers):
    assert validators.parse_headers(text) == headers
    validators.validate_header_lines(text)


@pytest.mark.parametrize(
    "text, code, message",
    [
        (
            "hunter2",
            "header_without_equals",
            "Line 1: The “=” is missing. Write name=value, or remove the line.",
        ),
        (
            "=hunter2",
            "header_name",
            NAME,
        ),
        (
            "X-A=1\r\n\r\nx-a=hunter2",
            "header_duplicate",
            "Line 3: Duplicate header x-a. Remove one of the two lines.",
        ),
        (
            "X-A=hunter2\x00",
            "header_control_character",
            "Line 1: The value contains a control character, such as a line break. Type the value again.",
        ),
        (
            "X-A=" + "y" * 4_097,
            "max_length",
            "Line 1: The value has 4097 characters; the limit is 4096. Shorten it.",
        ),
        (
            "X-A=hunter2€",
            "header_not_latin1",
            "Line 1: The value contains a character outside Latin-1, which HTTP can't carry. Encode the value.",
        ),
        (
            "Host=hunter2",
            "header_forbidden",
            "Line 1: The system sets the header Host. Choose another name.",
        ),
        # The usual mistake. The text before the first "=" is most of the password.
        (
            "Authorization: Bearer hunter2==",
            "header_name",
            NAME,
        ),
    ],
)
def test_a_wrong_line_is_refused_with_its_number_and_the_remedy(text, code, message):
    assert problems(text) == [(code, message)]


@pytest.mark.parametrize("character", [chr(number) for number in [*range(32), 127] if chr(number) not in "\t\n"])
def test_no_control_character_gets_into_a_value(character):
    assert [code for code, _ in problems(f"X-A=a{character}b")] == ["header_control_character"]


def test_a_carriage_return_at_the_end_belongs_to_the_line_break_and_a_second_one_does_not():
    assert validators.parse_headers("X-A=1\r\n") == {"X-A": "1"}
    assert [code for code, _ in problems("X-A=1\r\r\n")] == ["header_control_character"]
    assert [code for code, _ in problems("X-A=1\rX-B=2")] == ["header_control_character"]


@pytest.mark.parametrize("name", ["X A", "X\tA", "X:A", "X(A)", "Ä", "X\x00", "X\rY", "“X”", "X/Y", "X@Y", "X\x85"])
def test_a_name_is_a_token(name):
    assert [code for code, _ in problems(f"{name}=1")] == ["header_name"]


@pytest.mark.parametrize(
    "name",
    [
        # Those of one connection.
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        # Those that the client sets.
        "host",
        "content-length",
        "accept-encoding",
        "user-agent",
        "expect",
        # Ours.
        "webhook-id",
        "webhook-timestamp",
        "webhook-signature",
        "webhook-anything",
        "tms-delivery-id",
        "tms-attempt",
        "tms-anything",
    ],
)
def test_a_forbidden_header_is_refused_in_any_case(name):
    for spelling in (name, name.title(), name.upper(), f" {name} "):
        assert [code for code, _ in problems(f"{spelling}=1")] == ["header_forbidden"]


def test_every_wrong_line_is_reported_at_once():
    text = "X-A=1\nhunter2\nHost=hunter2\n\nx-a=2\nX-B=3\nX-B=4"
    assert [(code, message.split(":")[0]) for code, message in problems(text)] == [
        ("header_without_equals", "Line 2"),
        ("header_forbidden", "Line 3"),
        ("header_duplicate", "Line 5"),
        ("header_duplicate", "Line 7"),
    ]


@pytest.mark.parametrize(
    "line",
    [
        "hunter2",
        "=hunter2",
        "X-A=hunter2\x7f",
        "X-A=hunter2€",
        "Host=hunter2",
        "A: hunter2=",
        "TE=hunter2",
        "X-Z=hunter2",
    ],
)
def test_a_value_is_never_repeated(line):
    with pytest.raises(ValidationError) as caught:
        validators.validate_header_lines(f"X-Z=1\n{line}")
    for error in (caught.value, *caught.value.error_list):
        assert "hunter2" not in str(error) + repr(error) + str(getattr(error, "params", None))
        # Not in a chained error either, which a report would show with its text.
        assert error.__cause__ is None
        assert error.__suppress_context__ or error.__context__ is None


@given(st.dictionaries(st.from_regex(r"\AX-[a-z]{1,8}\Z"), st.text(st.characters(min_codepoint=33, max_codepoint=126))))
def test_what_is_written_is_what_is_read(headers):
    assert validators.parse_headers("\n".join(f"{name}={value}" for name, value in headers.items())) == headers
