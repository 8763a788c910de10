"""The transport adapter of `requests`, cut down to what a webhook needs.

`requests.Session` spends two thirds of a request's time on proxies, cookies, redirects and authentication: all things
that a webhook must not have. This adapter keeps its `PreparedRequest`, `Response` and exceptions, and leaves the rest.
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
"""How many origins keep idle connections: each is an open file, and a process has about a thousand."""


class CappedResponse(RequestsResponse):
    """A `requests.Response` with the status, the headers, the address and at most ``RESPONSE_LIMIT`` bytes of the body.

    ``truncated`` says that the body had more, ``timing`` where the time went. It has no cookies, no history and no connection to read from.
    """

    def __init__(
        self, *, request: PreparedRequest, raw: BaseHTTPResponse, content: bytes, truncated: bool, timing: Timing
    ) -> None:
        # The base class would build a cookie jar and more, which costs as much as sending.
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

    Thread-safe. Not to be shared with a forked process.
    """

    def __init__(self, *, pool_size: int, resolve: Resolver, ssl_context: ssl.SSLContext) -> None:
        super().__init__()
        self._pool_size = pool_size
        self._resolve = resolve
        self._ssl_context = ssl_context
        self._pools: OrderedDict[tuple[str, str, int], HTTPConnectionPool] = OrderedDict()
        self._lock = threading.Lock()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make no pool manager: finding a pool by its key takes longer than finding it by its origin."""

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
        """Send a request whose headers are final but for ``host``. ``timeout`` is the deadline of the whole exchange, in seconds.

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
        # The receiver had closed the idle connection, and the news was still under way when we chose it.
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
                    # Only let go: urllib3 closes the connections when the last thread is done with the pool.
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
    # After an interim status (103) the final answer is still to come: it must not become the next request's.
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
        # Either the end of a body of unknown length, or a body that broke off: only a second read tells.
        content += raw.read(amount - len(content))
    return content


def timing_of(error: BaseException) -> Timing | None:
    """Return where the time of an exchange went that ended with this error of the adapter's."""
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
    # Without the request: an exception is logged more widely than the signatures in it should be.
    translated = kind(error)
    translated.timing = exchange.marks.timing(time.monotonic())  # type: ignore[attr-defined]
    return translated
