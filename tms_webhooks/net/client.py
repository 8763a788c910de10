"""The HTTP client of the app: every webhook request goes through `Client.send`."""

from __future__ import annotations

import re
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from requests import PreparedRequest
from requests.exceptions import RequestException
from requests.utils import DEFAULT_CA_BUNDLE_PATH

from tms_webhooks.choices import ErrorClass
from tms_webhooks.exceptions import BlockedAddress, ConfigurationError, DeliveryError, UnsafeURL
from tms_webhooks.net import errors
from tms_webhooks.net.adapter import WebhookAdapter, timing_of
from tms_webhooks.net.deadline import TimedTLSSocket
from tms_webhooks.net.log_masking import masked_paths
from tms_webhooks.net.resolver import Resolver, system_resolver
from tms_webhooks.net.timing import Timing

FRAMING_HEADERS = frozenset(
    {
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Headers that belong to the connection. A caller that sets one could smuggle a second request into the first."""

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_BODILESS = frozenset({"GET", "HEAD", "DELETE", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class Request:
    """One request, to the byte. ``repr`` shows neither headers nor body: error reporters print the variables of frames.

    Attributes:
        method: The HTTP method.
        url: The target; checked again when the request is sent.
        headers: Sent as they are; the client adds only the headers that frame the message.
        body: The exact bytes that were signed.
        deadline: Seconds that the whole exchange may take, from looking up the name to the last byte read.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    deadline: float


@dataclass(frozen=True, slots=True)
class Response:
    """The answer of the receiver.

    Attributes:
        status: The HTTP status; redirects are not followed.
        headers: Names in lower case; the values of a repeated header joined by a comma.
        body: At most ``RESPONSE_LIMIT`` bytes, not decompressed.
        truncated: True if the body was longer.
        elapsed: Seconds that the exchange took.
        timing: The seconds of each part.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    truncated: bool
    elapsed: float
    timing: Timing = Timing()


class Client:
    """Sends requests over connections that are kept per receiver.

    Threads may share a client. A forked process may not: create the client after the fork.

    ``pool_size`` is the number of idle connections kept per receiver: use the number of threads. ``resolve`` and
    ``ssl_context`` are for tests; the context must verify certificates and host names.
    """

    def __init__(
        self,
        *,
        pool_size: int = 64,
        resolve: Resolver = system_resolver,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        # One for all connections: reading the bundle again takes longer than the handshake.
        context = ssl_context or ssl.create_default_context(cafile=DEFAULT_CA_BUNDLE_PATH)
        if context.verify_mode != ssl.CERT_REQUIRED or not context.check_hostname:
            raise ConfigurationError("Client: ssl_context must verify certificates and host names.")
        context.sslsocket_class = TimedTLSSocket
        self._adapter = WebhookAdapter(pool_size=pool_size, resolve=resolve, ssl_context=context)

    def send(self, request: Request) -> Response:
        """Send a request and return the answer, whatever its status.

        Raises `DeliveryError` if the answer is not complete within the deadline.
        """
        started_at = time.monotonic()
        prepared = _prepared(request)
        try:
            with masked_paths():
                answer = self._adapter.send(prepared, timeout=request.deadline)
        except BlockedAddress as error:
            raise DeliveryError(str(error), error_class=ErrorClass.BLOCKED_ADDRESS, permanent=True) from error
        except UnsafeURL as error:
            raise DeliveryError(str(error), error_class=ErrorClass.INVALID_URL, permanent=True) from error
        except (RequestException, ValueError) as error:
            host = urlsplit(request.url).hostname
            raise DeliveryError(
                f"{host}: {errors.describe(error)}", error_class=errors.classify(error), timing=timing_of(error)
            ) from error
        return Response(
            status=answer.status_code,
            headers={name.lower(): value for name, value in answer.raw.headers.itermerged()},
            body=answer.content,
            truncated=answer.truncated,
            elapsed=time.monotonic() - started_at,
            timing=answer.timing,
        )

    def close(self) -> None:
        """Close every kept connection. A request sent later opens a new one."""
        self._adapter.close()


def _prepared(request: Request) -> PreparedRequest:
    prepared = PreparedRequest()
    prepared.method = request.method
    prepared.url = request.url
    prepared.headers = _headers(request)  # type: ignore[assignment]
    prepared.body = request.body
    return prepared


def _headers(request: Request) -> dict[str, str]:
    headers = {"accept-encoding": "identity"}
    if request.body or request.method not in _BODILESS:
        headers["content-length"] = str(len(request.body))
    for name, value in request.headers.items():
        lowered = name.lower()
        if lowered in FRAMING_HEADERS or not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            raise DeliveryError(f"the header {name!r} can't be sent", error_class=ErrorClass.OTHER, permanent=True)
        if lowered != "accept-encoding":
            headers[name] = value
    return headers
