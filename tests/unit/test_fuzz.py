"""Whatever is typed into a URL or a header, and whatever comes over the wire, has an answer that is planned for.

`tests/fuzz` asks the same with a fuzzer that watches the code.
"""

import string
from ipaddress import ip_address
from urllib.parse import urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.fuzz import targets
from tms_webhooks.listener import problem_with
from tms_webhooks.net.addresses import is_allowed
from tms_webhooks.net.urls import check_url, split_url

SECRET = "whsec_" + "A" * 43 + "="
ODD = st.sampled_from(list("\\/@?#:%[]{}\x00\r\n\t .0x7f127001İ。ａ\u202e\ud800"))
TEXT = st.text(max_size=60) | st.text(ODD | st.sampled_from(string.ascii_letters), max_size=60)
URL = st.builds("{}{}{}".format, st.sampled_from(["https://", "http://", "//", "", "HTTPS://"]), TEXT, TEXT)


@pytest.fixture(autouse=True)
def _defaults(settings):
    settings.TMS_WEBHOOKS = {}


@given(URL)
@example("https://127.1/")
@example("https://[::ffff:7f00:1]/")
@example("https://2130706433/")
@example("https://ⓔxample.com/")
@example("https://a.example.com\\@b.example.com/")
def test_a_url_is_refused_or_means_one_thing_to_everybody(url):
    safe = targets.url(url)
    if safe is None:
        return
    # A second parser sees the same host, and the normal form is its own.
    seen = urlsplit(safe.url)
    assert (seen.scheme, seen.hostname, seen.port or 443) == ("https", safe.host, 443)
    assert seen.username is None
    assert seen.fragment == ""
    assert safe.url.isascii()
    assert safe.url.isprintable()
    assert " " not in safe.url
    assert split_url(safe.url) == safe


@given(st.ip_addresses())
def test_an_address_in_a_url_is_judged_as_what_it_is(address):
    host = f"[{address}]" if address.version == 6 else str(address)
    accepted = targets.url(f"https://{host}/") is not None

    assert accepted == is_allowed(ip_address(str(address)), allowed_networks=())


@given(TEXT | st.lists(st.builds("{}={}".format, TEXT, TEXT), max_size=5).map("\n".join))
@example("webhook-id=x")
@example("X=a\r\nHost=b")
def test_header_lines_are_refused_or_can_be_sent(text):
    headers = targets.header_lines(text)
    for name, value in (headers or {}).items():
        assert name.isascii()
        assert not name.lower().startswith(("webhook-", "tms-"))
        assert name.lower() not in {"host", "content-length", "transfer-encoding", "connection"}
        value.encode("latin-1")
        assert not set(value) & {"\r", "\n", "\x00"}


@given(st.builds("X-Password=hunter2{}{}".format, TEXT, TEXT))
def test_a_refusal_never_repeats_a_value(text):
    assert "hunter2" not in targets.refusal_of_header_lines(text)


@given(st.dictionaries(st.sampled_from(["webhook-id", "webhook-timestamp", "webhook-signature"]), TEXT), st.binary())
def test_a_request_that_was_not_signed_is_never_right(headers, body):
    assert problem_with(headers, body, secrets=[SECRET], now=1_700_000_000.0)


def test_the_targets_do_accept_something():
    assert targets.url("https://example.com/hook?x={data.id}") is not None
    assert targets.header_lines("X-Key=value") == {"X-Key": "value"}
    assert check_url("https://example.com/").host == "example.com"
