"""The field validator of a webhook's URL: a thin door to the check in `net.urls`, which has its own tests."""

import pytest
from django.core.exceptions import ValidationError
from django.test import override_settings

from tms_webhooks import exceptions, validators
from tms_webhooks.net import urls


@pytest.fixture(autouse=True)
def default_settings():
    """Forget what the tests' own settings allow beyond the defaults."""
    with override_settings(TMS_WEBHOOKS={}):
        yield


@pytest.mark.parametrize(
    "value",
    [
        "",
        "example.com",
        "http://example.com/",
        "https://example.com:8443/",
        "https://user:hunter2@example.com/",
        "https://example.com/#part",
        "https://127.0.0.1/",
        # Tokens where the data would choose the receiver.
        "https://{organization.external_id}.example.com/",
        "https://{host}/",
        "{scheme}://example.com/",
        "{url}",
    ],
)
def test_an_unsafe_url_is_refused_in_the_checks_own_words(value):
    with pytest.raises(exceptions.UnsafeURL) as reason:
        urls.check_url(value)
    with pytest.raises(ValidationError) as caught:
        validators.validate_webhook_url(value)
    assert caught.value.code == "unsafe_url"
    assert caught.value.messages == [str(reason.value)]
    assert "hunter2" not in str(caught.value)


def test_a_percent_sign_in_the_reason_is_no_format():
    with pytest.raises(ValidationError) as caught:
        validators.validate_webhook_url("https://%(host)s.example.com/")
    assert "%(host)s" in caught.value.messages[0]


def test_no_name_is_looked_up(monkeypatch):
    def resolve(*args):
        raise AssertionError("looked up")

    monkeypatch.setattr("socket.getaddrinfo", resolve)
    validators.validate_webhook_url("https://no-such-host.example.com/")
