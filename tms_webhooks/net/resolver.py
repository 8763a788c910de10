"""Resolve a host name to its addresses within a time limit."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from ipaddress import ip_address

Resolver = Callable[[str, int], Sequence[str]]
"""Takes a host name and a port, and returns all addresses as text. Raises ``OSError`` for a name without addresses."""


def system_resolver(host: str, port: int) -> Sequence[str]:
    """Return all addresses that the operating system finds for this host, in the order to try."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))


def is_literal(host: str) -> bool:
    """Return True if this host is an IP address, not a name."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def start_lookup(host: str, port: int, *, resolve: Resolver) -> Future[Sequence[str]]:
    """Look up a host name in a thread; return the future of its addresses, or of an ``OSError``.

    A thread, because getaddrinfo can't be interrupted: a silent name server blocks it for 30 s or more.
    """
    answer: Future[Sequence[str]] = Future()

    def look_up() -> None:
        try:
            addresses = resolve(host, port)
            if not addresses:
                raise socket.gaierror(socket.EAI_NONAME, "no address")
        except UnicodeError:
            answer.set_exception(socket.gaierror(socket.EAI_NONAME, "not a host name"))
        except Exception as error:
            answer.set_exception(error)
        else:
            answer.set_result(addresses)

    threading.Thread(target=look_up, name=f"tms-webhooks-dns-{host}", daemon=True).start()
    return answer


def addresses_of(host: str, port: int, *, resolve: Resolver, seconds: float) -> Sequence[str]:
    """Return all addresses of this host; for an IP address, that address.

    Raises ``TimeoutError`` after ``seconds``, and ``socket.gaierror`` if the name has no address.
    """
    if is_literal(host):
        return (host,)
    return start_lookup(host, port, resolve=resolve).result(timeout=seconds)
