"""The exceptions of the app. Catch `WebhooksError` for all of them except `ConfigurationError`.

Where an argument of a caller is wrong, ``field`` is its name and ``code`` the kind of error.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ImproperlyConfigured

if TYPE_CHECKING:
    from tms_webhooks.choices import ErrorClass


class WebhooksError(Exception):
    """Base class of the errors that this app raises at run time."""

    field, code = "", ""


# Not a WebhooksError on purpose: `except WebhooksError` around a delivery must not hide a wrong setting.
class ConfigurationError(ImproperlyConfigured):
    """A setting or a declaration of the host project is wrong.

    ``number`` is the id of the system check that reports it, such as "E018", and ``hint`` is the remedy.
    """

    def __init__(self, what: str, *, number: str = "", hint: str = "") -> None:
        super().__init__(what)
        self.number, self.hint = number, hint


class DeclarationError(ConfigurationError):
    """A mistake in a source."""

    def __init__(self, number: str, what: str, hint: str) -> None:
        super().__init__(what, number=number, hint=hint)


class DeliveryError(WebhooksError):
    """A request without an answer.

    ``error_class`` is the cause. ``permanent`` is True if a retry can't help. ``timing`` is a `Timing` of
    `tms_webhooks.net.timing` with the seconds of each part, or None if no connection was tried. The message is safe to
    log: it contains no header values, secrets or bodies.
    """

    def __init__(self, message: str, *, error_class: ErrorClass, permanent: bool = False, timing: Any = None) -> None:
        super().__init__(message)
        self.timing = timing
        self.error_class = error_class
        self.permanent = permanent


class UnsafeURL(WebhooksError, ValueError):
    """A URL that a webhook may not have: malformed, or with a target that is not allowed."""


class BlockedAddress(UnsafeURL):
    """A URL whose host has an address that webhooks may not call."""


class UnreachableHost(BlockedAddress):
    """A URL whose host name has no address, or one that is not allowed. The message does not show which."""


class PayloadError(WebhooksError, ValueError):
    """A payload that can't be built from the host's object, or breaks the schema of its event type."""

    field, code = "subject", "schema"


class SchemaError(PayloadError):
    """A payload that breaks the schema of its event type. ``reasons`` has the path and the text of each reason, without values."""

    def __init__(self, message: str, reasons: Sequence[tuple[tuple[str | int, ...], str]]) -> None:
        super().__init__(message)
        self.reasons = tuple(reasons)


class SecretError(WebhooksError):
    """A stored secret or header value that can't be decrypted with the current keys."""


class UnknownKey(SecretError):
    """A stored secret or header value that is well-formed, and encrypted with a key that is not among the current ones."""


class SecretInUse(WebhooksError, ValueError):
    """A secret that can't be ended, because the webhook has no other one; the message gives an alternative."""


class UnknownEventType(WebhooksError, LookupError):
    """An event name that is not in the catalogue."""

    field, code = "event_type", "unknown"


class SubjectError(WebhooksError, ValueError):
    """A name of an object, such as "class:8840", from which no event can be built; the message has the remedy.

    ``code`` is the reason. `NOT_FOUND` is the same for an object that does not exist and for one of another organization.
    """

    NOT_FOUND = "not_found"
    field = "subject"

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.code = code


class ReplayError(WebhooksError, ValueError):
    """A resend, recovery, replay or snapshot that is not possible; the message gives an alternative.

    ``field`` names the invalid argument, and ``code`` is the kind of its error. ``field`` is empty if the state of the
    webhook or delivery is the reason. ``job`` is the id of the unfinished job that is in the way, if one is.
    """

    def __init__(self, message: str, *, field: str = "", code: str = "range", job: str = "") -> None:
        super().__init__(message)
        self.field = field
        self.code = code
        self.job = job


class LimitReached(WebhooksError, ValueError):
    """A limit of the settings is reached; the message names it, and gives an alternative.

    ``retry_after`` is the number of seconds after which a repetition may succeed; None if time alone does not help.
    """

    def __init__(self, message: str, *, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class PullOnlyWebhook(WebhooksError, ValueError):
    """A request that is to be sent to a pull-only webhook; the message gives an alternative."""


class CursorError(WebhooksError, ValueError):
    """An invalid cursor of the catch-up feed; ``code`` is the reason, and the message has the remedy."""

    field = "after"

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.code = code
