"""What ``settings.TMS_WEBHOOKS`` may hold."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core.checks import CheckMessage

from tests.unit.checks.conftest import ids, only
from tms_webhooks.checks import settings as setting_checks
from tms_webhooks.conf import LONGEST_TIMEOUT, AppSettings, declared


def said() -> list[CheckMessage]:
    """Return what the checks of the settings say."""
    checks = (
        setting_checks.check_names_and_values,
        setting_checks.check_stray_settings,
        setting_checks.check_formats,
        setting_checks.check_access_policy,
        setting_checks.check_contradictions,
    )
    return [message for check in checks for message in check()]


@pytest.mark.parametrize("value", [[], None, "QUEUE", 3])
def test_a_value_that_is_not_a_dictionary_is_refused(settings, value: Any) -> None:
    settings.TMS_WEBHOOKS = value
    message = only(said(), "E001")
    assert message.msg == f"TMS_WEBHOOKS is {value!r}, not a dictionary."
    assert message.hint == 'Write TMS_WEBHOOKS = {"MAX_IN_FLIGHT": 4}, for example, or remove the setting.'


def test_no_settings_at_all_are_fine(settings) -> None:
    del settings.TMS_WEBHOOKS
    assert said() == []


UNKNOWN = "Remove it or correct the name."
NETWORK = "Write the address of the network itself: '10.20.0.0/16', not '10.20.1.7/16'."


@pytest.mark.parametrize(
    ("values", "number", "text", "hint"),
    [
        # The nearest name is suggested, or the new one.
        ({"encryption_key": []}, "E002", "['encryption_key'].", f'{UNKNOWN} Did you mean "ENCRYPTION_KEYS"?'),
        ({"ALLOWED_HOSTS": []}, "E002", "['ALLOWED_HOSTS'].", f'{UNKNOWN} Did you mean "UNCHECKED_HOSTS"?'),
        ({"LEASE": 3}, "E002", "['LEASE'].", f'{UNKNOWN} Did you mean "LEASE_SECONDS"?'),
        ({"PAUSE_FIRST": 3}, "E002", "['PAUSE_FIRST'].", f'{UNKNOWN} Did you mean "PAUSE_FIRST_SECONDS"?'),
        ({"API_BODY_LIMIT": 4_096}, "E002", "['API_BODY_LIMIT'].", "Remove it: its value is fixed now."),
        ({3: 4}, "E002", "[3].", UNKNOWN),
        (
            {"MAX_IN_FLIGHT": 0},
            "E003",
            "['MAX_IN_FLIGHT'] is 0, not a whole number of at least 1.",
            "Use a whole number of at least 1, or remove the setting to use the default: 32.",
        ),
        # A larger jitter would make negative delays, and no attempt may take longer than 30 s.
        (
            {"RETRY_JITTER": 1.5},
            "E003",
            "['RETRY_JITTER'] is 1.5, not a number from 0 to 1.",
            "Use a number from 0 to 1, or remove the setting to use the default: 0.2.",
        ),
        (
            {"READ_TIMEOUT_SECONDS": 31},
            "E003",
            "['READ_TIMEOUT_SECONDS'] is 31, not a number from 0.1 to 30.",
            "Use a number from 0.1 to 30, or remove the setting to use the default: 15.0.",
        ),
        (
            {"RETRY_DELAYS_SECONDS": [1] * 16},
            "E004",
            "['RETRY_DELAYS_SECONDS']: Retry schedule: 16 delays are too many. List at most 15.",
            "Use at most 15 delays of 0 to 604800 seconds.",
        ),
        *[
            (
                {"UNCHECKED_CIDRS": ["10.0.0.0/8", network]},
                "E006",
                f"['UNCHECKED_CIDRS']: {network!r} is not a network",
                NETWORK,
            )
            for network in ("10.20.1.7/16", "10.20.0.0/99", "intranet")
        ],
        (
            {"UNCHECKED_HOSTS": ["hr.example.com", "https://crm.example.com"]},
            "E007",
            "['UNCHECKED_HOSTS']: 'https://crm.example.com' is not a host",
            "Correct or remove the entry.",
        ),
        *[
            (
                {name: 90_000, limit: 60_000},
                "E010",
                f"['{name}'] is 90000, above {limit} (60000): ",
                f"Lower {name} or raise {limit}.",
            )
            for name, limit, _problem in setting_checks.LIMITS
        ],
        (
            {"RETRY_DELAYS_SECONDS": [3000, 700], "DELIVERY_LIFETIME_SECONDS": 3600},
            "W013",
            "['RETRY_DELAYS_SECONDS'] adds up to 3700 s, but DELIVERY_LIFETIME_SECONDS is 3600 s: the last retries are never made.",
            "Shorten the delays, or set DELIVERY_LIFETIME_SECONDS above 3700.",
        ),
    ],
)
def test_a_mistake_gets_its_values_and_the_remedy(
    settings, values: dict[Any, Any], number: str, text: str, hint: str
) -> None:
    settings.TMS_WEBHOOKS = values
    message = only(said(), number)
    assert message.msg.removeprefix("Unknown setting: ").startswith(f"TMS_WEBHOOKS{text}")
    assert message.hint == hint


@pytest.mark.parametrize(
    "values",
    [
        *[{name: 60_000, limit: 60_000} for name, limit, _problem in setting_checks.LIMITS],
        {"RETRY_JITTER": 1, "CONNECT_TIMEOUT_SECONDS": LONGEST_TIMEOUT, "READ_TIMEOUT_SECONDS": LONGEST_TIMEOUT},
    ],
)
def test_a_value_at_its_limit_is_fine(settings, values: dict[str, Any]) -> None:
    settings.TMS_WEBHOOKS = values
    assert said() == []


@pytest.mark.parametrize("name", [setting.name for setting in declared()])
def test_every_setting_has_its_value_checked(settings, name: str) -> None:
    settings.TMS_WEBHOOKS = {name: object()}
    assert ids(said()) == ["E003"]


@pytest.mark.parametrize("name", [setting.name for setting in declared()])
def test_every_default_is_valid(settings, name: str) -> None:
    settings.TMS_WEBHOOKS = {name: vars(AppSettings)[name].default}
    assert said() == []


def test_a_key_that_is_written_as_a_string_is_not_shown(settings) -> None:
    key = Fernet.generate_key().decode()
    settings.TMS_WEBHOOKS = {"ENCRYPTION_KEYS": key}
    message = only(said(), "E003")
    assert message.msg == "TMS_WEBHOOKS['ENCRYPTION_KEYS'] is a str, not a list of strings."
    assert key not in str(message)


def test_a_malformed_key_is_named_by_its_place_and_not_shown(settings) -> None:
    settings.TMS_WEBHOOKS = {"ENCRYPTION_KEYS": [Fernet.generate_key().decode(), "correct horse"]}
    message = only(said(), "E005")
    assert message.msg.startswith("TMS_WEBHOOKS['ENCRYPTION_KEYS'][1] is not a Fernet key")
    assert "correct horse" not in str(message)


def test_good_keys_pass(settings) -> None:
    settings.TMS_WEBHOOKS = {"ENCRYPTION_KEYS": [Fernet.generate_key().decode() for _ in range(2)]}
    assert said() == []


def test_a_name_ends_in_the_unit_of_its_value() -> None:
    """Numbers with a fraction are durations, but for one share."""
    numbers = [setting.name for setting in declared() if isinstance(setting.default, float)]
    assert {name.rpartition("_")[2] for name in numbers} == {"SECONDS", "DAYS", "JITTER"}


def test_a_setting_that_stands_outside_the_dictionary_is_reported_with_its_place(settings) -> None:
    settings.TMS_WEBHOOKS_ENCRYPTION_KEYS = ["key"]
    message = only(said(), "W011")
    assert message.msg == "The app does not read the setting TMS_WEBHOOKS_ENCRYPTION_KEYS."
    assert message.hint == 'Write TMS_WEBHOOKS = {"ENCRYPTION_KEYS": …} instead.'


def test_a_misspelt_setting_gets_both_matching_names(settings) -> None:
    settings.TMS_WEBHOOK = {}
    message = only(said(), "W011")
    assert message.hint == "Rename it: the app reads TMS_WEBHOOKS and TMS_WEBHOOKS_ORGANIZATION_MODEL."


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("nowhere.Policy", "which can't be imported"),
        ("tms_webhooks.access.Policy", "which can't be imported"),
        ("tms_webhooks.models.Webhook", "which is not an AccessPolicy"),
        ("tms_webhooks.access.get_policy", "which is not an AccessPolicy"),
    ],
)
def test_a_path_that_leads_to_no_access_policy_is_refused(settings, path: str, problem: str) -> None:
    settings.TMS_WEBHOOKS = {"ACCESS_POLICY": path}
    message = only(said(), "E015")
    assert message.msg == f"TMS_WEBHOOKS['ACCESS_POLICY'] is {path!r}, {problem}."
    assert message.hint == (
        "Name a subclass of tms_webhooks.access.AccessPolicy, or remove the setting. By default only superusers have access."
    )
