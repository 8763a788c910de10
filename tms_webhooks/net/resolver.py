"""From a host name to its addresses, in bounded time."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from ipaddress import ip_address

Resolver = Callable[[str, int], Sequence[str]]
"""Takes a host name and a port, returns every address of it as text. Raises ``OSError`` when there is none."""


def system_resolver(host: str, port: int) -> Sequence[str]:
    """Return every address that the operating system knows for this host, in the order to try them."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))


def is_literal(host: str) -> bool:
    """Say whether this host is an IP address rather than a name."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def addresses_of(host: str, port: int, *, resolve: Resolver, seconds: float) -> Sequence[str]:
    """Return every address of this host; an IP address is its own.

    Raises ``TimeoutError`` after ``seconds``, and ``socket.gaierror`` when the name has no address.
    """
    if is_literal(host):
        return (host,)
    answer: Future[Sequence[str]] = Future()

    def look_up() -> None:
        try:
            answer.set_result(resolve(host, port))
        except Exception as error:
            answer.set_exception(error)

    # getaddrinfo can't be interrupted, and a name server that never answers holds it for half a minute or more.
    threading.Thread(target=look_up, name=f"tms-webhooks-dns-{host}", daemon=True).start()
    try:
        addresses = answer.result(timeout=seconds)
    except UnicodeError as error:
        raise socket.gaierror(socket.EAI_NONAME, "not a host name") from error
    if not addresses:
        raise socket.gaierror(socket.EAI_NONAME, "no address")
    return addresses
