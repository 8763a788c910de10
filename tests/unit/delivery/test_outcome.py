"""What an answer or an error means: success or not, again or not, held against the receiver or not."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tms_webhooks.choices import ErrorClass, HoldReason
from tms_webhooks.delivery import outcome
from tms_webhooks.delivery.outcome import Outcome
from tms_webhooks.exceptions import DeliveryError
from tms_webhooks.net.urls import MASK

NOW = datetime(2026, 11, 24, 15, 4, 5, tzinfo=UTC)

DELIVERED = Outcome(
    success=True,
    permanent=False,
    error_class=None,
    timed_out=False,
    retry_after=None,
    disable=None,
    counts_for_health=True,
    message="HTTP 200 OK",
)
FAILED = Outcome(
    success=False,
    permanent=False,
    error_class=ErrorClass.HTTP_STATUS,
    timed_out=False,
    retry_after=None,
    disable=None,
    counts_for_health=True,
    message="HTTP 500 Internal Server Error",
)


def answer(status, headers=None):
    return outcome.of_response(status=status, headers=headers or {}, now=NOW)


def kept_headers(headers):
    return outcome.response_texts(200, headers, "", echoes=())[0]


def kept_location(location):
    _headers, body = outcome.response_texts(302, {"location": location}, "moved", echoes=())
    head, rest = body.split("\n\n")
    assert rest == "moved"
    return head.removeprefix("Location: ")


@pytest.mark.parametrize(
    "status, message",
    [
        (200, "HTTP 200 OK"),
        (201, "HTTP 201 Created"),
        (202, "HTTP 202 Accepted"),
        (204, "HTTP 204 No Content"),
        # Numbers that no standard names are judged by their hundred.
        (299, "HTTP 299"),
    ],
)
def test_2xx_is_delivered(status, message):
    assert answer(status) == DELIVERED._replace(message=message)


@pytest.mark.parametrize(
    "status, message",
    [
        # Common during a deploy.
        (401, "HTTP 401 Unauthorized"),
        (404, "HTTP 404 Not Found"),
        (400, "HTTP 400 Bad Request"),
        (403, "HTTP 403 Forbidden"),
        (408, "HTTP 408 Request Timeout"),
        (425, "HTTP 425 Too Early"),
        (429, "HTTP 429 Too Many Requests"),
        (500, "HTTP 500 Internal Server Error"),
        (502, "HTTP 502 Bad Gateway"),
        (503, "HTTP 503 Service Unavailable"),
        (504, "HTTP 504 Gateway Timeout"),
        (599, "HTTP 599"),
        # Not a final answer, or not HTTP at all.
        (101, "HTTP 101 Switching Protocols"),
        (199, "HTTP 199"),
        (600, "HTTP 600"),
        (999, "HTTP 999"),
        (0, "HTTP 0"),
    ],
)
def test_anything_else_is_a_failure_that_is_retried(status, message):
    assert answer(status) == FAILED._replace(message=message)


@pytest.mark.parametrize(
    "location, shown",
    [
        ("https://example.com/reset/t0k3n?email=alice%40example.com#frag", "https://example.com"),
        ("http://user:pa55@example.com:8443/a", "http://example.com"),
        ("//example.com/t0k3n", "example.com"),
        ("https://[2001:db8::1]/t0k3n", "https://[2001:db8::1]"),
        ("/reset/t0k3n?email=alice%40example.com", "the same host"),
        ("?t0k3n", "the same host"),
        ("mailto:alice@example.com", "a URL without a host"),
        ("https:///t0k3n", "a URL without a host"),
        ("https://[t0k3n/", "not a URL"),
        ("https://example.com\\@t0k3n/", "not a URL"),
    ],
)
def test_of_a_location_a_message_has_scheme_and_host_only(location, shown):
    headers = {"location": location}

    assert answer(302, headers).message == f"HTTP 302 Found; redirects are not followed. Location: {shown}"
    assert kept_location(location) == location


def test_a_long_location_is_cut():
    shown = answer(302, {"location": f"https://{'a' * 10_000}/"}).message.split("Location: ")[1]

    assert shown == "https://" + "a" * 251 + "…"
    assert len(shown) == outcome.HOST_LIMIT
    assert len(kept_location("/" * 10_000)) == outcome.LOCATION_LIMIT


def test_a_location_can_not_break_or_color_a_log_line():
    headers = {"location": "https://a\r\n\x1b31mINFO all is well\u2028"}

    assert answer(302, headers).message.endswith("Location: https://a   31minfo all is well ")
    assert kept_location(headers["location"]) == "https://a   31mINFO all is well "


def test_410_disables_the_webhook():
    assert answer(410) == FAILED._replace(permanent=True, disable="gone", message="HTTP 410 Gone")


@pytest.mark.parametrize("value", ["disable", "Disable", " DISABLE "])
def test_a_receiver_may_ask_to_be_left_alone_whatever_the_status(value):
    headers = {"webhook-delivery": value}
    assert answer(200, headers) == DELIVERED._replace(disable="receiver_requested")
    assert answer(500, headers) == FAILED._replace(permanent=True, disable="receiver_requested")
    # Said on purpose, it tells more than the status.
    assert answer(410, headers).disable == "receiver_requested"


@pytest.mark.parametrize("value", ["", "enable", "disabled", "disable; now", "1"])
def test_other_words_in_that_header_mean_nothing(value):
    assert answer(200, {"webhook-delivery": value}) == DELIVERED


@pytest.mark.parametrize(
    "value, seconds",
    [
        ("0", 0.0),
        ("120", 120.0),
        (" 120 ", 120.0),
        ("007", 7.0),
        # Far too much is still a number; the retry schedule cuts it.
        ("99999999999", 366 * 86_400.0),
        ("9" * 5_000, 366 * 86_400.0),
        # The three forms of an HTTP date.
        ("Tue, 24 Nov 2026 15:06:05 GMT", 120.0),
        ("Tuesday, 24-Nov-26 15:06:05 GMT", 120.0),
        ("Tue Nov 24 15:06:05 2026", 120.0),
        # Other zones, which some receivers send.
        ("Tue, 24 Nov 2026 16:06:05 +0100", 120.0),
        ("Tue, 24 Nov 2026 15:06:05 -0000", 120.0),
        # Past: at once, which the schedule's own delay bounds.
        ("Tue, 24 Nov 2026 15:04:04 GMT", 0.0),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 366 * 86_400.0),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_read_in_seconds_and_as_a_date(status, value, seconds):
    result = answer(status, {"retry-after": value})
    expected = FAILED._replace(retry_after=seconds, counts_for_health=False, message=result.message)
    assert result == expected
    assert result.hold_reason == HoldReason.RETRY_AFTER


@pytest.mark.parametrize(
    "value",
    [
        "",
        "soon",
        "-5",
        "+5",
        "1.5",
        "1e3",
        "NaN",
        "inf",
        "12 seconds",
        "0x10",
        "1_000",
        "١٢",
        "²",
        "Tue, 24 Nov",
        "Tue, 99 Nov 2026 15:06:05 GMT",
        "Tue, 24 Nov 2026 25:06:05 GMT",
        "Tue, 24 Nov 2026 15:06:05 +9999",
        "Tue, 24 Nov 99999 15:06:05 GMT",
        "Tue, 24 Nov 99999999999999999999 15:06:05 GMT",
        "Tue, 24 Nov 2026 15:06:05 GMT" * 100,
        "2026-11-24T15:06:05Z",
    ],
)
def test_a_bad_retry_after_is_ignored(value):
    assert answer(503, {"retry-after": value}).retry_after is None


def test_a_receiver_that_asks_to_be_disabled_does_not_defer():
    result = answer(503, {"retry-after": "120", "webhook-delivery": "disable"})
    assert (result.retry_after, result.disable, result.counts_for_health) == (None, "receiver_requested", True)


@given(value=st.text(max_size=60) | st.from_regex(r"[A-Z][a-z]{2}, [0-9]{1,6} [A-Z][a-z]{2} [0-9:+ -]{0,30}[A-Z]{0,4}"))
def test_no_retry_after_breaks_us(value):
    seconds = answer(429, {"retry-after": value}).retry_after
    assert seconds is None or 0.0 <= seconds <= outcome.LONGEST_WAIT


@given(status=st.integers(), location=st.text())
def test_a_message_is_always_one_short_line(status, location):
    message = answer(status % 1_000, {"location": location}).message
    assert message.isprintable()
    assert len(message) <= outcome.MESSAGE_LIMIT


@pytest.mark.parametrize(
    "error_class, expected",
    [
        # The receiver's side: retried, and held against its health.
        (ErrorClass.DNS_ERROR, {}),
        (ErrorClass.CONNECTION_REFUSED, {}),
        (ErrorClass.CONNECTION_RESET, {}),
        (ErrorClass.NETWORK_UNREACHABLE, {}),
        (ErrorClass.TLS_ERROR, {}),
        (ErrorClass.OTHER, {}),
        (ErrorClass.HTTP_STATUS, {}),
        (ErrorClass.TIMEOUT, {"timed_out": True}),
        (ErrorClass.TOKEN_ERROR, {}),
        # The operator's machines: retried, and never held against it.
        (ErrorClass.PROXY_ERROR, {"counts_for_health": False}),
        # Our own side: permanent, whatever the flag says, and never held against it.
        (ErrorClass.BLOCKED_ADDRESS, {"permanent": True, "counts_for_health": False}),
        (ErrorClass.INVALID_URL, {"permanent": True, "counts_for_health": False}),
        (ErrorClass.BODY_TOO_LARGE, {"permanent": True, "counts_for_health": False}),
        (ErrorClass.SECRET_UNREADABLE, {"permanent": True, "counts_for_health": False}),
        (ErrorClass.RENDER_FAILED, {"permanent": True, "counts_for_health": False}),
        # The operator's: retried, and not held against it either.
        (ErrorClass.KEYS_MISSING, {"counts_for_health": False}),
    ],
)
def test_an_error_is_judged_by_its_class(error_class, expected):
    result = outcome.of_error(DeliveryError("It broke.", error_class=error_class))
    assert result == FAILED._replace(error_class=error_class, message="It broke.", **expected)


def test_every_error_class_is_judged_above():
    judged = test_an_error_is_judged_by_its_class.pytestmark[0].args[1]
    assert {row[0] for row in judged} == set(ErrorClass)


def test_an_error_that_says_it_is_permanent_is_never_held_against_the_receiver():
    result = outcome.of_error(DeliveryError("It broke.", error_class=ErrorClass.OTHER, permanent=True))
    assert result.permanent
    assert not result.counts_for_health


def test_a_long_message_of_an_error_is_cut_to_one_line():
    result = outcome.of_error(DeliveryError("a\nb" + "c" * 1_000, error_class=ErrorClass.OTHER))
    assert result.message == "a b" + "c" * 496 + "…"


@pytest.mark.parametrize(
    "name",
    [
        "Set-Cookie",
        "authorization",
        "Proxy-Authorization",
        "x-api-key",
        "X-Auth-Token",
        "x-session",
        "webhook-signature",
    ],
)
def test_the_values_of_secret_headers_are_masked(name):
    assert kept_headers({name: "s3cret"}) == f"{name}: ••••"


def test_other_headers_are_kept_in_their_order():
    headers = {"server": "nginx", "x-request-id": "7f", "www-authenticate": 'Bearer realm="hooks"'}
    assert kept_headers(headers) == 'server: nginx\nx-request-id: 7f\nwww-authenticate: Bearer realm="hooks"'


def test_headers_are_kept_within_bounds_and_on_one_line_each():
    assert kept_headers({}) == ""
    assert kept_headers({"x-long": "a" * 1_000}) == "x-long: " + "a" * 299 + "…"
    assert kept_headers({"x\x00": "a\nb\x00"}) == "x\ufffd: a b "
    many = kept_headers({f"x-{number}": "a" * 100 for number in range(200)})
    assert len(many) <= 4_096
    assert "x-50:" not in many


@pytest.mark.parametrize(
    "text, shown",
    [
        ("Bearer a/b+c=12 or a/b+c=12", "* or *"),
        (r'{"was": "a\/b+c=12"}', '{"was": "*"}'),
        ("?token=a%2Fb%2Bc%3D12&x=a/b%2Bc%3D12", "?token=*&x=*"),
        ("prod is a product of 1", "* is a product of 1"),
        ("a/b+c=1", "a/b+c=1"),
    ],
)
def test_secrets_that_a_receiver_sends_back_are_masked_in_each_form(text, shown):
    echoes = outcome.echoes_of(["Bearer a/b+c=12", "prod", "1", ""])

    assert outcome.mask_echoes(text, echoes).replace(MASK, "*") == shown
