"""The transport of libcurl: one thread has a thousand exchanges in flight, for a tenth of the CPU time of `requests`.

Create it after a fork, in the thread that uses it. libcurl does not resolve names. Threads of this module do, so that all
addresses of a name are checked before one of them is connected.
"""

from __future__ import annotations

import contextlib
import math
import os
import resource
import selectors
import socket
import time
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

import pycurl
from requests.utils import DEFAULT_CA_BUNDLE_PATH

from tms_webhooks.conf import app_settings
from tms_webhooks.exceptions import ConfigurationError, DeliveryError
from tms_webhooks.net import errors, urls
from tms_webhooks.net.timing import Timing
from tms_webhooks.net.transports.base import Answer, Request, ThreadQueue, acknowledge_immediately, final_headers
from tms_webhooks.net.transports.curl_exchange import CurlExchange, Handle, Target, result_of
from tms_webhooks.net.urls import SafeURL, is_literal, start_lookup

TARGETS_LIMIT = 4096
"""Number of origins whose addresses are kept."""
SILENCE_INTERVAL = 0.05
"""Seconds between two searches for exchanges whose receiver is silent."""
LARGE_BODY = 16_384
"""Bytes. A larger body is not kept in memory until the next request."""
SPARE_FILES = 128
"""Open files that are left to the rest of the process."""


class CurlTransport:
    """Sends requests with libcurl's multi interface over kept connections, ``SENDER_SLOTS`` at a time."""

    def __init__(self) -> None:
        if not os.access(DEFAULT_CA_BUNDLE_PATH, os.R_OK):
            raise ConfigurationError(
                f"The file of trusted certificate authorities can't be read: {DEFAULT_CA_BUNDLE_PATH}."
            )
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        # The exchanges that may be in flight: SENDER_SLOTS, or what the limit of open files allows.
        allowed = app_settings.SENDER_SLOTS if files < 0 else files - SPARE_FILES
        self.capacity = max(1, min(app_settings.SENDER_SLOTS, allowed))
        self._targets: dict[str, Target] = {}
        # Exchanges that wait for the addresses of an origin. The first one has asked for them.
        self._lookups: dict[str, list[CurlExchange]] = {}
        self._resolved: ThreadQueue[tuple[str, Future[Sequence[str]]]] = ThreadQueue()
        self._idle: list[Handle] = []
        self._in_flight: dict[pycurl.Curl, Handle] = {}
        self._ended: list[Answer] = []
        self._timer_at = math.inf
        # The next time to look for exchanges whose receiver is silent.
        self._silence_until = math.inf
        # The numbers of the files of connections. libcurl has other files, for events of its own.
        self._connections: set[int] = set()
        # The events that libcurl waits for, by the number of the file; none of an idle connection.
        self._watched: dict[int, int] = {}
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._resolved, selectors.EVENT_READ)
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
            safe = urls.parse_url(request.url)
            host = safe.host
            exchange = CurlExchange(request, key, safe, final_headers(request, safe), now, now, now + request.deadline)
            target = self._targets.get(safe.origin)
            if target is None or target.expires_at <= now:
                urls.check_origin(safe)
                target = self._new_target(safe, [safe.host], now) if is_literal(safe.host) else None
            if target is not None:
                self._begin(exchange, target, now)
                return
            # Wait for the addresses of the name: of the lookup that is in progress, or of a new one.
            if safe.origin not in self._lookups:
                future = start_lookup(safe.host, safe.port)
                future.add_done_callback(lambda done: self._resolved.put((safe.origin, done)))
            self._lookups.setdefault(safe.origin, []).append(exchange)
        except Exception as error:
            failure = errors.as_delivery_error(error, host=host, timing=Timing())
            self._ended.append(Answer(key, failure, time.monotonic() - now))

    def collect(self) -> Sequence[Answer]:
        """Let libcurl read and write what it can, and return the answers of the exchanges that have ended."""
        for key, events in self._selector.select(0):
            # In this loop, libcurl may have opened another file with its number.
            watched = self._watched.get(key.fd)
            if key.fileobj is self._resolved:
                self._begin_resolved()
            elif watched == 0:
                self._drop_idle(key.fd)
            elif watched is not None:
                # The numbers of the events are libcurl's, too.
                self._multi.socket_action(key.fd, events)
                # More of the answer is to come.
                self._acknowledge(key.fd)
        now = time.monotonic()
        if self._timer_at <= now:
            self._timer_at = math.inf
            self._multi.socket_action(pycurl.SOCKET_TIMEOUT, 0)
        left = 1
        while left:
            left, succeeded, failed = self._multi.info_read()
            for easy in succeeded:
                self._end(easy, pycurl.E_OK, "")
            for easy, code, text in failed:
                self._end(easy, code, text)
        if self._silence_until <= now:
            self._end_silent(now)
        for origin, waiting in list(self._lookups.items()):
            if waiting[0].deadline_at <= now:
                # They look it up again with their next attempts.
                self._end_lookup(self._lookups.pop(origin), TimeoutError("no address in time"), now)
        ended = self._ended
        self._ended = []
        return ended

    def fileno(self) -> int:
        """Return the selector of libcurl's sockets and of the lookups, which is itself a file to select on."""
        return self._selector.fileno()

    def timeout(self) -> float:
        """Return the seconds until the next timeout, of libcurl or of this class."""
        if self._ended:
            return 0.0
        lookups = (one[0].deadline_at for one in self._lookups.values())
        return max(0.0, min(self._timer_at, self._silence_until, *lookups) - time.monotonic())

    def close(self) -> None:
        """Drop every exchange, and close every connection."""
        for easy in self._in_flight:
            with contextlib.suppress(pycurl.error):
                self._multi.remove_handle(easy)
        # Before the handles, which its connections may call.
        self._multi.close()
        for handle in (*self._in_flight.values(), *self._idle):
            handle.easy.close()
        self._selector.close()
        self._resolved.close()

    def _new_target(self, safe: SafeURL, addresses: Sequence[str], now: float) -> Target:
        """Check the addresses of an origin, and keep them."""
        urls.vet(safe.host, addresses)
        if len(self._targets) >= TARGETS_LIMIT:
            self._targets.clear()
        target = self._targets[safe.origin] = Target(safe, addresses, now)
        return target

    def _begin(self, exchange: CurlExchange, target: Target, now: float) -> None:
        if exchange.deadline_at <= now:
            raise TimeoutError("the deadline has passed")
        # Of a str, pycurl accepts ASCII only, and the folder of the environment may have any name.
        handle = self._idle.pop() if self._idle else Handle(os.fsencode(DEFAULT_CA_BUNDLE_PATH), opened=self._opened)
        handle.prepare(exchange, target, now)
        self._multi.add_handle(handle.easy)
        self._in_flight[handle.easy] = handle
        self._silence_until = min(self._silence_until, now + handle.patience)

    def _begin_resolved(self) -> None:
        for origin, future in self._resolved.take():
            now = time.monotonic()
            for exchange in self._lookups.pop(origin, ()):
                exchange.resolved_at = now
                try:
                    self._begin(exchange, self._new_target(exchange.safe, future.result(), now), now)
                except Exception as error:
                    self._end_lookup([exchange], error, now)

    def _end_lookup(self, exchanges: Sequence[CurlExchange], error: Exception, now: float) -> None:
        """End exchanges that were not begun."""
        for exchange in exchanges:
            seconds = now - exchange.started_at
            failure = errors.as_delivery_error(error, host=exchange.safe.host, timing=Timing(dns=seconds))
            self._ended.append(Answer(exchange.key, failure, seconds))

    def _end_silent(self, now: float) -> None:
        """End the exchanges whose receiver has been silent for too long."""
        self._silence_until = math.inf
        for easy, handle in list(self._in_flight.items()):
            until = handle.silent_until(now)
            if until <= now:
                self._end(easy, pycurl.E_OPERATION_TIMEDOUT, "")
            else:
                self._silence_until = min(self._silence_until, max(until, now + SILENCE_INTERVAL))

    def _end(self, easy: pycurl.Curl, code: int, text: str) -> None:
        handle = self._in_flight.pop(easy)
        exchange = handle.exchange
        seconds = time.monotonic() - exchange.started_at
        result = result_of(handle, code, text, seconds)
        if isinstance(result, DeliveryError):
            # It may have moved.
            self._targets.pop(exchange.safe.origin, None)
        self._multi.remove_handle(easy)
        if len(exchange.request.body) > LARGE_BODY:
            handle.easy.setopt(pycurl.POSTFIELDS, b"")
        del handle.exchange, handle.target
        self._idle.append(handle)
        self._ended.append(Answer(exchange.key, result, seconds))

    def _watch(self, events: int, number: int, _multi: object, _data: object) -> None:
        """Watch a file for these events. libcurl wants none of an idle connection, but it is watched anyway."""
        is_idle = events == pycurl.POLL_REMOVE
        if is_idle and number not in self._connections:
            self._forget(number)
            return
        change = self._selector.modify if number in self._watched else self._selector.register
        change(number, selectors.EVENT_READ if is_idle else events)
        self._watched[number] = 0 if is_idle else events
        # The request is sent, and a part of the answer may have been read.
        self._acknowledge(number)

    def _acknowledge(self, number: int) -> None:
        if self._watched.get(number, 0) & selectors.EVENT_READ and number in self._connections:
            sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0, fileno=number)
            acknowledge_immediately(sock)
            sock.detach()

    def _drop_idle(self, number: int) -> None:
        # libcurl may not look before it uses a connection again. It would take what has arrived for the next request's answer.
        self._forget(number)
        # libcurl closes the socket itself, or has done so.
        with contextlib.suppress(OSError):
            connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0, fileno=number)
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.detach()

    def _opened(self, number: int) -> None:
        # It may have the number of a connection that libcurl has closed.
        self._forget(number)
        self._connections.add(number)

    def _forget(self, number: int) -> None:
        """Watch a file no longer."""
        if self._watched.pop(number, None) is not None:
            self._selector.unregister(number)

    def _set_timer(self, milliseconds: int) -> None:
        self._timer_at = math.inf if milliseconds < 0 else time.monotonic() + milliseconds / 1000
