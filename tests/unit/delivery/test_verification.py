"""Why a signature does not fit: what the webhook's owner is told."""

from __future__ import annotations

import time

import pytest
from standardwebhooks import Webhook as Verifier

from tms_webhooks.delivery import verification
from tms_webhooks.delivery.signing import signature_headers
from tms_webhooks.delivery.verification import verify

SECRET = "whsec_" + "A" * 43 + "="
OTHER = "whsec_" + "B" * 42 + "A="
BODY = '{"id":"evt_1","data":{"name":"Zoë"}}\n'.encode()
SIGNED_AT = 1_700_000_000


def headers(secret: str = SECRET, body: bytes = BODY) -> dict[str, str]:
    return signature_headers(secrets=[secret], message_id="evt_1", timestamp=SIGNED_AT, body=body)


def problems(*, body: bytes = BODY, **arguments) -> tuple[str, ...]:
    arguments = {"secrets": [SECRET], "headers": headers(), "now": SIGNED_AT + 1.0, **arguments}
    return verify(body=body, **arguments).problems


def only(found: tuple[str, ...], part: str) -> None:
    (text,) = found
    assert part in text
    assert SECRET.removeprefix("whsec_") not in text
    assert "Zoë" not in text


def test_a_valid_request_has_no_problems():
    assert problems() == ()
    assert problems(secrets=[OTHER, SECRET]) == ()


@pytest.mark.parametrize(
    ("secrets", "retired", "signer"), [([OTHER, SECRET], [], 1), ([OTHER], [SECRET], 1), ([OTHER], [], None)]
)
def test_the_result_names_the_secret_that_signed_and_the_time(secrets, retired, signer):
    result = verify(secrets=secrets, retired=retired, headers=headers(), body=BODY, now=SIGNED_AT + 1.0)

    assert (result.signer, result.signed_at) == (signer, SIGNED_AT)
    assert result.valid is (signer is not None and not retired)


def test_the_result_is_the_same_as_the_public_librarys():
    now = int(time.time())
    signed = signature_headers(secrets=[SECRET], message_id="evt_1", timestamp=now, body=BODY)

    assert Verifier(SECRET).verify(BODY, signed)
    assert verify(secrets=[SECRET], headers=signed, body=BODY, now=now).valid


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        (BODY + b"\n", "an end of line was added"),
        (BODY.rstrip(), "an end of line was removed"),
        (BODY.replace(b"\n", b"\r\n"), "its line endings were changed"),
        (b"\xef\xbb\xbf" + BODY, "a byte order mark was added"),
        (BODY.decode("latin-1").encode(), "a charset other than UTF-8"),
        (BODY.replace(b"evt_1", b"evt_2"), "the body was changed in transit, or the secret belongs to another webhook"),
    ],
)
def test_the_change_of_a_body_is_named(changed, problem):
    only(problems(body=changed), problem)


def test_json_that_was_serialized_again_is_recognized():
    compact = b'{"a":"\xc3\xab","b":[1,2]}'
    for pretty in (b'{\n  "a": "\xc3\xab",\n  "b": [1, 2]\n}', b'{"a":"\\u00eb","b":[1,2]}'):
        only(problems(body=pretty, headers=headers(body=compact)), "it is the same JSON, serialized again")


def test_with_the_body_that_was_sent_the_first_difference_is_named():
    only(
        problems(body=BODY.replace(b"name", b"nome"), sent=BODY),
        f"the first difference is at byte {BODY.index(b'name') + 1}",
    )
    only(
        problems(body=BODY[:10], sent=BODY),
        f"{len(BODY)} bytes were sent, 10 arrived, and the first difference is at byte 10",
    )
    only(problems(secrets=[OTHER], sent=BODY), "The body is unchanged, so the secret")


def test_a_retired_secret_is_named_as_the_reason():
    only(problems(secrets=[OTHER], retired=[SECRET]), "a secret that is no longer valid")


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("webhook-id", "", "has no webhook-id"),
        ("webhook-timestamp", "soon", "webhook-timestamp is not a whole number"),
        ("webhook-timestamp", "१२", "webhook-timestamp is not a whole number"),
        ("webhook-signature", "v2,abc", "no signature that begins with 'v1,'"),
        ("webhook-signature", "v1,\udcff", "No signature matches"),
        ("webhook-id", "evt.1", "webhook-id holds more than letters"),
    ],
)
def test_a_missing_or_malformed_header_is_named(name, value, problem):
    only(problems(headers={**headers(), name: value}), problem)


def test_an_old_request_and_one_from_the_future_are_refused():
    only(problems(now=SIGNED_AT + 301.0), "signed 301 s before it arrived")
    only(problems(now=SIGNED_AT - 301.0), "signed 301 s after it arrived")
    assert problems(now=SIGNED_AT + 301.0, tolerance=600.0) == ()


def test_without_a_secret_no_signature_matches():
    only(problems(secrets=[]), "No signature matches")


def test_a_capture_is_read_as_it_was_written():
    request = verification.CapturedRequest({**headers(), "authorization": "Basic x"}, BODY)

    again = verification.read(verification.write(request))

    assert again.body == BODY
    assert again.headers == headers()


def test_a_capture_may_have_a_request_line_and_any_ends_of_line():
    raw = b"POST /hook HTTP/1.1\nWebhook-Id: evt_1\n\n{}\n"

    assert verification.read(raw) == verification.CapturedRequest({"webhook-id": "evt_1"}, b"{}\n")


@pytest.mark.parametrize("raw", [b"", b'{"id":"evt_1"}', b"no headers\n\nbody", b": x\n\n"])
def test_a_malformed_capture_is_refused(raw):
    with pytest.raises(ValueError, match="eader line"):
        verification.read(raw)
