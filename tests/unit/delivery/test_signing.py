"""A request's signature: what receivers' libraries accept, and what is refused before anything is signed."""

import base64
import re
import time

import pytest
import standardwebhooks

from tms_webhooks.delivery import signing
from tms_webhooks.models.webhook import new_secret

# From the Standard Webhooks specification; both signatures were computed with `openssl dgst -sha256 -mac HMAC`.
SPEC_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SPEC_SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
OUR_SECRET = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
OUR_SIGNATURE = "v1,RT29YtxDURKFeBr1H/raE87xRNbFUt3wFY9dBb+ltlY="

EVENT_ID = "evt_0123456789abcdef0123456789abcdef"
BODY = '{"name":"Zoë"}'.encode()


def secret_of(key):
    return "whsec_" + base64.b64encode(key).decode()


def headers_now(secrets, body=BODY):
    return signing.signature_headers(secrets=secrets, message_id=EVENT_ID, timestamp=int(time.time()), body=body)


def test_the_specifications_example_has_the_specifications_signature():
    signature = signing.sign(
        secrets=[SPEC_SECRET],
        message_id="msg_p5jXN8AQM9LWM0D4loKWxJek",
        timestamp=1614265330,
        body=b'{"test": 2432232314}',
    )
    assert signature == SPEC_SIGNATURE


def test_during_a_rotation_the_receiver_may_have_either_secret():
    new, old = new_secret(), new_secret()
    headers = headers_now([new, old])
    for secret in (new, old):
        assert standardwebhooks.Webhook(secret).verify(BODY, headers) == {"name": "Zoë"}


@pytest.mark.parametrize(
    "secret, body",
    [
        pytest.param(new_secret(), BODY, id="another secret"),
        pytest.param(OUR_SECRET, BODY + b" ", id="another body"),
    ],
)
def test_the_public_library_refuses_a_body_that_was_not_signed(secret, body):
    headers = headers_now([OUR_SECRET])
    with pytest.raises(standardwebhooks.WebhookVerificationError, match="No matching signature found"):
        standardwebhooks.Webhook(secret).verify(body, headers)


def test_there_are_three_headers_and_the_signature_is_over_the_other_two():
    headers = signing.signature_headers(secrets=[OUR_SECRET], message_id=EVENT_ID, timestamp=1764000000, body=BODY)
    assert headers == {
        "webhook-id": EVENT_ID,
        "webhook-timestamp": "1764000000",
        "webhook-signature": OUR_SIGNATURE,
    }


@pytest.mark.parametrize("message_id", ["evt.1", "evt_1.1764000000", "", "evt 1", "evt_1\n", "evt_é", "evt\r\nx: y"])
def test_a_message_id_that_could_move_a_border_is_refused(message_id):
    with pytest.raises(ValueError, match="A message id holds letters, digits, '_' and '-' only"):
        signing.sign(secrets=[OUR_SECRET], message_id=message_id, timestamp=1764000000, body=BODY)


def test_nothing_is_sent_unsigned():
    with pytest.raises(ValueError, match="No secret is given; a request is never sent without a signature"):
        signing.signature_headers(secrets=[], message_id=EVENT_ID, timestamp=1764000000, body=BODY)


def test_one_bad_secret_among_good_ones_is_refused():
    with pytest.raises(ValueError, match="A signing secret starts with 'whsec_'"):
        signing.sign(secrets=[OUR_SECRET, "nothing"], message_id=EVENT_ID, timestamp=1764000000, body=BODY)


def test_a_new_secret_is_32_bytes_in_base64_and_never_the_same_twice():
    secret = new_secret()
    assert re.fullmatch(r"whsec_[A-Za-z0-9+/]{43}=", secret)
    assert len(signing.secret_key(secret)) == 32
    assert new_secret() != secret


@pytest.mark.parametrize(
    "secret, message",
    [
        # No prefix: a secret of another system, or of none.
        ("c3VwZXJzZWNyZXRzdXBlcnNlY3JldHN1cGVy", "starts with 'whsec_'"),
        ("", "starts with 'whsec_'"),
        # An asymmetric key of the same specification.
        ("whsk_c3VwZXJzZWNyZXRzdXBlcnNlY3JldHN1cGVy", "starts with 'whsec_'"),
        # Characters outside the alphabet, which lenient decoders skip.
        ("whsec_c3VwZXJzZWNyZXRzdXBlcnNlY3Jld!N1cGVy", "must be base64"),
        ("whsec_c3VwZXJzZWNyZXRzdXBlcnNlY3JldHN1cGVy\n", "must be base64"),
        ("whsec_c3VwZXJzZWNyZXRzdXBlcnNlY3JldHNé", "must be base64"),
        # Padding left off, which some libraries refuse.
        ("whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8", "must be base64"),
        # One byte less, one byte more than the specification allows.
        (secret_of(b"supersecret".ljust(23, b"!")), "holds 24 to 64 bytes; this one holds 23"),
        (secret_of(b"supersecret".ljust(65, b"!")), "holds 24 to 64 bytes; this one holds 65"),
        ("whsec_", "holds 24 to 64 bytes; this one holds 0"),
    ],
)
def test_a_malformed_secret_is_refused_without_being_repeated(secret, message):
    with pytest.raises(ValueError, match=message) as caught:
        signing.secret_key(secret)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    assert "c3VwZXJ" not in str(caught.value)
    assert "AAECAw" not in str(caught.value)
