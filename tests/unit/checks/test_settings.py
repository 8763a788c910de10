"""What ``settings.TMS_WEBHOOKS`` may hold, and the organization model."""

import sys

import pytest
from cryptography.fernet import Fernet

from tests.unit.checks.conftest import expect
from tms_webhooks import telemetry
from tms_webhooks.access import AccessPolicy
from tms_webhooks.checks import settings as setting_checks
from tms_webhooks.conf import LONGEST_TIMEOUT, AppSettings, declared
from tms_webhooks.net import transports
from tms_webhooks.worker.send import observers

HERE = __name__
KEY = Fernet.generate_key().decode()
UNKNOWN = "Remove it or correct the name."
NETWORK = "Write the address of the network itself: '10.20.0.0/16', not '10.20.1.7/16'."
POLICY = "Name a subclass of tms_webhooks.access.AccessPolicy, or remove the setting. By default only superusers have access."
PARENT = "E016: ORGANIZATION_PARENT is {!r}, which is not a foreign key of training.Organization to itself. -> ...Did you mean"
NOT_CALLABLE = 5


class PolicyOfUsers(AccessPolicy):
    """Decides by requests alone."""


def contacts(organization):
    return ["ann@example.com"]


def said():
    """Return what the checks of the settings say."""
    checks = (
        setting_checks.check_names_and_values,
        setting_checks.check_values,
        setting_checks.check_packages,
        setting_checks.check_organization_model,
    )
    return [message for check in checks for message in check()]


# Values of TMS_WEBHOOKS, and the message, which begins with its name.
MISTAKES = [
    *(
        (
            value,
            f"E001: TMS_WEBHOOKS is {value!r}, not a dictionary. -> Write TMS_WEBHOOKS = "
            '{"MAX_IN_FLIGHT": 4}, for example, or remove the setting.',
        )
        for value in ([], None)
    ),
    *(
        ({name: []}, f"E002: Unknown setting: TMS_WEBHOOKS[{name!r}]. -> {UNKNOWN}{meant}")
        for name, meant in (
            ("encryption_key", ' Did you mean "ENCRYPTION_KEYS"?'),
            (3, ""),
        )
    ),
    # A larger jitter would make negative delays, and no attempt may take longer than 30 s.
    *(
        (
            {name: value},
            f"E003: TMS_WEBHOOKS[{name!r}] is {value}, not {kind}. -> Use {kind}, or remove the setting to use the default: {default}.",
        )
        for name, value, kind, default in (
            ("MAX_IN_FLIGHT", 0, "a whole number of at least 1", 32),
            ("RETRY_JITTER", 1.5, "a number from 0 to 1", 0.2),
            ("READ_TIMEOUT_SECONDS", 31, "a number from 0.1 to 30", 15.0),
        )
    ),
    (
        {"RETRY_DELAYS_SECONDS": [1] * 16},
        "E003: ... -> Use a list of at most 15 delays of 0 to 604,800 seconds, or...",
    ),
    # Keys are named by their place, and not shown.
    ({"ENCRYPTION_KEYS": KEY}, "E003: TMS_WEBHOOKS['ENCRYPTION_KEYS'] is a str, not a list of strings."),
    ({"ENCRYPTION_KEYS": [KEY, KEY[:9]]}, "E005: TMS_WEBHOOKS['ENCRYPTION_KEYS'][1] is not a Fernet key..."),
    *(
        ({"UNCHECKED_CIDRS": ["10.0.0.0/8", network]}, f"E006: ...: {network!r} is not a network... -> {NETWORK}")
        for network in ("10.20.1.7/16", "intranet")
    ),
    (
        {"UNCHECKED_HOSTS": ["hr.example.com", "https://crm.example.com"]},
        "E007: TMS_WEBHOOKS['UNCHECKED_HOSTS']: 'https://crm.example.com' is not a host... -> Correct or remove the entry.",
    ),
    *(
        ({"ACCESS_POLICY": path}, f"E015: TMS_WEBHOOKS['ACCESS_POLICY'] is {path!r}, which {problem}. -> {POLICY}")
        for path, problem in (
            ("nowhere.Policy", "can't be imported"),
            ("tms_webhooks.models.Webhook", "is not an AccessPolicy"),
        )
    ),
    (
        {"ACCESS_POLICY": f"{HERE}.PolicyOfUsers"},
        "W106: PolicyOfUsers does not override may_keep_hooks: hooks outlive the API key that made them... -> Override "
        "may_keep_hooks(maker, organization)...",
    ),
    *(({"ORGANIZATION_PARENT": name}, f'{PARENT.format(name)} "parent"?') for name in ("parents", "children")),
    # The password of a proxy is not shown.
    ({"PROXY_URL": "http://alice:hunter2@proxy"}, "E018: ...is not of the form http://host:port..."),
    *(
        ({"CONTACTS": name}, f"E093: ...['CONTACTS'] is '{name}', which is not a function that can be imported.")
        for name in ("no.such.function", f"{HERE}.NOT_CALLABLE")
    ),
    *(({"TELEMETRY": value}, "E003") for value in ("prometheus", ["statsd"])),
    *(({setting.name: object()}, "E003") for setting in declared()),
]

SOUND = [
    {"RETRY_JITTER": 1, "CONNECT_TIMEOUT_SECONDS": LONGEST_TIMEOUT, "READ_TIMEOUT_SECONDS": LONGEST_TIMEOUT},
    {"ENCRYPTION_KEYS": [KEY, Fernet.generate_key().decode()]},
    *({"ORGANIZATION_PARENT": name} for name in ("", "parent")),
    *({"PROXY_URL": url} for url in ("", "http://proxy.internal:3128", "http://alice:hunter2@[::1]:3128")),
    *({"CONTACTS": name} for name in ("", f"{HERE}.contacts")),
    {"TELEMETRY": ["prometheus", "otel"]},
    *({setting.name: vars(AppSettings)[setting.name].default} for setting in declared()),
]


@pytest.mark.parametrize("value, expected", MISTAKES)
def test_a_mistake_gets_its_values_and_the_remedy(settings, value, expected):
    settings.TMS_WEBHOOKS = value
    expect(said(), expected)
    assert not any(secret in str(message) for secret in ("hunter2", KEY[:9]) for message in said())


@pytest.mark.parametrize("value", SOUND)
def test_a_right_value_is_passed_in_silence(settings, value):
    settings.TMS_WEBHOOKS = value
    assert said() == []


def test_no_settings_at_all_are_fine(settings):
    del settings.TMS_WEBHOOKS
    assert said() == []


def test_a_name_ends_in_the_unit_of_its_value():
    """Numbers with a fraction are durations, but for one share."""
    numbers = [setting.name for setting in declared() if isinstance(setting.default, float)]
    assert {name.rpartition("_")[2] for name in numbers} == {"SECONDS", "DAYS", "JITTER"}


@pytest.mark.parametrize(
    "name, hint",
    [
        ("TMS_WEBHOOKS_ENCRYPTION_KEYS", 'Write TMS_WEBHOOKS = {"ENCRYPTION_KEYS": …} instead.'),
        ("TMS_WEBHOOK", "Rename it: the app reads TMS_WEBHOOKS and TMS_WEBHOOKS_ORGANIZATION_MODEL."),
    ],
)
def test_a_misplaced_setting_is_reported_with_its_place(settings, name, hint):
    setattr(settings, name, {})
    expect(said(), f"W011: The app does not read the setting {name}. -> {hint}")


@pytest.mark.parametrize("value", ["training.Organisation", "Organization"])
def test_the_models_next_to_a_missing_organization_model_are_suggested(settings, value):
    settings.TMS_WEBHOOKS_ORGANIZATION_MODEL = value
    expect(
        said(),
        f"E009: ...is {value!r}, which is not a model. -> Name your organization model as 'app_label.ModelName'...",
    )


@pytest.mark.parametrize("transport, number", [("", ""), ("curl", "E017"), ("threads", "")])
def test_libcurl_is_required_where_it_is_named(settings, monkeypatch, transport, number):
    settings.TMS_WEBHOOKS = {"TRANSPORT": transport}
    assert said() == []
    monkeypatch.setattr(transports, "has_curl", lambda: False)
    expect(said(), *([f"{number}: ... -> Install it with pip install 'tms-webhooks[curl]', or..."] if number else []))


@pytest.mark.parametrize("listed", [["otel"], []])
def test_a_missing_package_of_telemetry_is_named_with_its_extra(settings, monkeypatch, listed):
    for name in ("prometheus_client", "opentelemetry", "opentelemetry.trace"):
        # Python's own mark of a module that can't be imported.
        monkeypatch.setitem(sys.modules, name, None)
    settings.TMS_WEBHOOKS = {"TELEMETRY": listed}
    expected = (
        "W014: TMS_WEBHOOKS['TELEMETRY'] lists 'otel', but opentelemetry.trace is not installed. "
        "-> Install it with pip install 'tms-webhooks[otel]', or remove the entry."
    )
    expect(said(), *([expected] if listed else []))


@pytest.mark.parametrize("value", ["prometheus", None])
def test_a_wrong_value_starts_no_telemetry(settings, value):
    settings.TMS_WEBHOOKS = {"TELEMETRY": value}
    telemetry.connect()
    assert observers == []
