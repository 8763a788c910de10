"""One exchange with libcurl: the options of the request, the answer, and the class of an error."""

from __future__ import annotations

import http
import re
import socket
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pycurl

from tms_webhooks.choices import ErrorClass
from tms_webhooks.conf import app_settings
from tms_webhooks.exceptions import DeliveryError
from tms_webhooks.net import errors
from tms_webhooks.net.proxy import configured_proxy, tunnel_address
from tms_webhooks.net.timing import Marks
from tms_webhooks.net.transports.base import (
    BODILESS_METHODS,
    HEADERS_LIMIT,
    IDLE_LIMIT,
    LINE_LIMIT,
    Request,
    Response,
)
from tms_webhooks.net.urls import SafeURL

RESOLUTION_LIMIT = 30.0
"""Seconds for which the addresses of a name are used for new connections."""
ATTEMPT_DELAY = 0.2
"""Seconds after which the next address is tried, too, while the one before has not answered."""

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
    # The proxy gets none of the receiver's headers.
    (pycurl.HEADEROPT, pycurl.HEADER_SEPARATE),
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


class Target:
    """An origin and its checked addresses."""

    def __init__(self, safe: SafeURL, addresses: Sequence[str], now: float) -> None:
        self.addresses = addresses
        self.expires_at = now + RESOLUTION_LIMIT
        # The plus: libcurl forgets the entry after a minute. A literal address is in no need of it.
        listed = ",".join(f"[{address}]" if ":" in address else address for address in addresses)
        self.resolve = () if safe.host in addresses else (f"+{safe.host}:{safe.port}:{listed}",)
        # All addresses have their turn within nine tenths of the time to connect.
        share = 0.9 * app_settings.CONNECT_TIMEOUT_SECONDS / len(addresses)
        self.attempt_delay = max(1, int(min(ATTEMPT_DELAY, share) * 1000))


@dataclass(slots=True)
class CurlExchange:
    """One request, with all of its ``headers``, that is waiting for its addresses or in flight."""

    request: Request
    key: Any
    safe: SafeURL
    headers: Mapping[str, str]
    started_at: float
    resolved_at: float
    deadline_at: float


class Handle:
    """One easy handle of libcurl and the answer that it receives. It serves one exchange after the other."""

    exchange: CurlExchange
    target: Target
    begun_at: float
    heard_at: float
    truncated: bool

    def __init__(self, cafile: bytes, *, opened: Callable[[int], None]) -> None:
        self.opened = opened
        self.proxy = configured_proxy()
        self.limit, self.patience = app_settings.RESPONSE_LIMIT_BYTES, app_settings.READ_TIMEOUT_SECONDS
        self.body = bytearray()
        # The last lines only: a longer head loses its status line here, and is refused.
        self.lines: deque[bytes] = deque(maxlen=HEADERS_LIMIT + 2)
        self.easy = pycurl.Curl()
        setopt = self.easy.setopt
        for option, value in _OPTIONS:
            setopt(option, value)
        if self.proxy is None:
            # Against the proxies of the environment.
            setopt(pycurl.PROXY, "")
            setopt(pycurl.NOPROXY, "*")
        else:
            host = self.proxy.host
            setopt(pycurl.PROXY, f"http://[{host}]" if ":" in host else f"http://{host}")
            setopt(pycurl.PROXYPORT, self.proxy.port)
            setopt(pycurl.NOPROXY, "")
            setopt(pycurl.HTTPPROXYTUNNEL, 1)
            if self.proxy.user:
                setopt(pycurl.PROXYUSERNAME, self.proxy.user)
                setopt(pycurl.PROXYPASSWORD, self.proxy.password)
        setopt(pycurl.MAXAGE_CONN, int(IDLE_LIMIT))
        setopt(pycurl.CAINFO, cafile)
        setopt(pycurl.CONNECTTIMEOUT_MS, round(app_settings.CONNECT_TIMEOUT_SECONDS * 1000))
        setopt(pycurl.HEADERFUNCTION, self.lines.append)
        setopt(pycurl.WRITEFUNCTION, self._write)
        setopt(pycurl.OPENSOCKETFUNCTION, self._open_socket)

    def prepare(self, exchange: CurlExchange, target: Target, now: float) -> None:
        """Set the options of one exchange."""
        self.exchange, self.target = exchange, target
        self.begun_at = self.heard_at = now
        self.truncated = False
        self.body.clear()
        self.lines.clear()
        setopt, request, safe = self.easy.setopt, exchange.request, exchange.safe
        setopt(pycurl.URL, f"{safe.origin}/")
        # Byte for byte, whatever libcurl would make of the URL.
        setopt(pycurl.REQUEST_TARGET, safe.target)
        # A header without a value has a semicolon in libcurl's notation.
        lines = [
            (f"{name}: {value}" if value else f"{name};").encode("latin-1") for name, value in exchange.headers.items()
        ]
        setopt(pycurl.HTTPHEADER, _NO_OTHER_HEADERS + lines)
        if request.body or request.method not in BODILESS_METHODS:
            setopt(pycurl.POSTFIELDS, request.body)
        else:
            setopt(pycurl.HTTPGET, 1)
        setopt(pycurl.CUSTOMREQUEST, request.method)
        # For libcurl, 0 is no limit.
        setopt(pycurl.TIMEOUT_MS, max(1, round((exchange.deadline_at - now) * 1000)))
        if self.proxy is not None and target.resolve:
            address = tunnel_address(target.addresses)
            setopt(
                pycurl.CONNECT_TO,
                [f"{safe.host}:{safe.port}:{f'[{address}]' if ':' in address else address}:{safe.port}"],
            )
        elif target.resolve:
            setopt(pycurl.RESOLVE, target.resolve)
            setopt(HAPPY_EYEBALLS_TIMEOUT_MS, target.attempt_delay)

    def silent_until(self, now: float) -> float:
        """Return the time at which the receiver has been silent for too long, if nothing more arrives."""
        ready, answered = self.easy.getinfo(pycurl.PRETRANSFER_TIME), self.easy.getinfo(pycurl.STARTTRANSFER_TIME)
        # While it connects, the timeout is another one.
        heard_at = max(self.heard_at, self.begun_at + max(ready, answered)) if ready else now
        return heard_at + self.patience

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
        """Return a new socket for an address, if it is the proxy's or one of those that were checked."""
        if self.proxy is None and address.addr[0] not in self.target.addresses:
            return pycurl.SOCKET_BAD
        try:
            number = socket.socket(address.family, address.socktype, address.protocol).detach()
        except OSError:
            return pycurl.SOCKET_BAD
        self.opened(number)
        return number


def result_of(handle: Handle, code: int, text: str, seconds: float) -> Response | DeliveryError:
    """Return the result of an exchange that took so long, by libcurl's code and text."""
    exchange, info = handle.exchange, handle.easy.getinfo
    marks = Marks(exchange.started_at, secure=exchange.safe.scheme == "https")
    # At a failure, libcurl fills the times of the parts that were not reached.
    if sent := info(pycurl.REQUEST_SIZE):
        answered = info(pycurl.STARTTRANSFER_TIME)
        marks.ready = exchange.resolved_at + info(pycurl.PRETRANSFER_TIME)
        marks.answered = exchange.resolved_at + answered if answered else None
    if info(pycurl.NUM_CONNECTS) or not sent:
        connected = info(pycurl.CONNECT_TIME)
        marks.resolved = exchange.resolved_at
        marks.connected = exchange.resolved_at + connected if connected else None
    timing = marks.timing(exchange.started_at + seconds)
    details = ""
    if code == pycurl.E_OK or handle.truncated:
        status = info(pycurl.RESPONSE_CODE)
        headers, complete = _read_head(handle.lines)
        if headers is None:
            error_class, details = ErrorClass.OTHER, errors.HEAD_TOO_LONG
        elif not complete or (status < 200 and status != http.HTTPStatus.SWITCHING_PROTOCOLS):
            error_class = ErrorClass.CONNECTION_RESET
        else:
            return Response(status, headers, bytes(handle.body), handle.truncated, timing)
    else:
        error_class, details = _explain(handle, code, text)
    message = errors.message(exchange.safe.host, error_class, details)
    return DeliveryError(message, error_class=error_class, timing=timing)


def _read_head(lines: Iterable[bytes]) -> tuple[Mapping[str, str] | None, bool]:
    """Return the headers of the last head among these lines, and whether it is complete.

    The headers are None if a line is too long, or if there are too many, so that the first is missing.
    """
    headers: dict[str, str] | None = None
    name, complete = "", False
    for raw in lines:
        if len(raw) > LINE_LIMIT:
            return None, False
        line = raw.decode("latin-1").rstrip("\r\n")
        if line.startswith("HTTP/"):
            headers, name, complete = {}, "", False
        elif headers is None or complete or not line:
            # The lines after a head are trailers, unless another head begins.
            complete = headers is not None
        elif line[0] in " \t" and name:
            headers[name] += f" {line.strip()}"
        else:
            first, _, value = line.partition(":")
            name = first.strip().lower()
            headers[name] = f"{headers[name]}, {value.strip()}" if name in headers else value.strip()
    return headers, complete


def _explain(handle: Handle, code: int, text: str) -> tuple[ErrorClass, str]:
    """Return the class and the details of an error. The details hold no text of the receiver."""
    easy, host = handle.easy, handle.exchange.safe.host
    if handle.proxy is not None:
        status = easy.getinfo(pycurl.HTTP_CONNECTCODE)
        # A connection that was kept has no such status, but it sends the request.
        if not 200 <= status < 300 and not easy.getinfo(pycurl.REQUEST_SIZE):
            return ErrorClass.PROXY_ERROR, f"status {status}" if status else "no tunnel"
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
