import pytest
from hypothesis import given
from hypothesis import strategies as st

from tms_webhooks.exceptions import UnsafeURL
from tms_webhooks.net.urls import SafeURL, check_url, split_url


@pytest.fixture(autouse=True)
def _http_too(settings):
    settings.TMS_WEBHOOKS = {"ALLOWED_SCHEMES": ["http", "https"], "ALLOWED_PORTS": [80, 443, 8443]}


@pytest.mark.parametrize(
    "url, expected",
    [
        (
            "https://example.com/hook",
            SafeURL("https://example.com", "https", "example.com", 443, "/hook", "example.com"),
        ),
        ("https://example.com", SafeURL("https://example.com", "https", "example.com", 443, "/", "example.com")),
        (
            "HTTPS://Example.COM:443/A?b=c&d",
            SafeURL("https://example.com", "https", "example.com", 443, "/A?b=c&d", "example.com"),
        ),
        (
            "https://example.com:8443?x=1",
            SafeURL("https://example.com:8443", "https", "example.com", 8443, "/?x=1", "example.com:8443"),
        ),
        (
            "http://93.184.216.34/",
            SafeURL("http://93.184.216.34", "http", "93.184.216.34", 80, "/", "93.184.216.34"),
        ),
        (
            "https://[2606:4700::ABCD]:8443/x",
            SafeURL("https://[2606:4700::abcd]:8443", "https", "2606:4700::abcd", 8443, "/x", "[2606:4700::abcd]:8443"),
        ),
        (
            "https://bücher.example/straße?q=ä",
            SafeURL(
                "https://xn--bcher-kva.example",
                "https",
                "xn--bcher-kva.example",
                443,
                "/stra%C3%9Fe?q=%C3%A4",
                "xn--bcher-kva.example",
            ),
        ),
    ],
)
def test_a_good_url_is_taken_apart(url, expected):
    assert split_url(url) == expected
    assert check_url(url) == expected


@pytest.mark.parametrize(
    "given_target, sent",
    [
        ("/a/../b//c", "/a/../b//c"),
        ("/{course.id}/x", "/%7Bcourse.id%7D/x"),
        ("/100%/x%2Fy%zz", "/100%25/x%2Fy%25zz"),
        ("/%c3%a9?%2f", "/%C3%A9?%2F"),
        ("/@me:now;v=1,2*'()!$&+=~", "/@me:now;v=1,2*'()!$&+=~"),
        ('/?a[b]=<c>&d="e"|f^g`', "/?a%5Bb%5D=%3Cc%3E&d=%22e%22%7Cf%5Eg%60"),
        ("?a=b?c/d", "/?a=b?c/d"),
    ],
)
def test_path_and_query_are_sent_as_written_but_for_what_no_request_line_may_hold(given_target, sent):
    assert split_url(f"https://example.com{given_target}").target == sent


REFUSED = [
    ("", "it is incomplete"),
    ("example.com", "it is incomplete"),
    ("//example.com/", "it is incomplete"),
    ("/hook", "it is incomplete"),
    ("https:example.com", "it is incomplete"),
    ("https:/example.com", "it is incomplete"),
    ("1https://example.com", "it is incomplete"),
    ("ftp://example.com/", "the scheme 'ftp' is not HTTP"),
    ("file:///etc/passwd", "the scheme 'file' is not HTTP"),
    ("gopher://example.com/", "the scheme 'gopher' is not HTTP"),
    ("javascript://example.com/", "the scheme 'javascript' is not HTTP"),
    ("https://", "it has no host"),
    ("https:///hook", "it has no host"),
    ("https://:443/", "it has no host"),
    ("https://?x", "it has no host"),
    ("https://user@example.com/", "it has a user name or password"),
    ("https://user:hunter2@example.com/", "it has a user name or password"),
    ("https://@example.com/", "it has a user name or password"),
    ("https://example.com@127.0.0.1/", "it has a user name or password"),
    ("https://example.com/#top", "it has a fragment"),
    ("https://example.com#", "it has a fragment"),
    ("https://example.com#@evil.example/", "it has a fragment"),
    ("https://example.com\\@evil.example/", "it has a backslash"),
    ("https:\\\\example.com/", "it has a backslash"),
    ("https://example.com/a\\b", "it has a backslash"),
    (" https://example.com/", "character 1 is a space"),
    ("https://example.com/ ", "character 21 is a space"),
    ("https://exam ple.com/", "character 13 is a space"),
    ("https://example.com/\n", r"U\+000A"),
    ("https://example.com/\r\nx: y", r"U\+000D"),
    ("https://example.com/\t", r"U\+0009"),
    ("https://example.com/\0", r"U\+0000"),
    ("https://example.com/\x7f", r"U\+007F"),
    ("https://example.com/\x85", r"U\+0085"),
    ("https://example.com/\u00a0", r"U\+00A0"),
    ("https://example.com/\u2028", r"U\+2028"),
    ("https://exam\u200bple.com/", r"U\+200B"),
    ("https://example.com/\u202e", r"U\+202E"),
    ("https://example.com/\ud800", r"U\+D800"),
    ("https://example.com./", "'example.com.' is not a host name"),
    ("https://.example.com/", "'.example.com' is not a host name"),
    ("https://example..com/", "'example..com' is not a host name"),
    ("https://-example.com/", "'-example.com' is not a host name"),
    ("https://example-.com/", "'example-.com' is not a host name"),
    ("https://exa%6Dple.com/", "'exa%6Dple.com' is not a host name"),
    ("https://{host}/", "it has a token in its host or port"),
    ("https://example.com,evil.example/", "is not a host name"),
    ("https://" + "a" * 64 + ".com/", "is not a host name"),
    ("https://" + "a." * 127 + "com/", "is not a host name"),
    ("https://" + "ä" * 300 + ".com/", "is not a host name"),
    ("https://\u2603.example/", "is not an international host name"),
    ("https://example.com:/", "'' is not a port"),
    ("https://example.com:0/", "'0' is not a port"),
    ("https://example.com:65536/", "'65536' is not a port"),
    ("https://example.com:000443/", "'000443' is not a port"),
    ("https://example.com:-1/", "'-1' is not a port"),
    ("https://example.com:4_3/", "'4_3' is not a port"),
    ("https://example.com:\u0664\u0664\u0663/", "is not a port"),
    ("https://example.com:443:80/", "'443:80' is not a port"),
    ("https://::1/", "it has no host"),
    ("https://2606:4700::1/", "is not a port|is not a plain IPv4 address"),
    ("https://[::1/", "is not an IPv6 address with a port"),
    ("https://[2606:4700::1]8443/", "is not an IPv6 address with a port"),
    ("https://[2606:4700::1%25eth0]/", "is not an IPv6 address"),
    ("https://[fe80::1%eth0]/", "is not an IPv6 address"),
    ("https://[v1.x]/", "is not an IPv6 address"),
    ("https://[]/", "is not an IPv6 address"),
    ("https://[example.com]/", "is not an IPv6 address"),
    ("https://2130706433/", "'2130706433' is not a plain IPv4 address"),
    ("https://0/", "'0' is not a plain IPv4 address"),
    ("https://0x7f000001/", "'0x7f000001' is not a plain IPv4 address"),
    ("https://0X7F.1/", "is not a plain IPv4 address"),
    ("https://0x/", "is not a plain IPv4 address"),
    ("https://127.1/", "'127.1' is not a plain IPv4 address"),
    ("https://127.0.1/", "'127.0.1' is not a plain IPv4 address"),
    ("https://0177.0.0.1/", "'0177.0.0.1' is not a plain IPv4 address"),
    ("https://127.0.0.01/", "'127.0.0.01' is not a plain IPv4 address"),
    ("https://017700000001/", "is not a plain IPv4 address"),
    ("https://127.0.0.1.1/", "is not a plain IPv4 address"),
    ("https://256.0.0.1/", "is not a plain IPv4 address"),
    ("https://1.2.3.0x4/", "is not a plain IPv4 address"),
    ("https://example.0x7f/", "is not a plain IPv4 address"),
    ("https://\uff11\uff12\uff17.1/", "is not a plain IPv4 address"),
    ("https://127\u30020.1/", "is not a plain IPv4 address"),
]


@pytest.mark.parametrize("url, message", REFUSED)
def test_a_bad_url_is_refused_with_its_bad_part_and_a_remedy(url, message):
    with pytest.raises(UnsafeURL, match=message) as caught:
        check_url(url)

    text = str(caught.value)
    assert text.startswith("URL: ")
    assert "; " in text
    assert text.endswith(".")


def test_the_message_does_not_repeat_a_password():
    with pytest.raises(UnsafeURL) as caught:
        check_url("https://user:hunter2@example.com/")

    assert "hunter2" not in str(caught.value)


@given(host=st.from_regex(r"[a-z0-9.-]{1,20}", fullmatch=True), tail=st.text(max_size=20))
def test_the_normal_form_of_a_url_is_its_own_normal_form(host, tail):
    try:
        safe = split_url(f"https://{host}/{tail}")
    except UnsafeURL:
        return
    assert safe.url == f"https://{safe.host_header}{safe.target}"
    assert split_url(safe.url) == safe
    assert set(safe.target) <= set(map(chr, range(0x21, 0x7F)))
