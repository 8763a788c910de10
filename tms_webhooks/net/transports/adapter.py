"""A transport adapter of `requests` that does only the work of a webhook request.

`requests.Session` spends two thirds of a request's time on proxies, cookies, redirects and authentication, none of which
a webhook may use. This adapter keeps the `PreparedRequest`, `Response` and exceptions of `requests`, and skips the rest.
"""

from __future__ import annotations

import http.client
import ssl
import time
from typing import Any, NoReturn

from requests import PreparedRequest
from requests import Response as RequestsResponse
from requests import exceptions as requests_errors
from requests.adapters import HTTPAdapter
from urllib3 import BaseHTTPResponse
from urllib3 import exceptions as urllib3_errors

from tms_webhooks.conf import app_settings
from tms_webhooks.net import errors
from tms_webhooks.net.deadline import Exchange
from tms_webhooks.net.resolver import Resolver
from tms_webhooks.net.timing import Timing
from tms_webhooks.net.transports.connections import ConnectionPool
from tms_webhooks.net.urls import SafeURL, split_url

FAILURES = (urllib3_errors.HTTPError, http.client.HTTPException, OSError)
"""Exceptions of an exchange that has no answer."""


class CappedResponse(RequestsResponse):
    """A `requests.Response` with the status, the headers, the URL and at most ``RESPONSE_LIMIT_BYTES`` of the body.

    ``truncated`` is True if the body was longer; ``timing`` has the seconds of each part. There are neither cookies nor
    a history, and the connection can't be read.
    """

    def __init__(
        self, *, request: PreparedRequest, raw: BaseHTTPResponse, content: bytes, truncated: bool, timing: Timing
    ) -> None:
        # The base class would build a cookie jar, for example, which takes as long as sending.
        self.request = request
        self.url = request.url or ""
        self.raw = raw
        self.status_code = raw.status
        self.reason = raw.reason or ""
        self.headers = raw.headers  # type: ignore[assignment]
        self.encoding = None
        self.history = []
        self._content = content
        self._content_consumed = True
        self.truncated = truncated
        self.timing = timing


class WebhookAdapter(HTTPAdapter):
    """Send prepared requests to checked addresses over kept connections, each within one deadline.

    Thread-safe. Do not share an adapter with a forked process.
    """

    def __init__(self, *, pool_size: int, resolve: Resolver, ssl_context: ssl.SSLContext) -> None:
        super().__init__()
        self._connections = ConnectionPool(size=pool_size, resolve=resolve, ssl_context=ssl_context)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Create no pool manager: a lookup by its key takes longer than by the origin."""

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refuse: a proxy would choose the address that is called."""
        raise requests_errors.InvalidProxyURL("webhooks are never sent through a proxy")

    def send(  # type: ignore[override]
        self,
        request: PreparedRequest,
        stream: bool = False,  # noqa: FBT001, FBT002
        timeout: float = 20.0,
        verify: bool = True,  # noqa: FBT001, FBT002
        cert: object = None,
        proxies: dict[str, str] | None = None,
    ) -> CappedResponse:
        """Send a request; its headers are final. ``timeout`` is the deadline of the whole exchange, in seconds.

        Raises a ``requests`` exception, or `UnsafeURL` for a URL or an address that is not allowed.
        """
        if not verify or cert is not None or proxies:
            raise ValueError("webhooks are sent with verified TLS, without a client certificate and without a proxy")
        target = split_url(request.url or "")
        exchange = Exchange(
            deadline_at=time.monotonic() + timeout,
            connect_timeout=app_settings.CONNECT_TIMEOUT_SECONDS,
            read_timeout=app_settings.READ_TIMEOUT_SECONDS,
            secure=target.scheme == "https",
        )
        try:
            return self._exchange(request, target, exchange)
        except FAILURES as error:
            if not (exchange.reused and not exchange.answered and errors.is_disconnect(error)):
                raise _as_requests_error(error, exchange) from error
        # The receiver closed the idle connection, and we had not received its FIN when we chose the connection.
        exchange = exchange.on_fresh_connection()
        try:
            return self._exchange(request, target, exchange)
        except FAILURES as error:
            raise _as_requests_error(error, exchange) from error

    def close(self) -> None:
        """Close every kept connection."""
        self._connections.close()

    def _exchange(self, request: PreparedRequest, target: SafeURL, exchange: Exchange) -> CappedResponse:
        connection = self._connections.take(target)
        limit = app_settings.RESPONSE_LIMIT_BYTES
        raw: BaseHTTPResponse | None = None
        complete = False
        try:
            connection.begin(exchange)
            connection.request(request.method or "", target.target, body=request.body, headers=request.headers)  # type: ignore[arg-type]
            raw = connection.getresponse()
            content = _read(raw, limit + 1)
            complete = raw.closed and raw.status >= 200
        finally:
            if not complete:
                connection.close()
                if raw is not None:
                    raw.close()
            self._connections.give_back(connection)
        return CappedResponse(
            request=request,
            raw=raw,
            content=content[:limit],
            truncated=len(content) > limit,
            timing=exchange.marks.timing(time.monotonic()),
        )


def _read(raw: BaseHTTPResponse, amount: int) -> bytes:
    content = raw.read(amount)
    if raw.length_remaining != 0 and len(content) < amount:
        # The body has ended, or the connection broke inside it: a second read shows which.
        content += raw.read(amount - len(content))
    return content


def timing_of(error: BaseException) -> Timing | None:
    """Return the timing of the exchange that ended with this error of the adapter, or None."""
    found: Timing | None = getattr(error, "timing", None)
    return found


def _as_requests_error(error: Exception, exchange: Exchange) -> requests_errors.RequestException:
    kind: type[requests_errors.RequestException] = requests_errors.ConnectionError
    if isinstance(error, ssl.SSLError | urllib3_errors.SSLError):
        kind = requests_errors.SSLError
    elif isinstance(error, TimeoutError):
        kind = requests_errors.ReadTimeout
    elif isinstance(error, urllib3_errors.ConnectTimeoutError) and not isinstance(
        error, urllib3_errors.NewConnectionError
    ):
        kind = requests_errors.ConnectTimeout
    # Without the request: exceptions are logged, and its headers hold signatures.
    translated = kind(error)
    translated.timing = exchange.marks.timing(time.monotonic())  # type: ignore[attr-defined]
    return translated
