"""Connections of urllib3 that connect to checked addresses only, and keep one deadline per exchange; the idle ones."""

from __future__ import annotations

import http.client
import re
import socket
import ssl
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from urllib3 import HTTPHeaderDict, HTTPResponse
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NameResolutionError, NewConnectionError

from tms_webhooks.exceptions import UnreachableHost
from tms_webhooks.net import urls
from tms_webhooks.net.deadline import Exchange, TimedSocket
from tms_webhooks.net.proxy import Proxy, ProxyFailure, configured_proxy, tunnel_address
from tms_webhooks.net.resolver import Resolver, addresses_of, system_resolver
from tms_webhooks.net.transports.base import IDLE_LIMIT, LINE_LIMIT
from tms_webhooks.net.urls import Origin, SafeURL

ORIGINS_LIMIT = 256
"""Number of origins with idle connections. Each connection is an open file, and a process may have about 1,000."""
INTERIM_LIMIT = 100
"""Number of interim answers that are read past."""

if TYPE_CHECKING:
    _Connection = HTTPConnection
else:
    _Connection = object


class _FinalResponse(http.client.HTTPResponse):
    """A response that reads past interim answers, such as 103: the final one follows on the same connection."""

    def begin(self) -> None:
        super().begin()
        interim = 0
        while self.status < 200 and self.status != http.HTTPStatus.SWITCHING_PROTOCOLS:
            interim += 1
            if interim > INTERIM_LIMIT:
                raise http.client.HTTPException("too many interim answers")
            # Without headers, it begins again, and keeps what it has read ahead.
            self.headers = self.msg = None  # type: ignore[assignment]
            super().begin()


class _Guarded(_Connection):
    """Mixin for a connection class: resolves once, checks every address, and connects to one of the checked addresses.

    ``host`` stays the name, so the ``Host`` header, SNI and the certificate check use the name.
    """

    response_class = _FinalResponse

    origin: Origin
    sock: Any
    exchange: Exchange
    used_at: float = 0.0

    def __init__(self, *args: Any, resolve: Resolver, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.resolve = resolve
        self.method = ""
        self.held: list[bytes] | None = None

    def request(  # type: ignore[override]
        self,
        method: str,
        url: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        **kwargs: Any,
    ) -> None:
        """Write a request with final headers: head and body in one piece.

        Two pieces would cost a second system call and wake the receiver twice.
        """
        self.method = method
        self.held = []
        try:
            self.putrequest(method, url, skip_host=True, skip_accept_encoding=True)
            self.endheaders()
        finally:
            request_line, self.held = b"".join(self.held)[: -len(b"\r\n")], None
        lines = "".join(f"{name}: {value}".rstrip() + "\r\n" for name, value in (headers or {}).items())
        self.send(b"%b%b\r\n%b" % (request_line, lines.encode("latin-1"), body or b""))

    def send(self, data: Any) -> None:
        """Write to the socket, after connecting if necessary. While the request line is built, collect the data instead."""
        if self.held is None:
            super().send(data)
        else:
            self.held.append(data)

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]
        """Read status and headers of the answer.

        urllib3's own method also logs the URL of an answer with malformed headers, and the URL may hold a secret.
        """
        answer = http.client.HTTPConnection.getresponse(self)
        if self.exchange.ended:
            # http.client takes a connection that breaks inside the headers for the end of the headers.
            answer.close()
            raise http.client.IncompleteRead(b"")
        try:
            return HTTPResponse(
                body=answer,
                headers=HTTPHeaderDict(answer.msg.items()),
                status=answer.status,
                version=answer.version,
                reason=answer.reason,
                preload_content=False,
                decode_content=False,
                original_response=answer,
                request_method=self.method,
            )
        except HTTPError:
            # Two lengths, for example.
            answer.close()
            raise

    def begin(self, exchange: Exchange) -> None:
        """Prepare for an exchange: close a connection that is of no use for it, and give the socket the new deadline."""
        now = time.monotonic()
        if self.sock is not None and (exchange.fresh or now - self.used_at > IDLE_LIMIT or not self.is_connected):
            self.close()
        self.used_at = now
        self.exchange = exchange
        if self.sock is not None:
            exchange.reused = True
            exchange.marks.ready = now
            self.sock.exchange = exchange

    def connect(self) -> None:
        super().connect()
        self.sock.exchange = self.exchange
        self.exchange.marks.ready = time.monotonic()

    def _new_conn(self) -> socket.socket:
        try:
            addresses = addresses_of(self.host, self.port, resolve=self.resolve, seconds=self.exchange.left())
            urls.vet(self.host, addresses)
            self.exchange.marks.resolved = time.monotonic()
            proxy = configured_proxy()
            sock = self._connect_to_one_of(addresses) if proxy is None else self._open_tunnel(proxy, addresses)
            self.exchange.marks.connected = time.monotonic()
        except ProxyFailure:
            raise
        except socket.gaierror as error:
            raise NameResolutionError(self.host, self, error) from error
        except TimeoutError as error:
            raise ConnectTimeoutError(self, f"{self.host}: no connection in time") from error
        except (OSError, UnreachableHost) as error:
            raise NewConnectionError(self, f"{self.host}: no connection") from error
        sys.audit("http.client.connect", self, self.host, self.port)
        return sock

    def _open_tunnel(self, proxy: Proxy, addresses: Sequence[str]) -> TimedSocket:
        """Return a socket through the proxy to a checked address; raise `ProxyFailure` if it opens no tunnel."""
        address = tunnel_address(addresses)
        try:
            own = addresses_of(proxy.host, proxy.port, resolve=system_resolver, seconds=self.exchange.left())
            sock = self._connect_to_one_of(own, port=proxy.port)
        except OSError as error:
            raise ProxyFailure("no connection") from error
        target = f"[{address}]:{self.port}" if ":" in address else f"{address}:{self.port}"
        lines = [f"CONNECT {target} HTTP/1.1", f"host: {target}"]
        if proxy.authorization:
            lines.append(f"proxy-authorization: {proxy.authorization}")
        try:
            sock.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))
            status = _status_of_tunnel(sock)
        except (OSError, http.client.HTTPException) as error:
            sock.close()
            raise ProxyFailure("no answer") from error
        if not 200 <= status < 300:
            sock.close()
            raise ProxyFailure(f"status {status}")
        # What counts as the beginning of the answer is yet to come.
        self.exchange.answered = False
        self.exchange.marks.answered = None
        return sock

    def _connect_to_one_of(self, addresses: Sequence[str], *, port: int | None = None) -> TimedSocket:
        give_up_at = time.monotonic() + self.exchange.left(self.exchange.connect_timeout)
        failure: OSError | None = None
        for tried, address in enumerate(addresses):
            # An equal share of the time for each: an address that drops packets leaves time for the next one.
            share = (give_up_at - time.monotonic()) / (len(addresses) - tried)
            if share <= 0.0:
                break
            try:
                return self._connect_to(address, port or self.port, seconds=share)
            except OSError as error:
                failure = error
        raise failure or TimeoutError("no time left to connect")

    def _connect_to(self, address: str, port: int, *, seconds: float) -> TimedSocket:
        sock = TimedSocket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
        try:
            for option in self.socket_options or ():
                sock.setsockopt(*option)
            sock.settimeout(seconds)
            sock.connect((address, port))
            # The TLS handshake runs under this timeout, as a whole.
            sock.settimeout(self.exchange.left(self.exchange.connect_timeout))
        except BaseException:
            sock.close()
            raise
        sock.exchange = self.exchange
        return sock


def _status_of_tunnel(sock: TimedSocket) -> int:
    """Read the head of the proxy's answer, byte by byte: the bytes after it are the receiver's. Return its status."""
    head = bytearray()
    byte = bytearray(1)
    while not head.endswith(b"\r\n\r\n"):
        if not sock.recv_into(byte) or len(head) > LINE_LIMIT:
            raise http.client.RemoteDisconnected("no whole answer")
        head += byte
    found = re.match(rb"HTTP/1\.[01] ([0-9]{3})\b", head)
    if found is None:
        raise http.client.BadStatusLine("")
    return int(found[1])


class GuardedHTTPConnection(_Guarded, HTTPConnection):
    """An unencrypted connection to a checked address."""


class GuardedHTTPSConnection(_Guarded, HTTPSConnection):
    """An encrypted connection to a checked address."""


GuardedConnection = GuardedHTTPConnection | GuardedHTTPSConnection


class ConnectionPool:
    """The idle connections, up to ``size`` for each origin. Thread-safe."""

    def __init__(self, *, size: int, resolve: Resolver, ssl_context: ssl.SSLContext) -> None:
        self._size = size
        self._resolve = resolve
        self._ssl_context = ssl_context
        self._idle: OrderedDict[Origin, list[GuardedConnection]] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, target: SafeURL) -> GuardedConnection:
        """Return the connection to this origin that was used last, or one that is not connected yet."""
        origin = target.origin
        with self._lock:
            idle = self._idle.get(origin)
            if idle:
                return idle.pop()
        connection: GuardedConnection
        if target.scheme == "https":
            connection = GuardedHTTPSConnection(
                target.host, target.port, resolve=self._resolve, ssl_context=self._ssl_context
            )
        else:
            connection = GuardedHTTPConnection(target.host, target.port, resolve=self._resolve)
        connection.origin = origin
        return connection

    def give_back(self, connection: GuardedConnection) -> None:
        """Keep a connection for the next exchange. Close those of the origin that was used least recently."""
        if connection.sock is None:
            return
        surplus: list[GuardedConnection] = []
        with self._lock:
            idle = self._idle.setdefault(connection.origin, [])
            self._idle.move_to_end(connection.origin)
            (idle if len(idle) < self._size else surplus).append(connection)
            if len(self._idle) > ORIGINS_LIMIT:
                surplus += self._idle.popitem(last=False)[1]
        for one in surplus:
            one.close()

    def close(self) -> None:
        """Close every idle connection."""
        with self._lock:
            idle = [connection for connections in self._idle.values() for connection in connections]
            self._idle.clear()
        for connection in idle:
            connection.close()
