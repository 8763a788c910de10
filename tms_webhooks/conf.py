"""Every setting of the app, read from ``settings.TMS_WEBHOOKS`` at the moment it is used.

A host project writes only what it changes::

    TMS_WEBHOOKS = {"ENCRYPTION_KEYS": [env("WEBHOOK_KEY")], "MAX_IN_FLIGHT": 4}

and the app reads ``conf.app_settings.MAX_IN_FLIGHT``. Times are seconds unless the name says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, TypeVar, overload

from django.conf import settings as django_settings
from django.core import mail

SETTING_NAME = "TMS_WEBHOOKS"
ORGANIZATION_MODEL_SETTING = "TMS_WEBHOOKS_ORGANIZATION_MODEL"

TELEMETRY_PACKAGES: Mapping[str, str] = {"prometheus": "prometheus_client", "otel": "opentelemetry.trace"}
"""What each entry of the setting TELEMETRY has to be able to import; the names are those of the extras."""

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
    """One setting: its default, the test a host's value must pass, and that test in words."""

    name: str

    def __init__(self, default: T, doc: str, *, valid: Callable[[Any], bool], expects: str) -> None:
        self.default = default
        self.__doc__ = doc
        self.valid = valid
        self.expects = expects

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, instance: None, owner: type) -> Setting[T]: ...
    @overload
    def __get__(self, instance: AppSettings, owner: type) -> T: ...
    def __get__(self, instance: AppSettings | None, owner: type) -> Setting[T] | T:
        if instance is None:
            return self
        return user_settings().get(self.name, self.default)  # type: ignore[no-any-return]


def user_settings() -> Mapping[str, Any]:
    """Return what the host wrote in ``settings.TMS_WEBHOOKS``, unvalidated."""
    return getattr(django_settings, SETTING_NAME, {})


def number(default: float, doc: str, *, least: float = 0.0) -> Setting[float]:
    """Make a setting that holds a number of at least ``least``."""
    return Setting(
        default,
        doc,
        valid=lambda value: _is_number(value) and value >= least,
        expects=f"a number of at least {least:g}",
    )


def whole(default: int, doc: str, *, least: int = 0) -> Setting[int]:
    """Make a setting that holds a whole number of at least ``least``."""
    return Setting(
        default,
        doc,
        valid=lambda value: _is_whole(value) and value >= least,
        expects=f"a whole number of at least {least}",
    )


def strings(default: tuple[str, ...], doc: str) -> Setting[tuple[str, ...]]:
    """Make a setting that holds a list of strings."""
    return Setting(default, doc, valid=_list_of(_is_string), expects="a list of strings")


def text(default: str, doc: str) -> Setting[str]:
    """Make a setting that holds one string."""
    return Setting(default, doc, valid=_is_string, expects="a string")


class AppSettings:
    """The settings as attributes. ``AppSettings.NAME`` is the `Setting`, ``app_settings.NAME`` its value."""

    # Organizations
    ORGANIZATION_PARENT = text(
        "",
        "The field of the organization model that leads to an organization's parent, such as 'parent'. "
        "Empty: organizations form no tree, and no webhook can include child organizations.",
    )

    # Secrets and payloads
    ENCRYPTION_KEYS = strings(
        (),
        "Fernet keys for secrets and header values, newest first; the first encrypts, all decrypt. "
        "Empty: one key is derived from SECRET_KEY (fine for development, a deploy check warns).",
    )
    SECRET_OVERLAP = number(86_400.0, "How long a rotated secret goes on signing beside the new one.")
    SECRET_OVERLAP_LIMIT = number(7 * 86_400.0, "The longest overlap a rotation may ask for.")
    OLD_SECRETS_LIMIT = whole(3, "How many old secrets of a webhook may sign at once.")
    STRICT_PAYLOADS: Setting[bool | None] = Setting(
        None,
        "Raise when a payload can't be built or breaks its schema (True) or log and go on (False). "
        "None: raise under DEBUG and in Django's test environment.",
        valid=lambda value: value is None or isinstance(value, bool),
        expects="True, False or None",
    )
    BODY_LIMIT = whole(
        262_144,
        "The largest request body, in bytes; a larger event is sent in its thin form: ids, marked as truncated.",
        least=1024,
    )

    # Who may do what
    ACCESS_POLICY = text(
        "tms_webhooks.access.SuperusersOnly",
        "Dotted path of the class that says who may do what with whose webhooks, in the API and in the admin.",
    )

    # The management API
    API_URL = text(
        "",
        "Where receivers find the API, such as 'https://tms.example.com/api/webhooks': what is sent as ids only links to it. "
        "Empty: without links.",
    )
    API_BODY_LIMIT = whole(262_144, "The largest body of a request to the API, in bytes.", least=1024)
    API_PAGE_SIZE = whole(50, "How many rows a page of the API has where the caller asks for no number.", least=1)
    API_PAGE_LIMIT = whole(100, "How many rows a caller may ask for at once.", least=1)
    IDEMPOTENCY_HOURS = number(24.0, "For how long an answer is kept for its `Idempotency-Key`.", least=1.0)

    # Where requests may go
    ALLOWED_SCHEMES = strings(("https",), "URL schemes a webhook may use.")
    ALLOWED_PORTS: Setting[tuple[int, ...]] = Setting(
        (443,),
        "Ports a webhook may use.",
        valid=_list_of(lambda port: _is_whole(port) and 0 < port < 65_536),  # type: ignore[operator]
        expects="a list of port numbers",
    )
    ALLOWED_HOSTS = strings((), "Host names and addresses exempt from the address check, for private receivers.")
    ALLOWED_CIDRS = strings((), "Networks exempt from the address check, such as '10.20.0.0/16'.")

    # One HTTP exchange
    CONNECT_TIMEOUT = number(3.0, "Longest wait for a connection.", least=0.1)
    READ_TIMEOUT = number(15.0, "Longest wait for one read from the receiver.", least=0.1)
    DEADLINE = number(20.0, "Wall-clock limit of a whole exchange where the webhook names none.", least=0.1)
    RESPONSE_LIMIT = whole(16_384, "How many bytes of a response are read and stored.")

    # Retrying
    RETRY_DELAYS: Setting[tuple[float, ...]] = Setting(
        (5, 60, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400),
        "Delays before the retries of the `standard` schedule: 11 attempts over 75.6 hours.",
        valid=_list_of(lambda delay: _is_number(delay) and delay >= 0),  # type: ignore[operator]
        expects="a list of at most 15 delays in seconds",
    )
    RETRY_JITTER = number(0.2, "Each delay is varied by up to this share, either way.")
    RETRY_AFTER_LIMIT = number(86_400.0, "The longest Retry-After that is obeyed.")
    TIMEOUT_PENALTY = number(60.0, "The shortest delay after an attempt that timed out.")
    DELIVERY_LIFETIME = number(7 * 86_400.0, "A delivery that is older than this is given up.", least=60.0)

    # The engine
    QUEUE = text("tms_webhooks.queues.django_q.DjangoQQueue", "Dotted path of the queue class that rings the workers.")
    LEASE = number(30.0, "How long a worker holds a delivery without a sign of life.", least=1.0)
    HEARTBEAT = number(10.0, "How often a worker renews its leases.", least=0.1)
    MAX_IN_FLIGHT = whole(
        2, "Concurrent requests per webhook, over all workers, where the webhook names no number.", least=1
    )
    SENDER_THREADS = whole(64, "Most concurrent requests of one worker.", least=1)
    CLAIM_BATCH = whole(256, "How many deliveries a busy worker claims at a time.", least=1)
    DRAINS = whole(1, "How many drains run at once, over all machines; each takes a django-q2 worker.", least=1)
    DRAIN_BUDGET = number(8.0, "How long one drain task runs before it hands over to its successor.", least=0.5)
    DRAIN_POLL = number(
        0.02, "How often a drain looks for new events while it works, or where nothing can wake it.", least=0.001
    )
    DRAIN_REST = number(
        0.5, "How often an idle drain that can be woken looks for work that nobody rang for.", least=0.001
    )
    EXPIRY_MINUTES = whole(5, "Minutes between two scans for expiry windows.", least=1)

    # The health of a webhook
    PAUSE_AFTER = whole(4, "Consecutive failed attempts after which a webhook backs off.", least=1)
    PAUSE_FIRST = number(60.0, "The first pause; each further one is twice as long.", least=1.0)
    PAUSE_LONGEST = number(86_400.0, "The longest pause.", least=1.0)
    DISABLE_AFTER_FAILURES = whole(15, "A webhook is disabled after so many consecutive failed attempts ...", least=1)
    DISABLE_AFTER_DAYS = number(5.0, "... and only after so many days without a success.")
    WARN_AT_PERCENT: Setting[tuple[int, ...]] = Setting(
        (50, 70, 90),
        "How far on the way to being disabled `webhook.failing` is told.",
        valid=_list_of(lambda share: _is_whole(share) and 0 < share < 100),  # type: ignore[operator]
        expects="a list of whole numbers from 1 to 99",
    )
    CONTACTS = text(
        "",
        "Dotted path of a function from an organization to its e-mail addresses, for webhooks that name none themselves.",
    )
    RECOVER_DAYS = whole(14, "The longest time range of a recovery, in days.", least=1)

    # Measuring
    TELEMETRY: Setting[tuple[str, ...]] = Setting(
        (),
        "What to measure for: 'prometheus' and 'otel' (OpenTelemetry); pip install 'tms-webhooks[prometheus,otel]'.",
        valid=_list_of(lambda name: isinstance(name, str) and name in TELEMETRY_PACKAGES),
        expects="a list of 'prometheus' and 'otel'",
    )

    # Keeping and forgetting
    KEEP_PAYLOADS_DAYS = whole(30, "Days a payload is kept.", least=1)
    KEEP_ATTEMPTS_DAYS = whole(90, "Days attempts and their events are kept.", least=1)
    PRUNE_BATCH = whole(1_000, "Rows removed in one transaction when pruning.", least=1)


def declared() -> Iterator[Setting[Any]]:
    """Yield every setting there is, in the order of their groups."""
    for value in vars(AppSettings).values():
        if isinstance(value, Setting):
            yield value


app_settings = AppSettings()


def strict_payloads() -> bool:
    """Return whether a payload that is wrong raises, as in tests and under DEBUG, or is logged."""
    if app_settings.STRICT_PAYLOADS is not None:
        return app_settings.STRICT_PAYLOADS
    # Django's own mark of a test run: setup_test_environment() makes the outbox.
    return django_settings.DEBUG or hasattr(mail, "outbox")
