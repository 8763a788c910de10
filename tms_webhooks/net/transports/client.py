"""Requests without libcurl: the HTTP client of callers that wait for an answer, with `requests`, and a transport of threads that call it.

Connections to checked addresses are kept, and each exchange has one deadline. The adapter of `requests` itself resolves the
name again when it connects, and it writes the URL, which may hold a secret, into the log. A socket's own timeout starts
again with every read. So a receiver that sends one byte a second could block a worker forever.
"""

from __future__ import annotations

import http.client
import math
import socket
import ssl
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from requests import PreparedRequest, Session
from requests import Response as RequestsResponse
from requests.adapters import BaseAdapter
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3.util.wait import wait_for_read

from tms_webhooks.conf import app_settings
from tms_webhooks.exceptions import DeliveryError, UnsafeURL
from tms_webhooks.net import errors, urls
from tms_webhooks.net.proxy import Proxy, ProxyFailure, configured_proxy, tunnel_address
from tms_webhooks.net.timing import Marks
from tms_webhooks.net.transports.base import (
    IDLE_LIMIT,
    Answer,
    Request,
    Response,
    ThreadQueue,
    acknowledge_immediately,
    final_headers,
)
from tms_webhooks.net.urls import SafeURL, addresses_of

CONNECTIONS_LIMIT = 256
"""Idle connections. Each is an open file, and a process may have about 1,000."""
OVERHEAD_LIMIT = 2**20
"""Bytes of one answer in addition to its body. For http.client, a chunk of size -1 is all the rest, and it would read that."""

THREADS = 64
"""The most requests at a time of a transport: each takes several times the CPU time of one with libcurl."""


class Exchange(Marks):
    """The deadline and the progress of one request and its answer.

    ``received`` is the number of bytes. ``ended``: the receiver has closed its side of the connection.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(time.monotonic(), secure=False)
        self.deadline_at = self.started + seconds
        self.ended = False
        self.received = 0

    def left(self, limit: float = math.inf) -> float:
        """Return the remaining seconds, at most ``limit``. Raise ``TimeoutError`` after the deadline."""
        left = self.deadline_at - time.monotonic()
        if left <= 0.0:
            raise TimeoutError("the deadline has passed")
        return min(left, limit)


class TimedSocket(socket.socket):
    """A socket under the deadline of its exchange, which limits every read and write."""

    exchange: Exchange

    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        exchange = self.exchange
        self.settimeout(exchange.left(app_settings.READ_TIMEOUT_SECONDS))
        acknowledge_immediately(self)
        received = super().recv_into(*args, **kwargs)
        exchange.received += received
        if exchange.received > app_settings.RESPONSE_LIMIT_BYTES + OVERHEAD_LIMIT:
            raise http.client.HTTPException("too long")
        if not received:
            exchange.ended = True
        elif exchange.answered is None:
            exchange.answered = time.monotonic()
        return received

    def send(self, *args: Any, **kwargs: Any) -> int:
        self.settimeout(self.exchange.left())
        return super().send(*args, **kwargs)

    def sendall(self, *args: Any, **kwargs: Any) -> None:
        # Of an unencrypted socket, it is one call, whose timeout is for all of the data.
        self.settimeout(self.exchange.left())
        super().sendall(*args, **kwargs)


class TimedTLSSocket(TimedSocket, ssl.SSLSocket):
    """An encrypted one. The timeout of the unencrypted socket bounds its handshake."""


class _FinalResponse(http.client.HTTPResponse):
    """A response that reads past interim answers, such as 103: the final one follows on the same connection."""

    def begin(self) -> None:
        super().begin()
        while self.status < 200 and self.status != http.HTTPStatus.SWITCHING_PROTOCOLS:
            # Without headers, it begins again, and keeps what it has read ahead.
            self.headers = self.msg = None  # type: ignore[assignment]
            super().begin()
        if self.length is None and not self.chunked and "content-length" in self.headers:
            # No number, or two of them: where the answer ends is unknown.
            raise http.client.BadStatusLine("")


class _Connection:
    """A connection to an origin: resolves once, checks every address, and connects to one of the checked addresses."""

    sock: Any = None
    used_at = 0.0

    def __init__(self, safe: SafeURL, tls: ssl.SSLContext) -> None:
        self.safe = safe
        self._tls = tls

    def is_usable(self) -> bool:
        """Return True if nothing has arrived since the last exchange: the end, or an answer that no request asked for."""
        return time.monotonic() - self.used_at <= IDLE_LIMIT and not wait_for_read(self.sock, timeout=0.0)

    def send(self, data: bytes, exchange: Exchange) -> None:
        """Send a request, after connecting if necessary."""
        if self.sock is None:
            self._connect(exchange)
        self.sock.exchange = exchange
        exchange.ready = time.monotonic()
        self.sock.sendall(data)

    def receive(self, method: str) -> RequestsResponse:
        """Return the answer. Close the connection if it has no further use."""
        read, limit = _FinalResponse(self.sock, method=method), app_settings.RESPONSE_LIMIT_BYTES + 1
        try:
            read.begin()
            if self.sock.exchange.ended:
                # http.client takes a connection that breaks inside the headers for the end of the headers.
                raise http.client.IncompleteRead(b"")
            content = read.read(limit)
            if read.length and len(content) < limit:
                raise http.client.IncompleteRead(content)
            if not read.isclosed() or read.will_close or read.status < 200:
                self.close()
        finally:
            read.close()
        self.used_at = time.monotonic()
        answer = RequestsResponse()
        answer.status_code, answer._content = read.status, content
        answer.headers = {  # type: ignore[assignment]
            name.lower(): ", ".join(read.headers.get_all(name, ())) for name in read.headers
        }
        return answer

    def close(self) -> None:
        """Close the connection, if it is open."""
        if self.sock is not None:
            self.sock.close()
            self.sock = None

    def _connect(self, exchange: Exchange) -> None:
        host, port = self.safe.host, self.safe.port
        addresses = addresses_of(host, port, seconds=exchange.left())
        urls.vet(host, addresses)
        exchange.resolved = time.monotonic()
        proxy = configured_proxy()
        if proxy is None:
            self.sock = _connected(addresses, port, exchange)
        else:
            self.sock = _tunnel(proxy, tunnel_address(addresses), port, exchange)
        exchange.connected = time.monotonic()
        if self.safe.scheme == "https":
            # Under the timeout for connecting, as a whole.
            self.sock.settimeout(exchange.left(app_settings.CONNECT_TIMEOUT_SECONDS))
            self.sock = self._tls.wrap_socket(self.sock, server_hostname=host)


def _connected(addresses: Sequence[str], port: int, exchange: Exchange) -> TimedSocket:
    """Return a socket to one of these addresses. Each has an equal share of the time, so that one that drops packets leaves some."""
    give_up_at = time.monotonic() + exchange.left(app_settings.CONNECT_TIMEOUT_SECONDS)
    failure: OSError | None = None
    for tried, address in enumerate(addresses):
        share = (give_up_at - time.monotonic()) / (len(addresses) - tried)
        if share <= 0.0:
            break
        sock = TimedSocket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
        sock.exchange = exchange
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.settimeout(share)
            sock.connect((address, port))
        except OSError as error:
            sock.close()
            failure = error
        else:
            return sock
    raise failure or TimeoutError("no time left to connect")


def _tunnel(proxy: Proxy, address: str, port: int, exchange: Exchange) -> TimedSocket:
    """Return a socket through the proxy to a checked address; raise `ProxyFailure` if it opens no tunnel."""
    target = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    lines = [f"CONNECT {target} HTTP/1.1", f"host: {target}"]
    if proxy.authorization:
        lines.append(f"proxy-authorization: {proxy.authorization}")
    try:
        own = addresses_of(proxy.host, proxy.port, seconds=exchange.left())
        sock = _connected(own, proxy.port, exchange)
    except OSError as error:
        raise ProxyFailure("no connection") from error
    answer = http.client.HTTPResponse(sock, method="CONNECT")
    try:
        sock.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))
        answer.begin()
        problem = "" if 200 <= answer.status < 300 else f"status {answer.status}"
    except (OSError, http.client.HTTPException):
        problem = "no answer"
    finally:
        answer.close()
    if problem:
        sock.close()
        raise ProxyFailure(problem)
    # The beginning of the receiver's answer is yet to come.
    exchange.answered = None
    return sock


class WebhookAdapter(BaseAdapter):
    """Sends prepared requests, whose headers are final, and keeps up to `CONNECTIONS_LIMIT` idle connections. Thread-safe.

    Do not share it with a forked process.
    """

    def __init__(self) -> None:
        super().__init__()
        # One for all connections: reading the bundle again takes longer than the handshake.
        self._tls = ssl.create_default_context(cafile=DEFAULT_CA_BUNDLE_PATH)
        self._tls.sslsocket_class = TimedTLSSocket
        # The one that was used last comes last.
        self._idle: list[_Connection] = []
        self._lock = threading.Lock()

    def send(self, request: PreparedRequest, *, timeout: Exchange, **_options: Any) -> RequestsResponse:  # type: ignore[override]
        """Send a request under the deadline of the exchange ``timeout``. The answer's content has at most ``RESPONSE_LIMIT_BYTES`` + 1 bytes.

        A kept connection that the receiver has closed by then is replaced once by a new one.
        """
        safe = urls.split_url(request.url or "")
        timeout.secure = safe.scheme == "https"
        lines = [f"{request.method} {safe.target} HTTP/1.1"]
        lines += [f"{name}: {value}".rstrip() for name, value in request.headers.items()]
        # Head and body in one piece: two would wake the receiver twice.
        data = "\r\n".join([*lines, "", ""]).encode("latin-1") + (request.body or b"")  # type: ignore[operator]
        if kept := self._take(safe):
            try:
                return self._exchange(kept, request, data, timeout)
            except (OSError, http.client.HTTPException) as error:
                if timeout.answered is not None or not errors.is_disconnect(error):
                    raise
            timeout.ended = False
        return self._exchange(_Connection(safe, self._tls), request, data, timeout)

    def close(self) -> None:
        """Close every idle connection."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _exchange(
        self, connection: _Connection, request: PreparedRequest, data: bytes, exchange: Exchange
    ) -> RequestsResponse:
        try:
            connection.send(data, exchange)
            answer = connection.receive(request.method or "")
        except BaseException:
            connection.close()
            raise
        with self._lock:
            self._idle += [connection] if connection.sock else []
            surplus, self._idle = self._idle[:-CONNECTIONS_LIMIT], self._idle[-CONNECTIONS_LIMIT:]
        for one in surplus:
            one.close()
        return answer

    def _take(self, safe: SafeURL) -> _Connection | None:
        """Return the usable connection to this origin that was used last."""
        with self._lock:
            kept = next((one for one in reversed(self._idle) if one.safe.origin == safe.origin), None)
            if kept is None:
                return None
            self._idle.remove(kept)
        if kept.is_usable():
            return kept
        kept.close()
        return None


class _Session(Session):
    """A session of `requests` that does not look at the target of a redirect, which nothing follows."""

    def get_redirect_target(self, resp: object) -> None:
        return None


class Client:
    """Sends requests over connections that are kept per receiver.

    Threads may share a client. A forked process may not: create the client after the fork.
    """

    def __init__(self) -> None:
        self._session = _Session()
        adapter = WebhookAdapter()
        for scheme in urls.DEFAULT_PORTS:
            self._session.mount(f"{scheme}://", adapter)

    def send(self, request: Request) -> Response:
        """Send a request and return the answer, whatever its status.

        Raises `DeliveryError` if the answer is not complete within the deadline.
        """
        exchange = Exchange(request.deadline)
        prepared, host = PreparedRequest(), ""
        try:
            safe = urls.split_url(request.url)
            host = safe.host
            prepared.method, prepared.url, prepared.body = request.method, safe.url, request.body
            prepared.headers = final_headers(request, safe)  # type: ignore[assignment]
            answer = self._session.send(prepared, timeout=exchange, proxies={}, allow_redirects=False)  # type: ignore[arg-type]
        except (OSError, http.client.HTTPException, UnsafeURL) as error:
            raise errors.as_delivery_error(error, host=host, timing=exchange.timing(time.monotonic())) from error
        limit = app_settings.RESPONSE_LIMIT_BYTES
        return Response(
            answer.status_code,
            answer.headers,
            answer.content[:limit],
            truncated=len(answer.content) > limit,
            timing=exchange.timing(time.monotonic()),
        )

    def close(self) -> None:
        """Close every kept connection. A request sent later opens a new one."""
        self._session.close()


class ThreadTransport:
    """Sends each request in a thread of its pool of at most `THREADS`, and starts them as needed."""

    def __init__(self, client: Client | None = None) -> None:
        self.capacity = min(app_settings.SENDER_SLOTS, THREADS)
        self._client = client or Client()
        self._pool = ThreadPoolExecutor(max_workers=self.capacity, thread_name_prefix="webhook-sender")
        self._answers: ThreadQueue[Answer] = ThreadQueue()

    def start(self, request: Request, key: Any) -> None:
        self._pool.submit(self._send, request, key)

    def collect(self) -> Sequence[Answer]:
        """Return the answers that the threads have left."""
        return self._answers.take()

    def fileno(self) -> int:
        return self._answers.fileno()

    def timeout(self) -> float:
        return math.inf  # the threads keep the deadlines

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)
        self._client.close()
        self._answers.close()

    def _send(self, request: Request, key: Any) -> None:
        begun_at = time.monotonic()
        result: Response | DeliveryError
        try:
            result = self._client.send(request)
        except Exception as error:
            result = errors.as_delivery_error(error)
        self._answers.put(Answer(key, result, time.monotonic() - begun_at))
