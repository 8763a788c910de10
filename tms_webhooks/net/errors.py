"""Classify network exceptions for storage, and describe them without text from the receiver or from a header."""

from __future__ import annotations

import errno
import http.client
import socket
import ssl
from collections.abc import Iterator

from tms_webhooks.choices import ErrorClass
from tms_webhooks.exceptions import BlockedAddress, DeliveryError, UnreachableHost, UnsafeURL
from tms_webhooks.net import urls
from tms_webhooks.net.proxy import ProxyFailure
from tms_webhooks.net.timing import Timing

NO_HTTP = "no answer in HTTP"
HEAD_TOO_LONG = "the headers are too long"
WRONG_NAME = "Hostname mismatch, certificate is not valid for '{}'."

_UNREACHABLE = frozenset(
    {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}
)

# The first match counts: most of these are OSErrors, and some are base classes of others. Those of urllib3 have one of these
# as their cause.
_CLASSES: tuple[tuple[tuple[type[BaseException], ...], ErrorClass], ...] = (
    ((ProxyFailure,), ErrorClass.PROXY_ERROR),
    ((socket.gaierror, UnreachableHost), ErrorClass.DNS_ERROR),
    ((TimeoutError,), ErrorClass.TIMEOUT),
    ((ssl.SSLError,), ErrorClass.TLS_ERROR),
    ((ConnectionRefusedError,), ErrorClass.CONNECTION_REFUSED),
    ((ConnectionError, http.client.IncompleteRead), ErrorClass.CONNECTION_RESET),
)


def classify(error: BaseException) -> ErrorClass:
    """Return the error class of an exception of ``requests``, ``urllib3`` or the socket, by its causes."""
    for cause in _causes(error):
        for kinds, error_class in _CLASSES:
            if isinstance(cause, kinds):
                return error_class
        if isinstance(cause, OSError) and cause.errno in _UNREACHABLE:
            return ErrorClass.NETWORK_UNREACHABLE
    return ErrorClass.OTHER


def message(host: str, error_class: ErrorClass, details: str) -> str:
    """Return the message of a `DeliveryError` of this class, with the details if there are any.

    An address that is not allowed has the message of a name without an address, which would show internal names.
    """
    if error_class == ErrorClass.DNS_ERROR:
        return str(urls.unreachable(host))
    words = str(error_class.value).replace("_", " ")
    return f"{host}: {words} ({details})" if details else f"{host}: {words}"


def as_delivery_error(error: Exception, *, host: str = "", timing: Timing | None = None) -> DeliveryError:
    """Return the `DeliveryError` for any exception that ended an exchange.

    A URL that is not allowed is permanent; a name may get another address. Of an exception that is unknown here, the class alone is
    shown: its message may hold anything.
    """
    if isinstance(error, DeliveryError):
        return error
    # Those of ``requests`` are OSErrors, too.
    if host and isinstance(error, OSError | UnreachableHost):
        error_class = classify(error)
        return DeliveryError(message(host, error_class, _details(error)), error_class=error_class, timing=timing)
    if isinstance(error, BlockedAddress):
        return DeliveryError(str(error), error_class=ErrorClass.BLOCKED_ADDRESS, permanent=True)
    if isinstance(error, UnsafeURL):
        return DeliveryError(str(error), error_class=ErrorClass.INVALID_URL, permanent=True)
    return DeliveryError(f"unexpected {type(error).__name__}", error_class=ErrorClass.OTHER)


def is_disconnect(error: BaseException) -> bool:
    """Return True if the receiver closed or reset an open connection."""
    if classify(error) == ErrorClass.CONNECTION_RESET:
        return True
    return any(isinstance(cause, ssl.SSLEOFError | ssl.SSLZeroReturnError) for cause in _causes(error))


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and its causes, outermost first.

    Not ``__context__``: that may be an unrelated exception that was being handled when this one was raised.
    """
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or next((arg for arg in cause.args if isinstance(arg, BaseException)), None)


def _details(error: BaseException) -> str:
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return str(cause.verify_message)
        if isinstance(cause, ProxyFailure):
            return str(cause)
    if classify(error) != ErrorClass.OTHER:
        return ""
    if any(isinstance(cause, http.client.BadStatusLine | http.client.UnknownProtocol) for cause in causes):
        return NO_HTTP
    if any(isinstance(cause, http.client.LineTooLong) or type(cause) is http.client.HTTPException for cause in causes):
        return HEAD_TOO_LONG
    return type(causes[-1]).__name__
