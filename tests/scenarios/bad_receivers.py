"""Receivers on loopback, each bad in a way of its own, and what a delivery to each of them comes to."""

import gzip
from dataclasses import dataclass
from functools import cache

from tests.integration.net.servers import OK, endlessly, never_answers, once, reply, resets_within_body
from tms_webhooks.choices import DeliveryStatus, ErrorClass

LIMIT = 16_384
HUGE = 64 * 1024 * 1024
READ_TIMEOUT = 3.0
DEADLINE = 4
METADATA = "http://169.254.169.254/latest/meta-data/"
BINARY = b"ok\x00\x01\xff\xfe caf\xc3\xa9 \xf0\x9f\x8e\x93"


@dataclass(frozen=True)
class Kind:
    """A kind of receiver, and what is written down of each attempt: its HTTP status, its error, and a message."""

    name: str
    handler: object
    code: int | None
    error: ErrorClass | None
    message: str
    tls: bool = False

    @property
    def status(self):
        return DeliveryStatus.WAITING if self.error else DeliveryStatus.DELIVERED


@cache
def bomb():
    """Return few bytes that would unpack to 64 megabytes."""
    return gzip.compress(bytes(HUGE), compresslevel=9)


def closes(visit):
    """Leave without a word."""


def sends_a_bomb(visit):
    visit.read()
    visit.write(reply(bomb(), headers={"content-encoding": "gzip"}))


def answers(body, **options):
    return once(reply(body, **options))


def redirects(location):
    return answers(b"", status="302 Found", headers={"location": location})


def sends_headers(lines, length):
    head = b"".join(b"x-%d: %b\r\n" % (number, b"y" * length) for number in range(lines))
    return once(OK + head + b"content-length: 2\r\n\r\nok")


REDIRECTED = "HTTP 302 Found; redirects are not followed. Location: "
RESET = "127.0.0.1: connection reset"

KINDS = (
    Kind(
        "drips",
        endlessly(OK + b"content-length: 1000\r\n\r\n", b"a", every=0.05),
        None,
        ErrorClass.TIMEOUT,
        "127.0.0.1: timeout",
    ),
    Kind("hangs", never_answers, None, ErrorClass.TIMEOUT, "127.0.0.1: timeout"),
    Kind("resets", resets_within_body, None, ErrorClass.CONNECTION_RESET, RESET),
    Kind("closes", closes, None, ErrorClass.CONNECTION_RESET, RESET),
    Kind("64 megabytes", endlessly(OK + b"content-length: %d\r\n\r\n" % HUGE, b"a"), 200, None, "HTTP 200 OK"),
    Kind("bomb", sends_a_bomb, 200, None, "HTTP 200 OK"),
    Kind(
        "self-signed",
        answers(b"ok"),
        None,
        ErrorClass.TLS_ERROR,
        "127.0.0.1: tls error (unable to get local issuer certificate)",
        tls=True,
    ),
    Kind("redirects", redirects(METADATA), 302, ErrorClass.HTTP_STATUS, REDIRECTED + "http://169.254.169.254"),
    Kind(
        "no HTTP",
        once(b"200 OK \x00\xff nonsense\r\n\r\n"),
        None,
        ErrorClass.OTHER,
        "127.0.0.1: other (no answer in HTTP)",
    ),
    Kind("binary", answers(BINARY), 200, None, "HTTP 200 OK"),
    Kind("100 kB of headers", sends_headers(90, 1_100), 200, None, "HTTP 200 OK"),
    Kind(
        "100,000 headers",
        sends_headers(100_000, 1),
        None,
        ErrorClass.OTHER,
        "127.0.0.1: other (the headers are too long)",
    ),
    Kind(
        "a header of 100 kB",
        sends_headers(1, 100_000),
        None,
        ErrorClass.OTHER,
        "127.0.0.1: other (the headers are too long)",
    ),
)
