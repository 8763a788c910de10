"""Checks of ``settings.TMS_WEBHOOKS`` and ``settings.TMS_WEBHOOKS_ORGANIZATION_MODEL``."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from importlib.util import find_spec
from typing import Any

from django.apps import apps
from django.conf import settings as django_settings
from django.core.checks import CheckMessage
from django.core.exceptions import ValidationError

from tms_webhooks import validators
from tms_webhooks.access import get_policy
from tms_webhooks.checks.messages import message, shorten
from tms_webhooks.conf import (
    ORGANIZATION_MODEL_SETTING,
    SETTING_NAME,
    TELEMETRY_PACKAGES,
    AppSettings,
    Setting,
    app_settings,
    declared,
    user_settings,
)
from tms_webhooks.event_names import did_you_mean
from tms_webhooks.exceptions import ConfigurationError
from tms_webhooks.models.encryption import encrypt
from tms_webhooks.net import transports, urls
from tms_webhooks.net.proxy import FORM, configured_proxy

METRICS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""The environment variable of prometheus_client."""

LIMITS = (
    ("SECRET_OVERLAP_SECONDS", "SECRET_OVERLAP_LIMIT_SECONDS", "no secret can be rotated"),
    ("PAUSE_FIRST_SECONDS", "PAUSE_LONGEST_SECONDS", "the first pause is shorter than it says"),
    ("API_PAGE_SIZE", "API_PAGE_LIMIT", "the pages of the API are smaller than it says"),
    ("RECOVER_DAYS", "KEEP_PAYLOADS_DAYS", "a recovery finds no payloads of the first days"),
)
"""Settings, each with the setting that limits it, and what happens above that limit."""

CONSTANTS = [
    "API_BODY_LIMIT",
    "CLAIM_BATCH",
    "CONDITION_PARTS_LIMIT",
    "CONDITION_VALUES_LIMIT",
    "CONTACTS_LIMIT",
    "DEADLINE",
    "DRAIN_POLL",
    "DRAIN_REST",
    "FILTER_VALUES_LIMIT",
    "HEADERS_LIMIT",
    "HEARTBEAT",
    "IDEMPOTENCY_HOURS",
    "KEYS_WAIT",
    "MATCHING_BUDGET",
    "OLD_SECRETS_LIMIT",
    "PROXY_WAIT",
    "PRUNE_BATCH",
    "RETRY_AFTER_LIMIT",
    "SNAPSHOT_BACKLOG",
    "TIMEOUT_PENALTY",
    "WARN_AT_PERCENT",
]
FORMER_NAMES = {
    "ALLOWED_HOSTS": "UNCHECKED_HOSTS",
    "ALLOWED_CIDRS": "UNCHECKED_CIDRS",
    "LEASE": "LEASE_SECONDS",
    **dict.fromkeys(CONSTANTS, None),
}
"""Names that are not like the new ones; None for a value that is a constant of the app now."""


def is_usable(name: str) -> bool:
    """Return True if a setting has a valid value; `check_names_and_values` reports invalid ones."""
    setting = vars(AppSettings)[name]
    return isinstance(user_settings(), Mapping) and setting.valid(user_settings().get(name, setting.default))


def usable(name: str) -> Any:
    """Return the value of a setting, or its default if the host's value is invalid."""
    return getattr(app_settings, name) if is_usable(name) else vars(AppSettings)[name].default


def check_names_and_values(**_kwargs: Any) -> list[CheckMessage]:
    """Refuse a value that is not a dictionary, unknown names, and values of the wrong kind."""
    if not isinstance(user_settings(), Mapping):
        return [
            message(
                "E001",
                f"{SETTING_NAME} is {shorten(user_settings())}, not a dictionary.",
                hint=f'Write {SETTING_NAME} = {{"MAX_IN_FLIGHT": 4}}, for example, or remove the setting.',
            )
        ]
    known = {setting.name: setting for setting in declared()}
    return [
        _wrong_value(known[name], value) if name in known else _unknown(name, known)
        for name, value in user_settings().items()
        if name not in known or not known[name].valid(value)
    ]


def check_stray_settings(**_kwargs: Any) -> list[CheckMessage]:
    """Warn of misspelled or misplaced settings of this app."""
    known = {setting.name for setting in declared()}
    messages = []
    for name in dir(django_settings):
        if not name.startswith(SETTING_NAME.rstrip("S")) or name in {SETTING_NAME, ORGANIZATION_MODEL_SETTING}:
            continue
        inner = name.removeprefix(f"{SETTING_NAME}_")
        if inner in known:
            remedy = f'Write {SETTING_NAME} = {{"{inner}": …}} instead.'
        else:
            remedy = f"Rename it: the app reads {SETTING_NAME} and {ORGANIZATION_MODEL_SETTING}."
        messages.append(message("W011", f"The app does not read the setting {name}.", hint=remedy))
    return messages


def check_formats(**_kwargs: Any) -> list[CheckMessage]:
    """Refuse delays, keys, networks and hosts of the right type with an invalid value."""
    return [
        *_check_delays(),
        *_refusal("ENCRYPTION_KEYS", "E005", lambda: encrypt(""), hint="Remove the key, or generate a new one."),
        *_refusal(
            "UNCHECKED_CIDRS",
            "E006",
            urls.allowed_networks,
            hint="Write the address of the network itself: '10.20.0.0/16', not '10.20.1.7/16'.",
        ),
        *_refusal("UNCHECKED_HOSTS", "E007", lambda: urls.is_exempt("localhost"), hint="Correct or remove the entry."),
    ]


def check_access_policy(**_kwargs: Any) -> list[CheckMessage]:
    """Check that ACCESS_POLICY names an access policy."""
    hint = "Name a subclass of tms_webhooks.access.AccessPolicy, or remove the setting. By default only superusers have access."
    return [*_refusal("ACCESS_POLICY", "E015", get_policy, hint=hint)]


def check_contradictions(**_kwargs: Any) -> list[CheckMessage]:
    """Compare settings that depend on each other."""
    return [*_check_limits(), *_check_lifetime()]


def check_transport(**_kwargs: Any) -> list[CheckMessage]:
    """Check that the transport that TRANSPORT names is installed."""
    if usable("TRANSPORT") != "curl" or transports.has_curl():
        return []
    return [
        message(
            "E017",
            f"{SETTING_NAME}['TRANSPORT'] is 'curl', but pycurl is not installed.",
            hint="Install it with pip install 'tms-webhooks[curl]', or remove the setting.",
        )
    ]


def check_proxy(**_kwargs: Any) -> list[CheckMessage]:
    """Check that PROXY_URL is a proxy's URL. The message does not repeat it: it may hold a password."""
    return [*_refusal("PROXY_URL", "E018", configured_proxy, hint=f"Write it like {FORM}, or remove the setting.")]


def check_telemetry(**_kwargs: Any) -> list[CheckMessage]:
    """Warn of entries of TELEMETRY whose package is not installed."""
    found = []
    for name in usable("TELEMETRY"):
        module = None
        # Raised where the parent package is missing.
        with suppress(ImportError):
            module = find_spec(TELEMETRY_PACKAGES[name])
        if module is None:
            problem = f"{SETTING_NAME}['TELEMETRY'] lists {name!r}, but {TELEMETRY_PACKAGES[name]} is not installed."
            hint = f"Install it with pip install 'tms-webhooks[{name}]', or remove the entry."
            found.append(message("W014", problem, hint=hint))
    return found


def check_metrics_folder(**_kwargs: Any) -> list[CheckMessage]:
    """Warn if this process can't write into the folder in which processes share their counters."""
    folder = os.environ.get(METRICS_FOLDER)
    if (
        folder is None
        or "prometheus" not in usable("TELEMETRY")
        or os.path.isdir(folder)
        and os.access(folder, os.W_OK)
    ):
        return []
    return [
        message(
            "W019",
            f"{METRICS_FOLDER} is {folder!r}, which is not a folder that this process can write to: no attempts are counted.",
            hint="Create the folder when the machine starts, and let the user of the workers write to it, or remove the "
            "variable.",
        )
    ]


def check_organization_model(**_kwargs: Any) -> list[CheckMessage]:
    """Check that the organization model exists, with one message instead of one per foreign key."""
    name = getattr(django_settings, ORGANIZATION_MODEL_SETTING, None)
    try:
        apps.get_model(str(name))
    except (LookupError, ValueError):
        labels = [model._meta.label for model in apps.get_models()]
        nearest = did_you_mean(difflib.get_close_matches(str(name), labels))
        return [
            message(
                "E009",
                f"{ORGANIZATION_MODEL_SETTING} is {name!r}, which is not a model.",
                hint="Name your organization model as 'app_label.ModelName', and add its app to INSTALLED_APPS."
                + nearest,
            )
        ]
    return []


def _unknown(name: object, known: Iterable[str]) -> CheckMessage:
    new = FORMER_NAMES.get(str(name), "")
    matches = [new] if new else difflib.get_close_matches(str(name).upper(), known)
    return message(
        "E002",
        f"Unknown setting: {SETTING_NAME}[{name!r}].",
        hint="Remove it: its value is fixed now."
        if new is None
        else f"Remove it or correct the name.{did_you_mean(matches)}",
    )


def _wrong_value(setting: Setting[Any], value: object) -> CheckMessage:
    # A key written as a string instead of a list must not appear in a log.
    shown = f"a {type(value).__name__}" if setting.name == "ENCRYPTION_KEYS" else shorten(value)
    return message(
        "E003",
        f"{SETTING_NAME}[{setting.name!r}] is {shown}, not {setting.expects}.",
        hint=f"Use {setting.expects}, or remove the setting to use the default: {setting.default!r}.",
    )


def _check_delays() -> Iterator[CheckMessage]:
    try:
        validators.validate_schedule(list(usable("RETRY_DELAYS_SECONDS")))
    except ValidationError as error:
        yield message(
            "E004",
            f"{SETTING_NAME}['RETRY_DELAYS_SECONDS']: {' '.join(error.messages)}",
            hint=f"Use at most {validators.DELAYS_LIMIT} delays of 0 to {validators.LONGEST_DELAY} seconds.",
        )


def _refusal(name: str, number: str, reader: Callable[[], object], *, hint: str) -> Iterator[CheckMessage]:
    """Yield the error that reading a setting raises."""
    if not is_usable(name):
        return
    try:
        reader()
    except ConfigurationError as error:
        yield message(number, str(error), hint=hint)


def _check_limits() -> Iterator[CheckMessage]:
    for name, limit, problem in LIMITS:
        value, most = usable(name), usable(limit)
        if value > most:
            yield message(
                "E010",
                f"{SETTING_NAME}[{name!r}] is {value:g}, above {limit} ({most:g}): {problem}.",
                hint=f"Lower {name} or raise {limit}.",
            )


def _check_lifetime() -> Iterator[CheckMessage]:
    total, lifetime = sum(usable("RETRY_DELAYS_SECONDS")), usable("DELIVERY_LIFETIME_SECONDS")
    if total > lifetime:
        yield message(
            "W013",
            f"{SETTING_NAME}['RETRY_DELAYS_SECONDS'] adds up to {total:g} s, but DELIVERY_LIFETIME_SECONDS is {lifetime:g} s: the last "
            "retries are never made.",
            hint=f"Shorten the delays, or set DELIVERY_LIFETIME_SECONDS above {total:g}.",
        )
