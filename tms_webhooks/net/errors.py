"""Classify network exceptions for storage, and describe them without sensitive data."""

from __future__ import annotations

import errno
import http.client
import socket
import ssl
from collections.abc import Iterator

from urllib3 import exceptions as urllib3_errors

from tms_webhooks.choices import ErrorClass

_UNREACHABLE = frozenset(
    {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}
)

# The first match counts: most of these are OSErrors, and some are base classes of others.
_CLASSES: tuple[tuple[tuple[type[BaseException], ...], ErrorClass], ...] = (
    ((socket.gaierror, urllib3_errors.NameResolutionError), ErrorClass.DNS_ERROR),
    ((TimeoutError, urllib3_errors.ReadTimeoutError), ErrorClass.TIMEOUT),
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


def describe(error: BaseException) -> str:
    """Return a short description of the error, without text from the receiver or from a header."""
    error_class = classify(error)
    words = str(error_class.value).replace("_", " ")
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"{words} ({cause.verify_message})"
    return words if error_class != ErrorClass.OTHER else f"{words} ({type(causes[-1]).__name__})"


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
