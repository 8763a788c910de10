"""What ``check --deploy`` says of a system that faces the internet."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core.checks import CheckMessage

from tests.unit.checks.conftest import only
from tms_webhooks.checks import DEPLOY_CHECKS

KEYS = [Fernet.generate_key().decode()]


@pytest.fixture
def said(settings):
    """Return what the deploy checks say of these settings, which have a key unless they say otherwise."""

    def said(**written: Any) -> list[CheckMessage]:
        settings.TMS_WEBHOOKS = {"ENCRYPTION_KEYS": KEYS, **written}
        return [message for check in DEPLOY_CHECKS for message in check()]

    return said


def test_the_defaults_are_safe_but_for_the_key(said) -> None:
    assert said() == []
    message = only(said(ENCRYPTION_KEYS=[]), "W070")
    assert message.msg.startswith("TMS_WEBHOOKS['ENCRYPTION_KEYS'] is empty")
    assert "cryptography.fernet.Fernet.generate_key().decode()" in str(message.hint)


def test_unencrypted_http_is_pointed_out(said) -> None:
    message = only(said(ALLOWED_SCHEMES=["https", "http"]), "W071")
    assert (message.msg, message.hint) == (
        "TMS_WEBHOOKS['ALLOWED_SCHEMES'] holds 'http': payloads and header values travel in the clear.",
        "Leave only 'https'.",
    )


@pytest.mark.parametrize("network", ["0.0.0.0/0", "::/0"])
def test_an_exemption_of_the_whole_internet_is_pointed_out(said, network: str) -> None:
    message = only(said(ALLOWED_CIDRS=["10.20.0.0/16", network]), "W072")
    assert message.msg.startswith(f"TMS_WEBHOOKS['ALLOWED_CIDRS'] holds '{network}'")


def test_exempt_hosts_are_listed(said) -> None:
    message = only(said(ALLOWED_HOSTS=["hr.internal", "10.0.0.7"]), "I073")
    assert message.msg == "TMS_WEBHOOKS['ALLOWED_HOSTS'] exempts hr.internal, 10.0.0.7 from the address check."


def test_wrong_values_are_left_to_their_own_check(said) -> None:
    assert said(ALLOWED_CIDRS=["everywhere"], ALLOWED_SCHEMES="http", ALLOWED_HOSTS=7) == []
