"""A transport adapter of `requests` that does only the work of a webhook request.

`requests.Session` spends two thirds of a request's time on proxies, cookies, redirects and authentication, none of which
a webhook may use. This adapter keeps the `PreparedRequest`, `Response` and exceptions of `requests`, and skips the rest.
"""

from __future__ import annotations

import ssl
import threading
import time
from collections import OrderedDict
from typing import Any, NoReturn

from requests import PreparedRequest
from requests import Response as RequestsResponse
from requests import exceptions as requests_errors
from requests.adapters import HTTPAdapter
from urllib3 import BaseHTTPResponse, HTTPConnectionPool
from urllib3 import exceptions as urllib3_errors

from tms_webhooks.conf import app_settings
from tms_webhooks.net import errors
from tms_webhooks.net.connections import new_pool
from tms_webhooks.net.deadline import Exchange
from tms_webhooks.net.resolver import Resolver
from tms_webhooks.net.timing import Timing
from tms_webhooks.net.urls import SafeURL, split_url

ORIGINS_LIMIT = 256
"""Number of origins with idle connections. Each connection is an open file, and a process may have about 1,000."""


class CappedResponse(RequestsResponse):
    """A `requests.Response` with the status, the headers, the URL and at most ``RESPONSE_LIMIT`` bytes of the body.

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
        self._pool_size = pool_size
        self._resolve = resolve
        self._ssl_context = ssl_context
        self._pools: OrderedDict[tuple[str, str, int], HTTPConnectionPool] = OrderedDict()
        self._lock = threading.Lock()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Create no pool manager: a lookup by its key takes longer than by the origin."""

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refuse: a proxy would choose the address that is called."""
        raise requests_errors.InvalidProxyURL("webhooks are never sent through a proxy")

    def send(  # type: ignore[override]
        self,
        request: PreparedRequest,
        stream: bool = False,  # noqa: FBT001, FBT002
        timeout: float | None = None,
        verify: bool = True,  # noqa: FBT001, FBT002
        cert: object = None,
        proxies: dict[str, str] | None = None,
    ) -> CappedResponse:
        """Send a request; its headers are final, except ``host``. ``timeout`` is the deadline of the whole exchange, in seconds.

        Raises a ``requests`` exception, or `UnsafeURL` for a URL or an address that is not allowed.
        """
        if not verify or cert is not None or proxies:
            raise ValueError("webhooks are sent with verified TLS, without a client certificate and without a proxy")
        target = split_url(request.url or "")
        pool = self._pool_of((target.scheme, target.host, target.port))
        exchange = Exchange(
            deadline_at=time.monotonic() + (app_settings.DEADLINE if timeout is None else timeout),
            connect_timeout=app_settings.CONNECT_TIMEOUT,
            read_timeout=app_settings.READ_TIMEOUT,
            secure=target.scheme == "https",
        )
        try:
            return _exchange(pool, request, target, exchange)
        except (urllib3_errors.HTTPError, OSError) as error:
            if not (exchange.reused and not exchange.answered and errors.is_disconnect(error)):
                raise _as_requests_error(error, exchange) from error
        # The receiver closed the idle connection, and we had not received its FIN when we chose the connection.
        exchange = exchange.on_fresh_connection()
        try:
            return _exchange(pool, request, target, exchange)
        except (urllib3_errors.HTTPError, OSError) as error:
            raise _as_requests_error(error, exchange) from error

    def close(self) -> None:
        """Close every kept connection."""
        with self._lock:
            pools = list(self._pools.values())
            self._pools.clear()
        for pool in pools:
            pool.close()

    def _pool_of(self, origin: tuple[str, str, int]) -> HTTPConnectionPool:
        with self._lock:
            pool = self._pools.get(origin)
            if pool is None:
                pool = self._pools[origin] = new_pool(
                    *origin, size=self._pool_size, resolve=self._resolve, ssl_context=self._ssl_context
                )
                if len(self._pools) > ORIGINS_LIMIT:
                    # urllib3 closes the connections when the last thread is done with the pool.
                    self._pools.popitem(last=False)
            else:
                self._pools.move_to_end(origin)
            return pool


def _exchange(
    pool: HTTPConnectionPool, request: PreparedRequest, target: SafeURL, exchange: Exchange
) -> CappedResponse:
    raw = pool.urlopen(
        request.method or "",
        target.target,
        body=request.body,
        headers={"host": target.host_header, **request.headers},
        retries=False,
        redirect=False,
        assert_same_host=False,
        preload_content=False,
        exchange=exchange,
    )
    # After an interim status (103) the final answer follows: the next request must not read it.
    if raw.status < 200:
        raw.close()
    limit = app_settings.RESPONSE_LIMIT
    content = _read(raw, limit + 1)
    if not raw.closed:
        raw.close()
    raw.release_conn()
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
    if isinstance(error, urllib3_errors.SSLError):
        kind = requests_errors.SSLError
    elif isinstance(error, urllib3_errors.ReadTimeoutError):
        kind = requests_errors.ReadTimeout
    elif isinstance(error, urllib3_errors.ConnectTimeoutError) and not isinstance(
        error, urllib3_errors.NewConnectionError
    ):
        kind = requests_errors.ConnectTimeout
    # Without the request: exceptions are logged, and its headers hold signatures.
    translated = kind(error)
    translated.timing = exchange.marks.timing(time.monotonic())  # type: ignore[attr-defined]
    return translated
