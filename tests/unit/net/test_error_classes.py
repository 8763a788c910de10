import errno
import http.client
import socket
import ssl

import pytest

from tms_webhooks.choices import ErrorClass
from tms_webhooks.net.errors import classify, is_disconnect

CASES = [
    (socket.gaierror(socket.EAI_NONAME, "unknown"), ErrorClass.DNS_ERROR),
    (TimeoutError("timed out"), ErrorClass.TIMEOUT),
    (ssl.SSLError(1, "wrong version number"), ErrorClass.TLS_ERROR),
    (ssl.SSLCertVerificationError(1, "certificate verify failed"), ErrorClass.TLS_ERROR),
    (ssl.SSLEOFError(8, "unexpected EOF"), ErrorClass.TLS_ERROR),
    (ConnectionRefusedError(errno.ECONNREFUSED, "refused"), ErrorClass.CONNECTION_REFUSED),
    (ConnectionResetError(errno.ECONNRESET, "reset"), ErrorClass.CONNECTION_RESET),
    (ConnectionAbortedError(errno.ECONNABORTED, "aborted"), ErrorClass.CONNECTION_RESET),
    (BrokenPipeError(errno.EPIPE, "broken"), ErrorClass.CONNECTION_RESET),
    (http.client.RemoteDisconnected("closed"), ErrorClass.CONNECTION_RESET),
    (http.client.IncompleteRead(b"ab", 10), ErrorClass.CONNECTION_RESET),
    (OSError(errno.ENETUNREACH, "no network"), ErrorClass.NETWORK_UNREACHABLE),
    (OSError(errno.EHOSTUNREACH, "no host"), ErrorClass.NETWORK_UNREACHABLE),
    (OSError(errno.EADDRNOTAVAIL, "no address"), ErrorClass.NETWORK_UNREACHABLE),
    (OSError(errno.EMFILE, "too many files"), ErrorClass.OTHER),
    (http.client.BadStatusLine("SSH-2.0"), ErrorClass.OTHER),
    (ValueError("?"), ErrorClass.OTHER),
]


@pytest.mark.parametrize("error, expected", CASES, ids=repr)
def test_an_error_has_a_class(error, expected):
    assert classify(error) == expected


def test_an_error_that_was_being_handled_at_that_time_does_not_count():
    error = ValueError("unrelated")
    error.__context__ = ConnectionResetError()

    assert classify(error) == ErrorClass.OTHER


@pytest.mark.parametrize(
    "error, expected",
    [
        (ConnectionResetError(), True),
        (http.client.RemoteDisconnected(), True),
        (ssl.SSLEOFError(), True),
        (ssl.SSLZeroReturnError(), True),
        (ssl.SSLError(), False),
        (ConnectionRefusedError(), False),
        (TimeoutError(), False),
    ],
    ids=repr,
)
def test_only_a_closed_or_broken_connection_is_a_disconnect(error, expected):
    assert is_disconnect(error) is expected
