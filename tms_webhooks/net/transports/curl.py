"""The transport of libcurl: one thread has a thousand exchanges in flight, for a tenth of the CPU time of `requests`.

Create it after a fork, in the thread that uses it. libcurl does not resolve names. Threads of this module do, so that all
addresses of a name are checked before one of them is connected.
"""

from __future__ import annotations

import contextlib
import http
import math
import os
import re
import resource
import selectors
import socket
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

import pycurl
from requests.utils import DEFAULT_CA_BUNDLE_PATH

from tms_webhooks.choices import ErrorClass
from tms_webhooks.conf import app_settings
from tms_webhooks.exceptions import ConfigurationError, DeliveryError
from tms_webhooks.net import errors, urls
from tms_webhooks.net.deadline import acknowledge_at_once
from tms_webhooks.net.resolver import Resolver, is_literal, start_lookup, system_resolver
from tms_webhooks.net.timing import Marks, Timing
from tms_webhooks.net.transports.base import (
    BODILESS_METHODS,
    HEADERS_LIMIT,
    IDLE_LIMIT,
    LINE_LIMIT,
    Answer,
    Request,
    Response,
    final_headers,
)
from tms_webhooks.net.urls import SafeURL

RESOLUTION_LIMIT = 30.0
"""Seconds for which the addresses of a name are used for new connections."""
TARGETS_LIMIT = 4096
"""Number of origins whose addresses are kept."""
ATTEMPT_DELAY = 0.2
"""Seconds after which the next address is tried, too, while the one before has not answered."""
SILENCE_INTERVAL = 0.05
"""Seconds between two searches for exchanges whose receiver is silent."""
SPARE_FILES = 128
"""Open files that are left to the rest of the process."""
LARGE_BODY = 16_384
"""Bytes. A larger body is not kept in memory until the next request."""

HAPPY_EYEBALLS_TIMEOUT_MS = 271
"""The number of an option of libcurl that pycurl has no name for."""

_OPTIONS: Sequence[tuple[int, Any]] = (
    (pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS),
    (pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1),
    (pycurl.FOLLOWLOCATION, 0),
    (pycurl.NETRC, pycurl.NETRC_IGNORED),
    (pycurl.NOSIGNAL, 1),
    (pycurl.SSL_VERIFYPEER, 1),
    (pycurl.SSL_VERIFYHOST, 2),
    (pycurl.SSLVERSION, pycurl.SSLVERSION_TLSv1_2),
    # Against the proxies of the environment.
    (pycurl.PROXY, ""),
    (pycurl.NOPROXY, "*"),
)

# Without these, libcurl adds headers of its own, and writes "Host" instead of "host".
_NO_OTHER_HEADERS = [b"Host:", b"User-Agent:", b"Accept:", b"Content-Type:", b"Expect:"]

_CLASSES: Mapping[int, ErrorClass] = {
    pycurl.E_COULDNT_RESOLVE_HOST: ErrorClass.DNS_ERROR,
    pycurl.E_OPERATION_TIMEDOUT: ErrorClass.TIMEOUT,
    pycurl.E_SSL_CONNECT_ERROR: ErrorClass.TLS_ERROR,
    pycurl.E_PEER_FAILED_VERIFICATION: ErrorClass.TLS_ERROR,
    pycurl.E_SSL_CIPHER: ErrorClass.TLS_ERROR,
    pycurl.E_GOT_NOTHING: ErrorClass.CONNECTION_RESET,
    pycurl.E_PARTIAL_FILE: ErrorClass.CONNECTION_RESET,
    pycurl.E_RECV_ERROR: ErrorClass.CONNECTION_RESET,
    pycurl.E_SEND_ERROR: ErrorClass.CONNECTION_RESET,
}
_ERRNO_CODES = frozenset({pycurl.E_COULDNT_CONNECT, pycurl.E_SSL_CONNECT_ERROR})
"""Errors whose class is that of the operating system's error, if there is one."""

_NO_HTTP = frozenset({pycurl.E_UNSUPPORTED_PROTOCOL, pycurl.E_FTP_WEIRD_SERVER_REPLY})
_HEAD_BYTES = 300_000
"""libcurl reads no more of the heads of one answer."""

_VERIFY_PROBLEM = re.compile(r"(?:SSL certificate problem|verify result): ([A-Za-z ,'-]+)")


class _Target:
    """An origin and its checked addresses."""

    __slots__ = ("addresses", "attempt_delay", "expires_at", "resolve", "url")

    def __init__(self, safe: SafeURL, addresses: Sequence[str], now: float) -> None:
        self.url = safe.url.removesuffix(safe.target) + "/"
        self.addresses = frozenset(addresses)
        self.expires_at = now + RESOLUTION_LIMIT
        # The plus: libcurl forgets the entry after a minute. A literal address is in no need of it.
        listed = ",".join(f"[{address}]" if ":" in address else address for address in addresses)
        self.resolve = () if is_literal(safe.host) else (f"+{safe.host}:{safe.port}:{listed}",)
        # All addresses have their turn within nine tenths of the time to connect.
        share = 0.9 * app_settings.CONNECT_TIMEOUT / len(addresses)
        self.attempt_delay = max(1, int(min(ATTEMPT_DELAY, share) * 1000))


class _Socket:
    """A socket of libcurl that the selector watches. It is idle while no exchange uses it."""

    __slots__ = ("events", "idle", "inode", "number")

    def __init__(self, number: int, events: int) -> None:
        self.number = number
        self.events = events
        self.idle = False
        self.inode = os.fstat(number).st_ino

    def is_open(self) -> bool:
        """Return True unless libcurl has closed it, even if another file has its number now."""
        try:
            return os.fstat(self.number).st_ino == self.inode
        except OSError:
            return False


class _Exchange:
    """One request that is waiting for its addresses or in flight."""

    __slots__ = ("deadline_at", "headers", "key", "request", "resolved_at", "safe", "started_at")

    def __init__(self, request: Request, key: Any, safe: SafeURL, started_at: float) -> None:
        self.request = request
        self.key = key
        self.safe = safe
        self.headers = _curl_headers(request, safe)
        self.started_at = started_at
        self.resolved_at = started_at
        self.deadline_at = started_at + request.deadline


class _Handle:
    """One easy handle of libcurl and the answer that it receives. It serves one exchange after the other."""

    __slots__ = (
        "begun_at",
        "body",
        "easy",
        "exchange",
        "heard_at",
        "limit",
        "lines",
        "method",
        "opened",
        "target",
        "truncated",
    )

    exchange: _Exchange
    target: _Target

    def __init__(self, cafile: str, *, opened: Callable[[int], None]) -> None:
        self.opened = opened
        self.method = ""
        self.begun_at = self.heard_at = 0.0
        self.limit = 0
        self.truncated = False
        self.body = bytearray()
        # The last lines only: a longer head loses its status line here, and is refused.
        self.lines: deque[bytes] = deque(maxlen=HEADERS_LIMIT + 2)
        self.easy = pycurl.Curl()
        for option, value in _OPTIONS:
            self.easy.setopt(option, value)
        self.easy.setopt(pycurl.MAXAGE_CONN, int(IDLE_LIMIT))
        self.easy.setopt(pycurl.CAINFO, cafile)
        self.easy.setopt(pycurl.HEADERFUNCTION, self.lines.append)
        self.easy.setopt(pycurl.WRITEFUNCTION, self._write)
        self.easy.setopt(pycurl.OPENSOCKETFUNCTION, self._open_socket)

    def prepare(self, exchange: _Exchange, target: _Target, now: float) -> None:
        """Set the options of one exchange."""
        self.exchange, self.target = exchange, target
        self.begun_at = self.heard_at = now
        self.limit = app_settings.RESPONSE_LIMIT
        self.truncated = False
        self.body.clear()
        self.lines.clear()
        setopt = self.easy.setopt
        setopt(pycurl.URL, target.url)
        # Byte for byte, whatever libcurl would make of the URL.
        setopt(pycurl.REQUEST_TARGET, exchange.safe.target)
        setopt(pycurl.HTTPHEADER, exchange.headers)
        self._set_body(exchange.request)
        setopt(pycurl.TIMEOUT_MS, _milliseconds(exchange.deadline_at - now))
        setopt(pycurl.CONNECTTIMEOUT_MS, _milliseconds(app_settings.CONNECT_TIMEOUT))
        if target.resolve:
            setopt(pycurl.RESOLVE, target.resolve)
            setopt(HAPPY_EYEBALLS_TIMEOUT_MS, target.attempt_delay)

    def silent_until(self, now: float) -> float:
        """Return the time at which the receiver has been silent for too long, if nothing more arrives."""
        ready, answered = self.easy.getinfo(pycurl.PRETRANSFER_TIME), self.easy.getinfo(pycurl.STARTTRANSFER_TIME)
        # While it connects, the timeout is another one.
        heard_at = max(self.heard_at, self.begun_at + max(ready, answered)) if ready else now
        return heard_at + app_settings.READ_TIMEOUT

    def release(self) -> None:
        """Forget the exchange."""
        if len(self.exchange.request.body) > LARGE_BODY:
            self.easy.setopt(pycurl.POSTFIELDS, b"")
        del self.exchange, self.target

    def _set_body(self, request: Request) -> None:
        setopt = self.easy.setopt
        if self.method == "HEAD":
            setopt(pycurl.NOBODY, 0)
        if request.method == "HEAD":
            setopt(pycurl.NOBODY, 1)
        elif request.body or request.method not in BODILESS_METHODS:
            setopt(pycurl.POSTFIELDS, request.body)
        else:
            setopt(pycurl.HTTPGET, 1)
        if request.method != self.method:
            setopt(pycurl.CUSTOMREQUEST, request.method)
            self.method = request.method

    def _write(self, data: bytes) -> int:
        """Keep a piece of the body. A return value other than its length ends the transfer."""
        self.heard_at = time.monotonic()
        room = self.limit - len(self.body)
        if len(data) <= room:
            self.body += data
            return len(data)
        self.body += data[:room]
        self.truncated = True
        return 0

    def _open_socket(self, _purpose: int, address: Any) -> Any:
        """Return a new socket for an address, if it is one of those that were checked."""
        if address.addr[0] not in self.target.addresses:
            return pycurl.SOCKET_BAD
        try:
            number = socket.socket(address.family, address.socktype, address.protocol).detach()
        except OSError:
            return pycurl.SOCKET_BAD
        self.opened(number)
        return number


class CurlTransport:
    """Sends requests with libcurl's multi interface over kept connections, ``SENDER_SLOTS`` at a time.

    ``resolve`` and ``cafile``, the file of trusted authorities, are for tests.
    """

    def __init__(self, *, resolve: Resolver = system_resolver, cafile: str = DEFAULT_CA_BUNDLE_PATH) -> None:
        if not os.access(cafile, os.R_OK):
            raise ConfigurationError(f"The file of trusted certificate authorities can't be read: {cafile}.")
        self.capacity = _capacity()
        self._resolve = resolve
        self._cafile = cafile
        self._targets: dict[tuple[str, int], _Target] = {}
        # Exchanges that wait for the addresses of an origin, and the time at which the first of them gives up.
        self._lookups: dict[tuple[str, int], list[_Exchange]] = {}
        self._lookups_until = math.inf
        self._resolved: deque[tuple[tuple[str, int], Future[Sequence[str]]]] = deque()
        self._idle: list[_Handle] = []
        self._in_flight: dict[pycurl.Curl, _Handle] = {}
        self._ended: list[Answer] = []
        self._timer_at = math.inf
        # The next time to look for exchanges whose receiver is silent.
        self._silence_until = math.inf
        self._sockets: dict[int, _Socket] = {}
        self._selector = selectors.DefaultSelector()
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        self._selector.register(self._reader, selectors.EVENT_READ)
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._watch)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._set_timer)
        self._multi.setopt(pycurl.M_PIPELINING, 0)
        self._multi.setopt(pycurl.M_MAXCONNECTS, self.capacity)
        self._multi.setopt(pycurl.M_MAX_TOTAL_CONNECTIONS, self.capacity)

    def start(self, request: Request, key: Any) -> None:
        """Begin an exchange, over a kept connection or as soon as the addresses are known."""
        now = time.monotonic()
        host = ""
        try:
            safe = urls.split_url(request.url)
            host = safe.host
            exchange = _Exchange(request, key, safe, now)
            target = self._targets.get((safe.host, safe.port))
            if target is None or target.expires_at <= now:
                if not is_literal(safe.host):
                    self._look_up(exchange)
                    return
                target = self._new_target(safe, (safe.host,), now)
            self._begin(exchange, target, now)
        except Exception as error:
            failure = errors.as_delivery_error(error, host=host, timing=Timing())
            self._ended.append(Answer(key, failure, time.monotonic() - now))

    def collect(self) -> Sequence[Answer]:
        """Let libcurl read and write what it can, and return the answers of the exchanges that have ended."""
        for key, events in self._selector.select(0):
            if key.fileobj is self._reader:
                self._begin_resolved()
                continue
            sock = key.data
            if sock.idle:
                self._drop_idle(sock)
                continue
            # The numbers of the events are libcurl's, too.
            self._multi.socket_action(key.fd, events)
            if not sock.idle and sock.events & selectors.EVENT_READ:
                # More of the answer is to come.
                with _borrowed(key.fd) as connection:
                    acknowledge_at_once(connection)
        now = time.monotonic()
        if self._timer_at <= now:
            self._timer_at = math.inf
            self._multi.socket_action(pycurl.SOCKET_TIMEOUT, 0)
        if self._lookups_until <= now:
            self._end_late_lookups(now)
        self._read_messages()
        if self._silence_until <= now:
            self._end_silent(now)
        ended, self._ended = self._ended, []
        return ended

    def fileno(self) -> int:
        """Return the selector of libcurl's sockets and of the lookups, which is itself a file to select on."""
        return self._selector.fileno()  # type: ignore[attr-defined, no-any-return]

    def timeout(self) -> float | None:
        """Return the seconds until the next timeout, of libcurl or of this class."""
        if self._ended:
            return 0.0
        until = min(self._timer_at, self._lookups_until, self._silence_until)
        return None if until == math.inf else max(0.0, until - time.monotonic())

    def close(self) -> None:
        """Drop every exchange, and close every connection."""
        for easy in self._in_flight:
            self._multi.remove_handle(easy)
        # Before the handles: its connections call back to them.
        self._multi.close()
        for handle in (*self._in_flight.values(), *self._idle):
            handle.easy.close()
        self._in_flight.clear()
        self._idle.clear()
        self._lookups.clear()
        self._selector.close()
        self._reader.close()
        self._writer.close()

    def _begin(self, exchange: _Exchange, target: _Target, now: float) -> None:
        if exchange.deadline_at <= now:
            raise TimeoutError("the deadline has passed")
        handle = self._idle.pop() if self._idle else _Handle(self._cafile, opened=self._forget)
        handle.prepare(exchange, target, now)
        self._multi.add_handle(handle.easy)
        self._in_flight[handle.easy] = handle
        self._silence_until = min(self._silence_until, now + app_settings.READ_TIMEOUT)

    def _new_target(self, safe: SafeURL, addresses: Sequence[str], now: float) -> _Target:
        """Check the addresses of an origin, and keep them. Raise `BlockedAddress` if any of them is refused."""
        urls.vet(safe.host, addresses)
        if len(self._targets) >= TARGETS_LIMIT:
            self._targets.clear()
        target = self._targets[safe.host, safe.port] = _Target(safe, addresses, now)
        return target

    def _look_up(self, exchange: _Exchange) -> None:
        """Wait for the addresses of a name: of the lookup that is in progress, or of a new one."""
        origin = (exchange.safe.host, exchange.safe.port)
        if origin not in self._lookups:
            future = start_lookup(*origin, resolve=self._resolve)
            future.add_done_callback(lambda future: self._hand_over(origin, future))
        self._lookups.setdefault(origin, []).append(exchange)
        self._lookups_until = min(self._lookups_until, exchange.deadline_at)

    def _hand_over(self, origin: tuple[str, int], future: Future[Sequence[str]]) -> None:
        """Leave the end of a lookup for `collect`. Runs in the thread of the lookup."""
        self._resolved.append((origin, future))
        # A full buffer is readable already; a closed socket belongs to a closed transport.
        with contextlib.suppress(OSError):
            self._writer.send(b"1")

    def _begin_resolved(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._reader.recv(4096)
        while self._resolved:
            origin, future = self._resolved.popleft()
            now = time.monotonic()
            target: _Target | None = None
            for exchange in self._lookups.pop(origin, ()):
                exchange.resolved_at = now
                try:
                    target = target or self._new_target(exchange.safe, future.result(), now)
                    self._begin(exchange, target, now)
                except Exception as error:
                    self._end_before_connection(exchange, error, now)

    def _end_late_lookups(self, now: float) -> None:
        self._lookups_until = math.inf
        for origin, waiting in self._lookups.items():
            late = [exchange for exchange in waiting if exchange.deadline_at <= now]
            for exchange in late:
                self._end_before_connection(exchange, TimeoutError("no address in time"), now)
            self._lookups[origin] = waiting = [exchange for exchange in waiting if exchange.deadline_at > now]
            self._lookups_until = min([self._lookups_until, *(exchange.deadline_at for exchange in waiting)])

    def _end_silent(self, now: float) -> None:
        """End the exchanges whose receiver has been silent for too long."""
        self._silence_until = math.inf
        for easy, handle in list(self._in_flight.items()):
            until = handle.silent_until(now)
            if until <= now:
                self._end(easy, pycurl.E_OPERATION_TIMEDOUT, "")
            else:
                self._silence_until = min(self._silence_until, max(until, now + SILENCE_INTERVAL))

    def _end_before_connection(self, exchange: _Exchange, error: Exception, now: float) -> None:
        seconds = now - exchange.started_at
        failure = errors.as_delivery_error(error, host=exchange.safe.host, timing=Timing(dns=seconds))
        self._ended.append(Answer(exchange.key, failure, seconds))

    def _read_messages(self) -> None:
        """Take the ended exchanges from libcurl."""
        left = 1
        while left:
            left, succeeded, failed = self._multi.info_read()
            for easy in succeeded:
                self._end(easy, pycurl.E_OK, "")
            for easy, code, text in failed:
                self._end(easy, code, text)

    def _end(self, easy: pycurl.Curl, code: int, text: str) -> None:
        handle = self._in_flight.pop(easy)
        exchange = handle.exchange
        seconds = time.monotonic() - exchange.started_at
        result = _result_of(handle, code, text, seconds)
        if isinstance(result, DeliveryError):
            # It may have moved.
            self._targets.pop((exchange.safe.host, exchange.safe.port), None)
        self._multi.remove_handle(easy)
        handle.release()
        self._idle.append(handle)
        self._ended.append(Answer(exchange.key, result, seconds))

    def _watch(self, events: int, number: int, _multi: object, _data: object) -> None:
        """Watch a socket for these events. Of an idle one, libcurl wants no events, but it is watched all the same."""
        idle = events == pycurl.POLL_REMOVE
        if idle:
            events = selectors.EVENT_READ
        sock = self._sockets.get(number)
        if sock is None:
            if idle:
                return
            sock = self._sockets[number] = _Socket(number, events)
            self._selector.register(number, events, sock)
        elif sock.events != events:
            sock.events = events
            self._selector.modify(number, events, sock)
        sock.idle = idle

    def _drop_idle(self, sock: _Socket) -> None:
        """End an idle connection on which something has arrived: the end, or an answer that no request asked for.

        libcurl may not look before it uses a connection again. It would take the answer for that of the next request.
        """
        self._forget(sock.number)
        if sock.is_open():
            with contextlib.suppress(OSError), _borrowed(sock.number) as connection:
                connection.shutdown(socket.SHUT_RDWR)

    def _forget(self, number: int) -> None:
        """Watch a socket no longer. A new one may have the number of one that libcurl has closed."""
        if self._sockets.pop(number, None) is not None:
            self._selector.unregister(number)

    def _set_timer(self, milliseconds: int) -> None:
        self._timer_at = math.inf if milliseconds < 0 else time.monotonic() + milliseconds / 1000


def _capacity() -> int:
    """Return the number of exchanges that may be in flight: ``SENDER_SLOTS``, or what the limit of open files allows."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return app_settings.SENDER_SLOTS if files < 0 else max(1, min(app_settings.SENDER_SLOTS, files - SPARE_FILES))


def _milliseconds(seconds: float) -> int:
    # For libcurl, 0 is no limit.
    return max(1, round(seconds * 1000))


def _curl_headers(request: Request, safe: SafeURL) -> list[bytes]:
    # A header without a value has a semicolon in libcurl's notation.
    return _NO_OTHER_HEADERS + [
        (f"{name}: {value}" if value else f"{name};").encode("latin-1")
        for name, value in final_headers(request, safe).items()
    ]


@contextlib.contextmanager
def _borrowed(number: int) -> Iterator[socket.socket]:
    """Lend a socket of libcurl as an object, which does not close it."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0, fileno=number)
    try:
        yield sock
    finally:
        sock.detach()


def _result_of(handle: _Handle, code: int, text: str, seconds: float) -> Response | DeliveryError:
    timing = _timing_of(handle, seconds)
    details = ""
    if code == pycurl.E_OK or handle.truncated:
        status = handle.easy.getinfo(pycurl.RESPONSE_CODE)
        headers, complete = _read_head(handle.lines)
        if headers is None:
            error_class, details = ErrorClass.OTHER, errors.HEAD_TOO_LONG
        elif not complete or (status < 200 and status != http.HTTPStatus.SWITCHING_PROTOCOLS):
            error_class = ErrorClass.CONNECTION_RESET
        else:
            return Response(status, headers, bytes(handle.body), handle.truncated, seconds, timing)
    else:
        error_class, details = _explain(handle.easy, code, text, host=handle.exchange.safe.host)
    message = errors.message(handle.exchange.safe.host, error_class, details)
    return DeliveryError(message, error_class=error_class, timing=timing)


def _read_head(lines: Sequence[bytes]) -> tuple[Mapping[str, str] | None, bool]:
    """Return the headers of the last head among these lines, and whether it is complete.

    The headers are None if a line is too long, or if there are too many, so that the first is missing.
    """
    headers: dict[str, str] | None = None
    name = ""
    inside = False
    for raw in lines:
        if len(raw) > LINE_LIMIT:
            return None, False
        line = raw.decode("latin-1").rstrip("\r\n")
        if not inside:
            # The lines after a head are trailers, unless another head begins.
            if line.startswith("HTTP/"):
                inside, headers, name = True, {}, ""
        elif headers is None or not line:
            inside = False
        elif line[0] in " \t" and name:
            headers[name] = f"{headers[name]} {line.strip()}"
        else:
            first, _, value = line.partition(":")
            name = first.strip().lower()
            headers[name] = f"{headers[name]}, {value.strip()}" if name in headers else value.strip()
    return headers, not inside


def _explain(easy: pycurl.Curl, code: int, text: str, *, host: str) -> tuple[ErrorClass, str]:
    """Return the class and the details of an error. The details hold no text of the receiver."""
    number = easy.getinfo(pycurl.OS_ERRNO)
    if code in _ERRNO_CODES and number:
        error_class = errors.classify(OSError(number, ""))
        if error_class != ErrorClass.OTHER:
            return error_class, ""
    if code == pycurl.E_PEER_FAILED_VERIFICATION:
        problem = _VERIFY_PROBLEM.search(text)
        return ErrorClass.TLS_ERROR, problem[1].strip() if problem else errors.WRONG_NAME.format(host)
    if code in _NO_HTTP:
        return ErrorClass.OTHER, errors.NO_HTTP
    if code == pycurl.E_RECV_ERROR and easy.getinfo(pycurl.HEADER_SIZE) > _HEAD_BYTES:
        return ErrorClass.OTHER, errors.HEAD_TOO_LONG
    error_class = _CLASSES.get(code, ErrorClass.OTHER)
    return error_class, f"libcurl's error {code}" if error_class == ErrorClass.OTHER else ""


def _timing_of(handle: _Handle, seconds: float) -> Timing:
    """Return the seconds of each part of an exchange that took so long."""
    info = handle.easy.getinfo
    exchange = handle.exchange
    waited = exchange.resolved_at - exchange.started_at
    ready, answered = info(pycurl.PRETRANSFER_TIME), info(pycurl.STARTTRANSFER_TIME)
    marks = Marks(0.0, secure=exchange.safe.scheme == "https")
    if info(pycurl.NUM_CONNECTS):
        connected = info(pycurl.CONNECT_TIME)
        marks.resolved = waited
        marks.connected = waited + connected if connected else None
        marks.ready = waited + ready if ready else None
    else:
        marks.ready = waited + ready
    marks.answered = waited + answered if answered else None
    return marks.timing(seconds)
