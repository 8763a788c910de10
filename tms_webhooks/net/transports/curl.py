"""The transport of libcurl: one thread has a thousand exchanges in flight, for a tenth of the CPU time of `requests`.

Create it after a fork, in the thread that uses it. libcurl does not resolve names. Threads of this module do, so that all
addresses of a name are checked before one of them is connected.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import resource
import selectors
import socket
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any

import pycurl
from requests.utils import DEFAULT_CA_BUNDLE_PATH

from tms_webhooks.conf import app_settings
from tms_webhooks.exceptions import ConfigurationError, DeliveryError
from tms_webhooks.net import errors, urls
from tms_webhooks.net.proxy import Proxy, configured_proxy
from tms_webhooks.net.resolver import Resolver, is_literal, start_lookup, system_resolver
from tms_webhooks.net.timing import Timing
from tms_webhooks.net.transports.base import Answer, Request, acknowledge_immediately
from tms_webhooks.net.transports.curl_exchange import CurlExchange, Handle, Target, result_of
from tms_webhooks.net.urls import Origin, SafeURL

logger = logging.getLogger(__name__)

TARGETS_LIMIT = 4096
"""Number of origins whose addresses are kept."""
SILENCE_INTERVAL = 0.05
"""Seconds between two searches for exchanges whose receiver is silent."""
SPARE_FILES = 128
"""Open files that are left to the rest of the process."""


class _Socket:
    """A file of libcurl that the selector watches: a connection, which is idle while no exchange uses it, or another."""

    __slots__ = ("events", "idle", "inode", "is_connection", "number")

    def __init__(self, number: int, events: int, *, opened: int | None) -> None:
        self.number = number
        self.events = events
        self.idle = False
        self.inode = os.fstat(number).st_ino
        # libcurl has other files, for events of its own.
        self.is_connection = self.inode == opened

    def is_open(self) -> bool:
        """Return True unless libcurl has closed it, even if another file has its number now."""
        try:
            return os.fstat(self.number).st_ino == self.inode
        except OSError:
            return False


class CurlTransport:
    """Sends requests with libcurl's multi interface over kept connections, ``SENDER_SLOTS`` at a time.

    ``resolve`` and ``cafile``, the file of trusted authorities, are for tests.
    """

    def __init__(self, *, resolve: Resolver = system_resolver, cafile: str = DEFAULT_CA_BUNDLE_PATH) -> None:
        if not os.access(cafile, os.R_OK):
            raise ConfigurationError(f"The file of trusted certificate authorities can't be read: {cafile}.")
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        # The exchanges that may be in flight: SENDER_SLOTS, or what the limit of open files allows.
        allowed = app_settings.SENDER_SLOTS if files < 0 else files - SPARE_FILES
        self.capacity = max(1, min(app_settings.SENDER_SLOTS, allowed))
        self._resolve = resolve
        self._cafile = cafile
        self._targets: dict[Origin, Target] = {}
        # Exchanges that wait for the addresses of an origin, and the time at which the first of them gives up.
        self._lookups: dict[Origin, list[CurlExchange]] = {}
        self._lookups_until = math.inf
        self._resolved: deque[tuple[Origin, Future[Sequence[str]]]] = deque()
        self._idle: list[Handle] = []
        self._in_flight: dict[pycurl.Curl, Handle] = {}
        self._ended: list[Answer] = []
        self._timer_at = math.inf
        # The next time to look for exchanges whose receiver is silent.
        self._silence_until = math.inf
        self._sockets: dict[int, _Socket] = {}
        # Of the connections, by the numbers of their files.
        self._inodes: dict[int, int] = {}
        self._selector = selectors.DefaultSelector()
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        self._selector.register(self._reader, selectors.EVENT_READ)
        self._multi = self._new_multi()

    def start(self, request: Request, key: Any) -> None:
        """Begin an exchange, over a kept connection or as soon as the addresses are known."""
        now = time.monotonic()
        host = ""
        try:
            safe = urls.split_url(request.url)
            host = safe.host
            exchange = CurlExchange(request, key, safe, now)
            target = self._targets.get(safe.origin)
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
        try:
            self._run_libcurl()
        except pycurl.error as error:
            self._give_up(error)
        now = time.monotonic()
        if self._lookups_until <= now:
            self._end_late_lookups(now)
        ended, self._ended = self._ended, []
        return ended

    def fileno(self) -> int:
        """Return the selector of libcurl's sockets and of the lookups, which is itself a file to select on."""
        return self._selector.fileno()

    def timeout(self) -> float | None:
        """Return the seconds until the next timeout, of libcurl or of this class."""
        if self._ended:
            return 0.0
        until = min(self._timer_at, self._lookups_until, self._silence_until)
        return None if until == math.inf else max(0.0, until - time.monotonic())

    def close(self) -> None:
        """Drop every exchange, and close every connection."""
        self._close_multi()
        self._lookups.clear()
        self._selector.close()
        self._reader.close()
        self._writer.close()

    def _new_multi(self) -> pycurl.CurlMulti:
        multi = pycurl.CurlMulti()
        multi.setopt(pycurl.M_SOCKETFUNCTION, self._watch)
        multi.setopt(pycurl.M_TIMERFUNCTION, self._set_timer)
        multi.setopt(pycurl.M_PIPELINING, 0)
        multi.setopt(pycurl.M_MAXCONNECTS, self.capacity)
        multi.setopt(pycurl.M_MAX_TOTAL_CONNECTIONS, self.capacity)
        return multi

    def _close_multi(self) -> None:
        for easy in self._in_flight:
            with contextlib.suppress(pycurl.error):
                self._multi.remove_handle(easy)
        # Before the handles, which its connections may call.
        self._multi.close()
        for handle in (*self._in_flight.values(), *self._idle):
            handle.easy.close()
        self._in_flight.clear()
        self._idle.clear()
        for number in tuple(self._sockets):
            self._forget(number)
        self._timer_at = self._silence_until = math.inf

    def _give_up(self, error: pycurl.error) -> None:
        """End all exchanges after an error of libcurl itself, and begin with new connections."""
        logger.error("libcurl failed, and is started again: error %s.", error.args[0])
        now = time.monotonic()
        for handle in self._in_flight.values():
            exchange = handle.exchange
            failure = errors.as_delivery_error(error)
            self._ended.append(Answer(exchange.key, failure, now - exchange.started_at))
        self._close_multi()
        self._multi = self._new_multi()

    def _run_libcurl(self) -> None:
        """Pass the events and the time on to libcurl, and take the ended exchanges from it."""
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
            if sock.is_connection and not sock.idle and sock.events & selectors.EVENT_READ:
                # More of the answer is to come.
                _acknowledge(key.fd)
        now = time.monotonic()
        if self._timer_at <= now:
            self._timer_at = math.inf
            self._multi.socket_action(pycurl.SOCKET_TIMEOUT, 0)
        self._read_messages()
        if self._silence_until <= now:
            self._end_silent(now)

    def _begin(self, exchange: CurlExchange, target: Target, now: float) -> None:
        if exchange.deadline_at <= now:
            raise TimeoutError("the deadline has passed")
        handle = self._handle_for(configured_proxy())
        handle.prepare(exchange, target, now)
        self._multi.add_handle(handle.easy)
        self._in_flight[handle.easy] = handle
        self._silence_until = min(self._silence_until, now + app_settings.READ_TIMEOUT_SECONDS)

    def _handle_for(self, proxy: Proxy | None) -> Handle:
        if self._idle:
            handle = self._idle.pop()
            if handle.proxy == proxy:
                return handle
            handle.easy.close()
        return Handle(self._cafile, proxy=proxy, opened=self._opened)

    def _new_target(self, safe: SafeURL, addresses: Sequence[str], now: float) -> Target:
        urls.vet(safe.host, addresses)
        if len(self._targets) >= TARGETS_LIMIT:
            self._targets.clear()
        target = self._targets[safe.origin] = Target(safe, addresses, now)
        return target

    def _look_up(self, exchange: CurlExchange) -> None:
        """Wait for the addresses of a name: of the lookup that is in progress, or of a new one."""
        origin = exchange.safe.origin
        if origin not in self._lookups:
            future = start_lookup(exchange.safe.host, exchange.safe.port, resolve=self._resolve)
            future.add_done_callback(partial(self._hand_over, origin))
        self._lookups.setdefault(origin, []).append(exchange)
        self._lookups_until = min(self._lookups_until, exchange.deadline_at)

    def _hand_over(self, origin: Origin, future: Future[Sequence[str]]) -> None:
        # Runs in the thread of the lookup.
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
            target: Target | None = None
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

    def _end_before_connection(self, exchange: CurlExchange, error: Exception, now: float) -> None:
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
        result = result_of(handle, code, text, seconds)
        if isinstance(result, DeliveryError):
            # It may have moved.
            self._targets.pop(exchange.safe.origin, None)
        self._multi.remove_handle(easy)
        handle.release()
        self._idle.append(handle)
        self._ended.append(Answer(exchange.key, result, seconds))

    def _watch(self, events: int, number: int, _multi: object, _data: object) -> None:
        """Watch a file for these events. libcurl wants none of an idle connection, but it is watched anyway."""
        sock = self._sockets.get(number)
        idle = events == pycurl.POLL_REMOVE
        if idle:
            if sock is None or not sock.is_connection:
                self._forget(number)
                return
            events = selectors.EVENT_READ
        if sock is None:
            sock = self._sockets[number] = _Socket(number, events, opened=self._inodes.get(number))
            self._selector.register(number, events, sock)
        elif sock.events != events:
            sock.events = events
            self._selector.modify(number, events, sock)
        sock.idle = idle
        if sock.is_connection and not idle and events & selectors.EVENT_READ:
            # The request is sent, and a part of the answer may have been read.
            _acknowledge(number)

    def _drop_idle(self, sock: _Socket) -> None:
        # libcurl may not look before it uses a connection again. It would take what has arrived for the next request's answer.
        self._forget(sock.number)
        if sock.is_open():
            # libcurl closes the socket itself.
            connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0, fileno=sock.number)
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.detach()

    def _opened(self, number: int) -> None:
        # It may have the number of a connection that libcurl has closed.
        self._forget(number)
        self._inodes[number] = os.fstat(number).st_ino

    def _forget(self, number: int) -> None:
        """Watch a file no longer."""
        if self._sockets.pop(number, None) is not None:
            self._selector.unregister(number)

    def _set_timer(self, milliseconds: int) -> None:
        self._timer_at = math.inf if milliseconds < 0 else time.monotonic() + milliseconds / 1000


def _acknowledge(number: int) -> None:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0, fileno=number)
    acknowledge_immediately(sock)
    sock.detach()
