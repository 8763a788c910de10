"""Classify network exceptions for storage, and describe them without text from the receiver or from a header."""

from __future__ import annotations

import errno
import http.client
import socket
import ssl

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

# The first match counts: most of these are OSErrors, and some are base classes of others.
_CLASSES: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], ErrorClass], ...] = (
    (ProxyFailure, ErrorClass.PROXY_ERROR),
    ((socket.gaierror, UnreachableHost), ErrorClass.DNS_ERROR),
    (TimeoutError, ErrorClass.TIMEOUT),
    (ssl.SSLError, ErrorClass.TLS_ERROR),
    (ConnectionRefusedError, ErrorClass.CONNECTION_REFUSED),
    ((ConnectionError, http.client.IncompleteRead), ErrorClass.CONNECTION_RESET),
)


def classify(error: BaseException) -> ErrorClass:
    """Return the error class of an exception of a socket or of ``http.client``."""
    if isinstance(error, OSError) and error.errno in _UNREACHABLE:
        return ErrorClass.NETWORK_UNREACHABLE
    return next((error_class for kinds, error_class in _CLASSES if isinstance(error, kinds)), ErrorClass.OTHER)


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
    if host and isinstance(error, OSError | http.client.HTTPException | UnreachableHost):
        error_class = classify(error)
        return DeliveryError(message(host, error_class, _details(error)), error_class=error_class, timing=timing)
    if isinstance(error, BlockedAddress):
        return DeliveryError(str(error), error_class=ErrorClass.BLOCKED_ADDRESS, permanent=True)
    if isinstance(error, UnsafeURL):
        return DeliveryError(str(error), error_class=ErrorClass.INVALID_URL, permanent=True)
    return DeliveryError(f"unexpected {type(error).__name__}", error_class=ErrorClass.OTHER)


def is_disconnect(error: BaseException) -> bool:
    """Return True if the receiver closed or reset an open connection."""
    is_reset = classify(error) == ErrorClass.CONNECTION_RESET
    return is_reset or isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError)


def _details(error: BaseException) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return str(error.verify_message)
    if isinstance(error, ProxyFailure):
        return str(error)
    if classify(error) != ErrorClass.OTHER:
        return ""
    if isinstance(error, http.client.BadStatusLine | http.client.UnknownProtocol):
        return NO_HTTP
    is_long = isinstance(error, http.client.LineTooLong) or type(error) is http.client.HTTPException
    return HEAD_TOO_LONG if is_long else type(error).__name__
