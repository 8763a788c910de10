"""libcurl is recommended, and needed where the setting names it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.checks.conftest import only
from tms_webhooks.checks import deploy
from tms_webhooks.checks import settings as settings_checks
from tms_webhooks.net import transports

if TYPE_CHECKING:
    from pytest_django import Settings


@pytest.mark.parametrize(
    ("transport", "installed", "ids"),
    [
        ("", True, []),
        ("", False, ["I076"]),
        ("curl", True, []),
        ("curl", False, ["E017"]),
        ("threads", True, []),
        ("threads", False, []),
    ],
)
def test_libcurl_is_recommended_or_required(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, transport: str, installed: bool, ids: list[str]
) -> None:
    settings.TMS_WEBHOOKS = {"TRANSPORT": transport}
    monkeypatch.setattr(transports, "has_curl", lambda: installed)

    found = [*settings_checks.check_transport(), *deploy.check_transport()]

    assert [message.id for message in found] == [f"tms_webhooks.{number}" for number in ids]
    assert all("pip install 'tms-webhooks[curl]'" in message.hint for message in found)


def test_a_wrong_proxy_is_refused_without_its_password(settings: Settings) -> None:
    settings.TMS_WEBHOOKS = {"PROXY_URL": "http://alice:hunter2@proxy"}

    message = only(settings_checks.check_proxy(), "E018")

    assert "is not of the form http://host:port" in message.msg
    assert "hunter2" not in f"{message.msg}{message.hint}"


@pytest.mark.parametrize("url", ["", "http://proxy.internal:3128", "http://alice:hunter2@[::1]:3128"])
def test_a_right_proxy_is_accepted(settings: Settings, url: str) -> None:
    settings.TMS_WEBHOOKS = {"PROXY_URL": url}

    assert list(settings_checks.check_proxy()) == []
