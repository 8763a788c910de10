"""The cipher: which keys encrypt and decrypt, and that nothing secret shows in an error."""

import base64
import traceback

import pytest
from cryptography.fernet import Fernet
from django.test import override_settings

from tms_webhooks.exceptions import ConfigurationError, SecretError
from tms_webhooks.models import encryption

OLD_KEY = base64.urlsafe_b64encode(b"the old key has thirty-two bytes").decode()
NEW_KEY = base64.urlsafe_b64encode(b"the new key has thirty-two bytes").decode()


def keys(*values):
    return override_settings(TMS_WEBHOOKS={"ENCRYPTION_KEYS": list(values)})


@pytest.fixture(autouse=True)
def default_settings():
    """Forget the keys of the tests' own settings."""
    with override_settings(TMS_WEBHOOKS={}):
        yield


def report_of(call):
    """Return what an error report would print of the error that ``call`` raises."""
    try:
        call()
    except (SecretError, ConfigurationError) as error:
        return "".join(traceback.format_exception(error))
    raise AssertionError("nothing was raised")


@pytest.mark.parametrize("text", ["whsec_abc", "", "Zoë €", "a=b\nc=d", "x" * 100_000])
def test_what_is_encrypted_can_be_decrypted(text):
    token = encryption.encrypt(text)
    assert token.isascii()
    assert encryption.decrypt(token) == text


def test_a_token_shows_nothing_and_is_never_the_same_twice():
    first, second = encryption.encrypt("whsec_abc"), encryption.encrypt("whsec_abc")
    assert first != second
    assert "whsec_abc" not in first


def test_the_first_key_encrypts_and_all_decrypt():
    with keys(OLD_KEY):
        old = encryption.encrypt("from the old key")
    with keys(NEW_KEY, OLD_KEY):
        new = encryption.encrypt("from the new key")
        assert encryption.decrypt(old) == "from the old key"
        assert encryption.decrypt(new) == "from the new key"
    assert Fernet(NEW_KEY).decrypt(new) == b"from the new key"
    with keys(NEW_KEY), pytest.raises(SecretError):
        encryption.decrypt(old)


def test_without_keys_one_is_derived_from_the_secret_key():
    with override_settings(SECRET_KEY="one"):
        token = encryption.encrypt("text")
        assert Fernet(encryption.derived_key("one")).decrypt(token) == b"text"
    with override_settings(SECRET_KEY="two"), pytest.raises(SecretError):
        encryption.decrypt(token)


def test_a_fallback_secret_key_decrypts_and_does_not_encrypt():
    with override_settings(SECRET_KEY="one"):
        old = encryption.encrypt("text")
    with override_settings(SECRET_KEY="two", SECRET_KEY_FALLBACKS=["zero", "one"]):
        assert encryption.decrypt(old) == "text"
        new = encryption.encrypt("text")
    assert Fernet(encryption.derived_key("two")).decrypt(new) == b"text"


def test_the_derived_key_stays_what_it_is():
    # A changed derivation would lose every secret of an installation without keys. Checked against RFC 5869 by hand.
    assert encryption.derived_key("one") == "M5Dc73Ll6j-5NE1qpWthqn0OnnqTaZeOvtczMuNTMFA="
    assert encryption.derived_key(b"one") == encryption.derived_key("one")


@pytest.mark.parametrize(
    "token",
    [
        pytest.param("", id="empty"),
        pytest.param("not a token", id="no token"),
        pytest.param("é", id="not ASCII"),
        pytest.param("\ud800", id="not even Unicode"),
        pytest.param(Fernet(OLD_KEY).encrypt(b"hunter2").decode(), id="another key"),
        pytest.param(Fernet(NEW_KEY).encrypt(b"hunter2\xff").decode(), id="not text, though the key is ours"),
        pytest.param(Fernet(NEW_KEY).encrypt(b"hunter2").decode()[:-4], id="cut short"),
        pytest.param(Fernet(NEW_KEY).encrypt(b"hunter2").decode()[:-8] + "AAAAAAA=", id="changed"),
    ],
)
def test_what_can_not_be_decrypted_is_a_secret_error_that_tells_the_remedy(token):
    with keys(NEW_KEY):
        report = report_of(lambda: encryption.decrypt(token))
    name, _, text = report.splitlines()[-1].partition(": ")
    assert name.removeprefix("tms_webhooks.exceptions.") in {"SecretError", "UnknownKey"}
    assert text == (
        "A stored secret can't be decrypted with the keys at hand. Put the key that "
        "encrypted it back at the end of TMS_WEBHOOKS['ENCRYPTION_KEYS'] (of SECRET_KEY_FALLBACKS if that is empty), "
        "or enter the secret again."
    )
    assert report.count("Traceback") == 1, "the cause, which may hold the text, is left out"
    assert "hunter2" not in report
    assert not token or token not in report


@pytest.mark.parametrize(
    "key",
    [
        "hunter2",
        "",
        "é",
        # Cut short, and too long.
        NEW_KEY[:-5],
        base64.urlsafe_b64encode(b"hunter2".ljust(33)).decode(),
        # What a missing environment variable gives.
        None,
        5,
    ],
)
def test_a_malformed_key_is_named_by_its_place_and_not_repeated(key):
    with keys(NEW_KEY, key):
        report = report_of(lambda: encryption.encrypt("text"))
    assert "TMS_WEBHOOKS['ENCRYPTION_KEYS'][1] is not a Fernet key (the URL-safe base64 of 32 bytes)." in report
    assert "Make one with cryptography.fernet.Fernet.generate_key().decode()." in report
    assert report.count("Traceback") == 1, "the cause, which may hold the key, is left out"
    assert "hunter2" not in report
    assert "aHVudGVyMg" not in report  # the same in base64
    assert NEW_KEY[:-5] not in report
