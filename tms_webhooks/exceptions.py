"""What can go wrong, by name. Catch `WebhooksError` for anything this app raises while it works."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.exceptions import ImproperlyConfigured

if TYPE_CHECKING:
    from tms_webhooks.choices import ErrorClass


class WebhooksError(Exception):
    """Something the app could not do."""


# Outside the base on purpose: `except WebhooksError` around a delivery must never hide a wrong setting.
class ConfigurationError(ImproperlyConfigured):
    """The host project has set the app up wrongly."""


class DeliveryError(WebhooksError):
    """A request got no answer.

    ``error_class`` says why; ``permanent`` says that trying again can't help; ``timing``, of `tms_webhooks.net.timing`,
    says where the time went, if there was a connection to be made. The message is safe to log: it holds
    no header value, no secret and no body.
    """

    def __init__(self, message: str, *, error_class: ErrorClass, permanent: bool = False, timing: Any = None) -> None:
        super().__init__(message)
        self.timing = timing
        self.error_class = error_class
        self.permanent = permanent


class UnsafeURL(WebhooksError, ValueError):
    """A URL that no webhook may have: malformed, or pointing where the app must not go."""


class BlockedAddress(UnsafeURL):
    """A URL whose host leads to an address that the app must not call."""


class PayloadError(WebhooksError, ValueError):
    """A payload that can't be built from the host's object, or breaks the schema of its event type."""


class SecretError(WebhooksError):
    """A stored secret or header value can't be decrypted with the keys at hand."""


class UnknownEventType(WebhooksError, LookupError):
    """An event name that is not in the catalogue."""


class ReplayError(WebhooksError, ValueError):
    """A resend, recovery or replay that can't be done; the message says what can.

    ``field`` names what was asked for wrongly; without it things stand so that nothing could be asked for.
    """

    def __init__(self, message: str, *, field: str = "") -> None:
        super().__init__(message)
        self.field = field


class CursorError(WebhooksError, ValueError):
    """A place in the catch-up feed that nothing can be read after; ``code`` says why, the message what to do."""

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.code = code
