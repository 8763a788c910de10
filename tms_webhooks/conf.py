"""Settings of the app, read from ``settings.TMS_WEBHOOKS`` each time they are used.

A host project writes only the settings that it changes::

    TMS_WEBHOOKS = {"ENCRYPTION_KEYS": [env("WEBHOOK_KEY")], "MAX_IN_FLIGHT": 4}

The app reads ``conf.app_settings.MAX_IN_FLIGHT``. A name ends in the unit of its value: ``_SECONDS``,
``_MINUTES``, ``_DAYS`` or ``_BYTES``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, TypeVar

from django.conf import settings as django_settings

from tms_webhooks.computed import Expression
from tms_webhooks.db.django_private import is_test_environment

SETTING_NAME = "TMS_WEBHOOKS"
CHECKS_TAG = "webhooks"
"""The tag with which ``check --tag`` runs the app's checks alone."""
COMMAND_CHECKS = "tms_webhooks_work"
"""The tag of the system checks that commands run before they work."""
ORGANIZATION_MODEL_SETTING = "TMS_WEBHOOKS_ORGANIZATION_MODEL"
CUSTOMER_SITE = "tms_webhooks_customers"
"""The URL namespace of a `CustomerSite` that has no other name."""

LONGEST_TIMEOUT = 30
"""Seconds: the largest time limit of an attempt that a webhook may have."""

DELAYS_LIMIT = 15
"""Delays that a retry schedule may have."""
LONGEST_DELAY = 7 * 86_400
"""Seconds. Not the setting for a delivery's lifetime, so that a stored schedule stays valid if the setting changes."""

TELEMETRY_PACKAGES: Mapping[str, str] = {"prometheus": "prometheus_client", "otel": "opentelemetry.trace"}
"""Module that each entry of the setting TELEMETRY imports. The keys are the names of the extras."""

_ORIGIN = re.compile(r"'self'|https?://(\*\.)?[A-Za-z0-9.-]+(:\d+)?")

T = TypeVar("T")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _list_of(kind: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: isinstance(value, list | tuple) and all(kind(item) for item in value)


def _is_string(value: object) -> bool:
    return isinstance(value, str)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


class Setting(Generic[T]):
    """One setting: its default, a validator of the host's value, and a description of valid values."""

    name: str

    def __init__(self, default: T, doc: str, *, valid: Callable[[Any], bool], expects: str) -> None:
        self.default = default
        self.__doc__ = doc
        self.valid = valid
        self.expects = expects

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: object, owner: type) -> T:
        return user_settings().get(self.name, self.default)  # type: ignore[no-any-return]


def user_settings() -> Mapping[str, Any]:
    """Return the host's ``settings.TMS_WEBHOOKS``, not validated."""
    return getattr(django_settings, SETTING_NAME, {})


def number(default: float, doc: str, *, least: float = 0.0, most: float = math.inf) -> Setting[float]:
    """Return a setting that holds a number from ``least`` to ``most``."""
    return Setting(
        default,
        doc,
        valid=lambda value: _is_number(value) and least <= value <= most,
        expects=f"a number of at least {least:g}" if most == math.inf else f"a number from {least:g} to {most:g}",
    )


def whole(default: int, doc: str, *, least: int = 0) -> Setting[int]:
    """Return a setting that holds a whole number of at least ``least``."""
    return Setting(
        default,
        doc,
        valid=lambda value: _is_whole(value) and value >= least,
        expects=f"a whole number of at least {least:,}",
    )


def strings(default: tuple[str, ...], doc: str) -> Setting[tuple[str, ...]]:
    """Return a setting that holds a list of strings."""
    return Setting(default, doc, valid=_list_of(_is_string), expects="a list of strings")


def text(default: str, doc: str) -> Setting[str]:
    """Return a setting that holds one string."""
    return Setting(default, doc, valid=_is_string, expects="a string")


def _are_organization_fields(value: Any) -> bool:
    return isinstance(value, Mapping) and all(
        name in ("name", "external_id", "time_zone")
        and not isinstance(path, type)
        and (bool(path) and isinstance(path, str) or path is None or isinstance(path, Expression) or callable(path))
        for name, path in value.items()
    )


class AppSettings:
    """The settings, each with its value as an attribute. ``vars(AppSettings)`` has the `Setting` of each name."""

    # Organizations
    ORGANIZATION_PARENT = text(
        "",
        "Name of the organization model's foreign key to the parent organization, such as 'parent'. "
        "Empty: organizations have no parents, and no webhook can include child organizations.",
    )
    ORGANIZATION_FIELDS: Setting[Mapping[str, Any]] = Setting(
        {},
        "Attribute paths of an organization's 'name', 'external_id' and 'time_zone' on the organization model, for all "
        "sources, such as {'name': 'label'}. A value may also be `First` or `Not` of `tms_webhooks.computed`, or a function "
        "that takes the organization. None leaves it out; without 'time_zone', dates are in the project's time zone.",
        valid=_are_organization_fields,
        expects="a dictionary from 'name', 'external_id' or 'time_zone' to an attribute path",
    )

    # The customers' site
    FRAME_ANCESTORS: Setting[tuple[str, ...]] = Setting(
        (),
        "Origins whose pages may embed the [customers' site](../howto/customer-site.md), such as "
        "'https://portal.example.com'. Empty: the project's X-Frame-Options apply, by default DENY.",
        valid=_list_of(lambda origin: isinstance(origin, str) and bool(_ORIGIN.fullmatch(origin))),
        expects="a list of origins, such as 'https://portal.example.com'",
    )

    # Secrets and payloads
    ENCRYPTION_KEYS = strings(
        (),
        "Fernet keys for secrets, header values, credentials and responses, newest first. The first key "
        "encrypts; each key decrypts. Empty: a key derived from SECRET_KEY encrypts, which is fine for development. The derived "
        "key always decrypts.",
    )
    SECRET_OVERLAP_SECONDS = number(86_400.0, "Time for which a rotated secret signs together with the new one.")
    SECRET_OVERLAP_LIMIT_SECONDS = number(7 * 86_400.0, "Longest overlap that a rotation may request.")
    STRICT_PAYLOADS: Setting[bool | None] = Setting(
        None,
        "True: raise an error when a payload can't be built or breaks its schema. False: log it and continue. "
        "None: raise under DEBUG and in Django's test environment only.",
        valid=lambda value: value is None or isinstance(value, bool),
        expects="True, False or None",
    )
    BODY_LIMIT_BYTES = whole(
        262_144,
        "Largest request body. A larger event is sent as ids only and marked as truncated.",
        least=1024,
    )

    # Access
    ACCESS_POLICY = text(
        "tms_webhooks.access.SuperusersOnly",
        "Dotted path of the access policy class. It decides which organizations a caller may act on, in the API and the admin.",
    )

    # Limits of a customer
    WEBHOOKS_LIMIT = whole(100, "Webhooks that an organization may have. Deleted ones do not count.", least=1)
    HOOKS_LIMIT = whole(
        50,
        "[Hooks](../howto/hooks.md) that one API key or user may have. They count as webhooks of their organizations, too.",
        least=1,
    )
    SUBSCRIPTIONS_LIMIT = whole(200, "Subscriptions that a webhook may have.", least=1)
    JOBS_LIMIT = whole(100, "Unfinished jobs of an organization.", least=1)
    TEST_SENDS_LIMIT = whole(
        10, "Test sends of a webhook in one minute. Its organization may send ten times as many.", least=1
    )

    # The management API
    API_URL = text(
        "",
        "Public URL of the API, such as 'https://tms.example.com/api/webhooks'. Payloads with ids only link to it. "
        "Empty: payloads have no links.",
    )
    API_PAGE_SIZE = whole(50, "Rows on a page of the API if the caller gives no `page_size`.", least=1)
    API_PAGE_LIMIT = whole(100, "Largest `page_size` that a caller may request.", least=1)

    # Allowed targets
    ALLOWED_SCHEMES = strings(("https",), "URL schemes that webhooks may use.")
    ALLOWED_PORTS: Setting[tuple[int, ...]] = Setting(
        (443,),
        "Ports that webhooks may use.",
        valid=_list_of(lambda port: _is_whole(port) and 0 < port < 65_536),  # type: ignore[operator]
        expects="a list of port numbers",
    )
    UNCHECKED_HOSTS = strings((), "Host names and addresses that skip the address check, for private receivers.")
    UNCHECKED_CIDRS = strings((), "Networks that skip the address check, such as '10.20.0.0/16'.")

    PROXY_URL = text(
        "",
        "An egress proxy, such as 'http://user:password@proxy.internal:3128'. It opens a tunnel to the address that was "
        "checked. Its own failures defer deliveries by 30 seconds, and no retry is used up.",
    )

    # One HTTP exchange
    CONNECT_TIMEOUT_SECONDS = number(3.0, "Longest time to connect.", least=0.1, most=LONGEST_TIMEOUT)
    READ_TIMEOUT_SECONDS = number(15.0, "Longest time for one read from the receiver.", least=0.1, most=LONGEST_TIMEOUT)
    RESPONSE_LIMIT_BYTES = whole(16_384, "Part of a response that is read and stored.")

    # Retries
    RETRY_DELAYS_SECONDS: Setting[tuple[float, ...]] = Setting(
        (5, 60, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400),
        "Delays before the retries of the `standard` schedule. The default makes 11 attempts over 75.6 hours.",
        valid=lambda delays: (
            _list_of(lambda delay: _is_number(delay) and 0 <= delay <= LONGEST_DELAY)(delays)  # type: ignore[operator]
            and len(delays) <= DELAYS_LIMIT
        ),
        expects=f"a list of at most {DELAYS_LIMIT} delays of 0 to {LONGEST_DELAY:,} seconds",
    )
    RETRY_JITTER = number(0.2, "Random variation of each delay: 0.2 means ±20 %.", most=1.0)
    DELIVERY_LIFETIME_SECONDS = number(7 * 86_400.0, "Age after which a delivery is given up.", least=60.0)

    # Workers
    QUEUE = text(
        "",
        "Dotted path of the [queue](../howto/queues.md) class that wakes the workers. Empty: django-q2 where `django_q` is in "
        "INSTALLED_APPS; otherwise none, and `webhooks_drain` delivers.",
    )
    MAX_IN_FLIGHT = whole(
        32,
        "Largest number of concurrent requests per webhook over all workers. A webhook can set a lower limit, and no higher one.",
        least=1,
    )
    TRANSPORT: Setting[str] = Setting(
        "",
        "How requests are sent: 'curl' (libcurl; install 'tms-webhooks[curl]'), or 'threads' (`requests`). "
        "Empty: libcurl where it is installed.",
        valid=lambda value: value in ("", "curl", "threads"),
        expects="'curl', 'threads' or an empty string",
    )
    SENDER_SLOTS = whole(
        1_000, "Largest number of concurrent requests of one worker; 64 at most without libcurl.", least=1
    )
    DRAINS = whole(
        1, "Number of concurrent drains over all machines. Each drain occupies one worker of the queue.", least=1
    )
    DRAIN_BUDGET_SECONDS = number(8.0, "Time after which a drain task ends and the next one takes over.", least=0.5)
    EXPIRY_MINUTES = whole(5, "Minutes between two expiry scans.", least=1)

    # Webhook health
    PAUSE_AFTER_FAILURES = whole(
        4, "Consecutive failed attempts, of at least two deliveries, after which a webhook pauses.", least=1
    )
    PAUSE_FIRST_SECONDS = number(60.0, "First pause. Each further pause is twice as long.", least=1.0)
    PAUSE_LONGEST_SECONDS = number(86_400.0, "Longest pause.", least=1.0)
    DISABLE_AFTER_FAILURES = whole(
        15,
        "Consecutive failed attempts after which a webhook is disabled. `DISABLE_AFTER_DAYS` must be reached too.",
        least=1,
    )
    DISABLE_AFTER_DAYS = number(
        5.0, "Days without a success after which a webhook is disabled. `DISABLE_AFTER_FAILURES` must be reached too."
    )
    CONTACTS = text(
        "",
        "Dotted path of a function that returns an organization's e-mail addresses, for webhooks without contacts, and its "
        "addresses in Slack and Teams.",
    )
    NOTIFY: Setting[bool] = Setting(
        True,
        "False: no people are notified when a webhook fails, is disabled or recovers.",
        valid=lambda value: isinstance(value, bool),
        expects="True or False",
    )
    NOTIFY_AFTER_SECONDS = number(
        420.0,
        "Time for which a webhook fails without a success before people are notified, and time without a failure before "
        "they are notified of its recovery.",
        least=60.0,
    )
    ADMIN_URL = text(
        "",
        "Public root URL of the customers' site or of the admin, such as 'https://tms.example.com/admin'. Notifications link "
        "to the pages of webhooks below it. Empty: they have no links.",
    )
    RECOVER_DAYS = whole(14, "Longest time range of a recovery, in days.", least=1)

    # Metrics
    TELEMETRY: Setting[tuple[str, ...]] = Setting(
        (),
        "Metrics and traces to export: 'prometheus' and 'otel' (OpenTelemetry). Install 'tms-webhooks[prometheus,otel]'.",
        valid=_list_of(lambda name: isinstance(name, str) and name in TELEMETRY_PACKAGES),
        expects="a list of 'prometheus' and 'otel'",
    )

    # Retention and pruning
    KEEP_PAYLOADS_DAYS = whole(30, "Days for which payloads are kept.", least=1)
    KEEP_ATTEMPTS_DAYS = whole(90, "Days for which attempts and their events are kept.", least=1)


def declared() -> Iterator[Setting[Any]]:
    """Yield all settings, in the order of their groups."""
    for value in vars(AppSettings).values():
        if isinstance(value, Setting):
            yield value


app_settings = AppSettings()


def strict_payloads() -> bool:
    """Return True if an invalid payload raises an error, False if it is logged."""
    if app_settings.STRICT_PAYLOADS is not None:
        return app_settings.STRICT_PAYLOADS
    return django_settings.DEBUG or is_test_environment()
