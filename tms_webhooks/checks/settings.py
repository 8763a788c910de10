"""Checks of ``settings.TMS_WEBHOOKS`` and ``settings.TMS_WEBHOOKS_ORGANIZATION_MODEL``.

A value with a format of its own is parsed where it is used. The parser raises a `ConfigurationError`, and
`check_values` reports it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import Any

from django.apps import apps
from django.conf import settings as django_settings
from django.core.checks import CheckMessage
from django.db import models

from tms_webhooks.access import AccessPolicy, get_policy
from tms_webhooks.checks.messages import message, message_of, shorten
from tms_webhooks.conf import (
    ORGANIZATION_MODEL_SETTING,
    SETTING_NAME,
    TELEMETRY_PACKAGES,
    AppSettings,
    app_settings,
    declared,
    user_settings,
)
from tms_webhooks.delivery.notices import contacts_function
from tms_webhooks.event_names import did_you_mean, suggest
from tms_webhooks.exceptions import ConfigurationError
from tms_webhooks.models.encryption import encrypt
from tms_webhooks.net import transports, urls
from tms_webhooks.net.proxy import configured_proxy


def _parse_access_policy() -> None:
    policy = type(get_policy())
    if policy.may_keep_hooks is AccessPolicy.may_keep_hooks:
        raise ConfigurationError(
            f"{policy.__qualname__} does not override may_keep_hooks: hooks outlive the API key that made them, and its rights.",
            number="W106",
            hint="Override may_keep_hooks(maker, organization). Return False for a key or user that was revoked or has no right "
            "to manage in the organization. See docs/reference/rights.md.",
        )


PARSERS: tuple[tuple[str, Callable[[], object]], ...] = (
    ("ENCRYPTION_KEYS", lambda: encrypt("")),
    ("UNCHECKED_CIDRS", urls.allowed_networks),
    ("UNCHECKED_HOSTS", lambda: urls.is_exempt("localhost")),
    ("ACCESS_POLICY", _parse_access_policy),
    ("PROXY_URL", configured_proxy),
    ("CONTACTS", contacts_function),
)
"""Settings whose values have a format of their own, each with the function that reads it."""


def is_usable(name: str) -> bool:
    """Return True if a setting has a valid value; `check_names_and_values` reports invalid ones."""
    setting = vars(AppSettings)[name]
    return isinstance(user_settings(), Mapping) and setting.valid(user_settings().get(name, setting.default))


def usable(name: str) -> Any:
    """Return the value of a setting, or its default if the host's value is invalid."""
    return getattr(app_settings, name) if is_usable(name) else vars(AppSettings)[name].default


def check_names_and_values(**_kwargs: Any) -> Iterator[CheckMessage]:
    """Refuse a value that is not a dictionary, unknown names, and values of the wrong kind. Warn of misplaced settings."""
    known = {setting.name: setting for setting in declared()}
    for name in dir(django_settings):
        if name.startswith(SETTING_NAME.rstrip("S")) and name not in (SETTING_NAME, ORGANIZATION_MODEL_SETTING):
            inner = name.removeprefix(f"{SETTING_NAME}_")
            yield message(
                "W011",
                f"The app does not read the setting {name}.",
                hint=f'Write {SETTING_NAME} = {{"{inner}": …}} instead.'
                if inner in known
                else f"Rename it: the app reads {SETTING_NAME} and {ORGANIZATION_MODEL_SETTING}.",
            )
    if not isinstance(user_settings(), Mapping):
        yield message(
            "E001",
            f"{SETTING_NAME} is {shorten(user_settings())}, not a dictionary.",
            hint=f'Write {SETTING_NAME} = {{"MAX_IN_FLIGHT": 4}}, for example, or remove the setting.',
        )
        return
    for name, value in user_settings().items():
        if name not in known:
            hint = f"Remove it or correct the name.{suggest(str(name).upper(), known)}"
            yield message("E002", f"Unknown setting: {SETTING_NAME}[{name!r}].", hint=hint)
        elif not known[name].valid(value):
            setting = known[name]
            # A key written as a string instead of a list must not appear in a log.
            shown = f"a {type(value).__name__}" if name == "ENCRYPTION_KEYS" else shorten(value)
            yield message(
                "E003",
                f"{SETTING_NAME}[{name!r}] is {shown}, not {setting.expects}.",
                hint=f"Use {setting.expects}, or remove the setting to use the default: {setting.default!r}.",
            )


def check_values(**_kwargs: Any) -> Iterator[CheckMessage]:
    """Refuse values of the right type that can't be read."""
    for name, parse in PARSERS:
        if is_usable(name):
            try:
                parse()
            except ConfigurationError as error:
                yield message_of(error)


def check_packages(**_kwargs: Any) -> Iterator[CheckMessage]:
    """Check that the packages that TRANSPORT and TELEMETRY need are installed."""
    if usable("TRANSPORT") == "curl" and not transports.has_curl():
        yield message(
            "E017",
            f"{SETTING_NAME}['TRANSPORT'] is 'curl', but pycurl is not installed.",
            hint="Install it with pip install 'tms-webhooks[curl]', or remove the setting.",
        )
    for name in usable("TELEMETRY"):
        try:
            import_module(TELEMETRY_PACKAGES[name])
        except ImportError:
            yield message(
                "W014",
                f"{SETTING_NAME}['TELEMETRY'] lists {name!r}, but {TELEMETRY_PACKAGES[name]} is not installed.",
                hint=f"Install it with pip install 'tms-webhooks[{name}]', or remove the entry.",
            )


def check_organization_model(**_kwargs: Any) -> Iterator[CheckMessage]:
    """Check that the organization model exists, and that ORGANIZATION_PARENT is a foreign key to itself."""
    organization, parent = organization_model(), usable("ORGANIZATION_PARENT")
    if organization is None:
        name = getattr(django_settings, ORGANIZATION_MODEL_SETTING, None)
        labels = [model._meta.label for model in apps.get_models()]
        # One message instead of one per foreign key.
        yield message(
            "E009",
            f"{ORGANIZATION_MODEL_SETTING} is {name!r}, which is not a model.",
            hint="Name your organization model as 'app_label.ModelName', and add its app to INSTALLED_APPS."
            + suggest(name, labels),
        )
        return
    keys: Any = (field for field in organization._meta.concrete_fields if field.related_model is organization)
    parents = [field.name for field in keys if field.many_to_one and field.target_field.primary_key]
    if parent and parent not in parents:
        yield message(
            "E016",
            f"ORGANIZATION_PARENT is {parent!r}, which is not a foreign key of {organization._meta.label} to itself.",
            hint="Name a foreign key of the organization model to itself, or remove the setting. Without it, no webhook can "
            f"include child organizations.{did_you_mean(parents)}",
        )


def organization_model() -> type[models.Model] | None:
    """Return the organization model, or None if the setting names none."""
    try:
        return apps.get_model(str(getattr(django_settings, ORGANIZATION_MODEL_SETTING, None)))
    except (LookupError, ValueError):
        return None
