"""What ``settings.TMS_WEBHOOKS`` may hold."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core.checks import CheckMessage

from tests.unit.checks.conftest import ids, only
from tms_webhooks.checks import settings as setting_checks
from tms_webhooks.conf import AppSettings, declared


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


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [
        ("encryption_key", "ENCRYPTION_KEYS"),
        ("ALLOWED_HOSTS", "UNCHECKED_HOSTS"),
        ("LEASE", "LEASE_SECONDS"),
        ("READ_TIMEOUT", "READ_TIMEOUT_SECONDS"),
        ("PAUSE_AFTER", "PAUSE_AFTER_FAILURES"),
    ],
)
def test_an_unknown_name_gets_the_nearest_or_the_new_one_as_a_suggestion(settings, name: str, suggestion: str) -> None:
    settings.TMS_WEBHOOKS = {name: []}
    message = only(said(), "E002")
    assert message.msg == f"Unknown setting: TMS_WEBHOOKS[{name!r}]."
    assert str(message.hint).startswith(f'Remove it or correct the name. Did you mean "{suggestion}"')


def test_a_name_that_is_a_constant_now_is_to_be_removed(settings) -> None:
    settings.TMS_WEBHOOKS = {"API_BODY_LIMIT": 4_096}
    assert only(said(), "E002").hint == "Remove it: its value is fixed now."


def test_an_unknown_name_like_no_other_gets_no_suggestion(settings) -> None:
    settings.TMS_WEBHOOKS = {3: 4}
    message = only(said(), "E002")
    assert (message.msg, message.hint) == (
        "Unknown setting: TMS_WEBHOOKS[3].",
        "Remove it or correct the name.",
    )


def test_a_wrong_value_is_shown_with_the_expected_kind(settings) -> None:
    settings.TMS_WEBHOOKS = {"MAX_IN_FLIGHT": 0}
    message = only(said(), "E003")
    assert message.msg == "TMS_WEBHOOKS['MAX_IN_FLIGHT'] is 0, not a whole number of at least 1."
    assert message.hint == "Use a whole number of at least 1, or remove the setting to use the default: 32."


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


def test_too_many_retry_delays_are_refused(settings) -> None:
    settings.TMS_WEBHOOKS = {"RETRY_DELAYS_SECONDS": [1] * 16}
    message = only(said(), "E004")
    assert (
        message.msg == "TMS_WEBHOOKS['RETRY_DELAYS_SECONDS']: Retry schedule: 16 delays are too many. List at most 15."
    )
    assert message.hint == "Use at most 15 delays of 0 to 604800 seconds."


def test_a_malformed_key_is_named_by_its_place_and_not_shown(settings) -> None:
    settings.TMS_WEBHOOKS = {"ENCRYPTION_KEYS": [Fernet.generate_key().decode(), "correct horse"]}
    message = only(said(), "E005")
    assert message.msg.startswith("TMS_WEBHOOKS['ENCRYPTION_KEYS'][1] is not a Fernet key")
    assert "correct horse" not in str(message)


def test_good_keys_pass(settings) -> None:
    settings.TMS_WEBHOOKS = {"ENCRYPTION_KEYS": [Fernet.generate_key().decode() for _ in range(2)]}
    assert said() == []


@pytest.mark.parametrize("network", ["10.20.1.7/16", "10.20.0.0/99", "intranet"])
def test_a_malformed_network_is_refused(settings, network: str) -> None:
    settings.TMS_WEBHOOKS = {"UNCHECKED_CIDRS": ["10.0.0.0/8", network]}
    message = only(said(), "E006")
    assert message.msg.startswith(f"TMS_WEBHOOKS['UNCHECKED_CIDRS']: {network!r} is not a network")
    assert message.hint == "Write the address of the network itself: '10.20.0.0/16', not '10.20.1.7/16'."


def test_a_malformed_host_is_refused(settings) -> None:
    settings.TMS_WEBHOOKS = {"UNCHECKED_HOSTS": ["hr.example.com", "https://crm.example.com"]}
    message = only(said(), "E007")
    assert message.msg.startswith("TMS_WEBHOOKS['UNCHECKED_HOSTS']: 'https://crm.example.com' is not a host")


@pytest.mark.parametrize(("name", "limit", "_problem"), setting_checks.LIMITS)
def test_a_setting_above_the_one_that_limits_it_is_refused(settings, name: str, limit: str, _problem: str) -> None:
    settings.TMS_WEBHOOKS = {name: 90_000, limit: 60_000}
    message = only(said(), "E010")
    assert message.msg.startswith(f"TMS_WEBHOOKS['{name}'] is 90000, above {limit} (60000): ")
    assert message.hint == f"Lower {name} or raise {limit}."

    settings.TMS_WEBHOOKS = {name: 60_000, limit: 60_000}
    assert said() == []


@pytest.mark.parametrize(
    ("name", "most"), [("RETRY_JITTER", 1), ("CONNECT_TIMEOUT_SECONDS", 30), ("READ_TIMEOUT_SECONDS", 30)]
)
def test_a_number_with_a_fixed_limit_is_refused_above_it(settings, name: str, most: float) -> None:
    """A larger jitter would make negative delays, and no attempt may take longer than 30 s."""
    settings.TMS_WEBHOOKS = {name: most}
    assert said() == []
    settings.TMS_WEBHOOKS = {name: most + 0.5}
    assert f"to {most}" in str(only(said(), "E003").hint)


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


def test_retries_beyond_the_life_of_a_delivery_are_pointed_out(settings) -> None:
    settings.TMS_WEBHOOKS = {"RETRY_DELAYS_SECONDS": [3000, 700], "DELIVERY_LIFETIME_SECONDS": 3600}
    message = only(said(), "W013")
    assert message.msg == (
        "TMS_WEBHOOKS['RETRY_DELAYS_SECONDS'] adds up to 3700 s, but DELIVERY_LIFETIME_SECONDS is 3600 s: the last retries are never made."
    )
    assert message.hint == "Shorten the delays, or set DELIVERY_LIFETIME_SECONDS above 3700."


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
