"""Keeps the paths of webhooks out of urllib3's log: they may hold passwords, and tokens are filled in with names."""

from __future__ import annotations

import logging
import re
import threading
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any
from urllib.parse import quote

import idna
from django.utils.translation import gettext as _

from tms_webhooks.conf import SETTING_NAME, app_settings
from tms_webhooks.exceptions import BlockedAddress, ConfigurationError, UnsafeURL
from tms_webhooks.net.addresses import Network, is_allowed
from tms_webhooks.net.resolver import Resolver, addresses_of, is_literal, system_resolver

LOGGER = "urllib3.connectionpool"
MASK = "/…"

_here = threading.local()


@contextmanager
def quietly() -> Iterator[None]:
    """Mask the paths that urllib3 logs inside the ``with`` block, in this thread alone: the host's own stay as they are."""
    _here.quiet = True
    try:
        yield
    finally:
        _here.quiet = False


class _Mask(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        """Let the record pass, without what begins with a slash."""
        if getattr(_here, "quiet", False) and isinstance(record.args, tuple):
            record.args = tuple(
                MASK if isinstance(value, str) and value.startswith("/") else value for value in record.args
            )
        return True


logging.getLogger(LOGGER).addFilter(_Mask())


DEFAULT_PORTS = {"http": 80, "https": 443}
LONGEST_HOST = 253

_SHAPE = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?]*)([^?]*)(\?.*)?", re.DOTALL)
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
# A last label like this makes resolvers read the whole host as one IPv4 number: 127.1, 0x7f.1, 0177.0.0.1, 2130706433.
_NUMERIC_LABEL = re.compile(r"[0-9]+|0x[0-9a-f]*")
_ESCAPED = re.compile(r"%[0-9A-Fa-f]{2}")
_TO_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})|[^A-Za-z0-9._~:/?@!$&'()*+,;=%-]")


@dataclass(frozen=True, slots=True)
class SafeURL:
    """A URL that passed the check, taken apart.

    Attributes:
        url: The URL in its normal form.
        scheme: ``http`` or ``https``.
        host: ASCII, in lower case; an IPv6 address without brackets.
        port: The port, also where the URL leaves it to the scheme.
        target: Path and query as they stand in the request line.
        host_header: What the ``Host`` header says.
    """

    url: str
    scheme: str
    host: str
    port: int
    target: str
    host_header: str


def split_url(url: str) -> SafeURL:
    """Take a URL apart, or raise `UnsafeURL`: its shape, its scheme and its port, not where it leads."""
    safe = _parse(url)
    schemes, ports = app_settings.ALLOWED_SCHEMES, app_settings.ALLOWED_PORTS
    if safe.scheme not in schemes:
        raise _refused(
            _("the scheme '%(scheme)s' is not allowed") % {"scheme": safe.scheme},
            _addition(schemes, "ALLOWED_SCHEMES"),
        )
    if safe.port not in ports:
        raise _refused(
            _("the port %(port)d is not allowed") % {"port": safe.port},
            _addition(ports, "ALLOWED_PORTS"),
        )
    return safe


def same_receiver(url: str, other: str) -> bool:
    """Return whether two URLs lead to one server: what one was trusted with, such as a header's value, the other may have."""
    try:
        ours, theirs = _parse(url), _parse(other)
    except UnsafeURL:
        return url == other
    return (ours.scheme, ours.host, ours.port) == (theirs.scheme, theirs.host, theirs.port)


def check_url(url: str, *, resolve: Resolver | None = None) -> SafeURL:
    """Take a URL apart, or raise `UnsafeURL` (`BlockedAddress` if only its address is at fault).

    Without ``resolve`` no name is looked up: enough for a field validator. With it, every address of the host must be
    allowed. The message names the offending part and the remedy, never the address that a name leads to.
    """
    safe = split_url(url)
    if is_literal(safe.host):
        vet(safe.host, (safe.host,))
    elif resolve is not None and not is_exempt(safe.host):
        vet(safe.host, _look_up(safe, resolve))
    return safe


def check_reachable(url: str, *, resolve: Resolver = system_resolver) -> SafeURL:
    """Check a URL when it is saved: its shape, and every address of its host. Raise `UnsafeURL`.

    This is for the person at the form; what counts is the same check when a connection is made.
    """
    return check_url(url, resolve=resolve)


def vet(host: str, addresses: Sequence[str]) -> None:
    """Raise `BlockedAddress` if any of a host's addresses may not be called, unless the host is exempt."""
    if is_exempt(host):
        return
    networks = allowed_networks()
    if not all(is_allowed(address, allowed_networks=networks) for address in addresses):
        raise BlockedAddress(
            _(
                "URL: the host '%(host)s' leads to an address that webhooks may not call; use a public one, or have it "
                "added to %(setting)s['ALLOWED_HOSTS'] or ['ALLOWED_CIDRS']."
            )
            % {"host": host, "setting": SETTING_NAME}
        )


def is_exempt(host: str) -> bool:
    """Say whether the setting ``ALLOWED_HOSTS`` frees this host of the address check."""
    return host in _hosts(tuple(app_settings.ALLOWED_HOSTS))


def allowed_networks() -> Sequence[Network]:
    """Return the setting ``ALLOWED_CIDRS``, parsed. Raise `ConfigurationError` for an entry that is no network."""
    return _networks(tuple(app_settings.ALLOWED_CIDRS))


@lru_cache(maxsize=16)
def _networks(entries: tuple[str, ...]) -> Sequence[Network]:
    return tuple(_network(entry) for entry in entries)


def _network(entry: str) -> Network:
    try:
        return ip_network(entry)
    except ValueError as error:
        raise ConfigurationError(
            f"{SETTING_NAME}['ALLOWED_CIDRS']: {entry!r} is no network ({error}); write it like '10.20.0.0/16'."
        ) from error


@lru_cache(maxsize=16)
def _hosts(entries: tuple[str, ...]) -> frozenset[str]:
    return frozenset(_exempt_host(entry) for entry in entries)


def _exempt_host(entry: str) -> str:
    try:
        return str(ip_address(entry)) if ":" in entry else _host(entry)
    except ValueError as error:
        raise ConfigurationError(
            f"{SETTING_NAME}['ALLOWED_HOSTS']: {entry!r} is no host; write a name or an address alone, without a port."
        ) from error


def _look_up(safe: SafeURL, resolve: Resolver) -> Sequence[str]:
    try:
        return addresses_of(safe.host, safe.port, resolve=resolve, seconds=app_settings.CONNECT_TIMEOUT)
    except OSError as error:
        raise _refused(
            _("the host '%(host)s' has no address") % {"host": safe.host}, _("check its spelling, or try again later")
        ) from error


@lru_cache(maxsize=1024)
def _parse(url: str) -> SafeURL:
    _check_characters(url)
    shape = _SHAPE.fullmatch(url)
    if shape is None:
        raise _refused(_("it is not whole"), _("write it like 'https://example.com/hook'"))
    scheme, authority, path, query = shape.groups()
    scheme = scheme.lower()
    if scheme not in DEFAULT_PORTS:
        raise _refused(_("the scheme '%(scheme)s' is not HTTP") % {"scheme": scheme}, _("begin with 'https://'"))
    host, port = _split_authority(authority, DEFAULT_PORTS[scheme])
    netloc = f"[{host}]" if ":" in host else host
    if port != DEFAULT_PORTS[scheme]:
        netloc = f"{netloc}:{port}"
    target = _target((path or "/") + (query or ""))
    return SafeURL(f"{scheme}://{netloc}{target}", scheme, host, port, target, netloc)


def _target(text: str) -> str:
    # As urllib3 writes it, so that what is shown is what is sent.
    escaped = _TO_ESCAPE.sub(lambda match: quote(match.group(), safe=""), text)
    return _ESCAPED.sub(lambda match: match.group().upper(), escaped)


def _check_characters(url: str) -> None:
    for position, character in enumerate(url, start=1):
        # C: control, format and surrogate characters; Z: every kind of blank.
        if unicodedata.category(character)[0] in "CZ":
            raise _refused(
                _("it has a blank or control character (U+%(code)04X, number %(position)d)")
                % {"code": ord(character), "position": position},
                _("remove it, or write it percent-encoded"),
            )
    if "\\" in url:
        raise _refused(_("it has a backslash"), _("use '/', or write it as '%5C'"))
    if "#" in url:
        raise _refused(_("it has a fragment ('#')"), _("remove '#' and what follows; servers never see it"))


def _split_authority(authority: str, default_port: int) -> tuple[str, int]:
    if "{" in authority:
        raise _refused(_("it has a token in its host or port"), _("use tokens in the path and the query only"))
    if "@" in authority:
        # The part itself may be a password, so the message doesn't repeat it.
        raise _refused(
            _("it has a user name or password ('@')"), _("remove it, and use a header or the signature instead")
        )
    if authority.startswith("["):
        host, bracket, rest = authority[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise _refused(
                _("'%(text)s' is no IPv6 address and port") % {"text": authority},
                _("write it like '[2001:db8::1]:443'"),
            )
        return _ipv6(host), _port(rest[1:]) if rest else default_port
    name, colon, port = authority.partition(":")
    return _host(name), _port(port) if colon else default_port


def _port(text: str) -> int:
    if not re.fullmatch("[0-9]{1,5}", text) or not 0 < int(text) < 65_536:
        raise _refused(
            _("'%(text)s' is no port") % {"text": text},
            _("write a number from 1 to 65535 after the colon, or leave out both"),
        )
    return int(text)


def _ipv6(text: str) -> str:
    try:
        address = IPv6Address(text)
    except ValueError:
        address = None
    if address is None or address.scope_id is not None:
        raise _refused(
            _("'[%(text)s]' is no IPv6 address") % {"text": text}, _("write it like '[2001:db8::1]', without a zone")
        )
    return str(address)


def _host(text: str) -> str:
    """Return a host name or IPv4 address in ASCII and lower case, or raise `UnsafeURL`."""
    if not text:
        raise _refused(_("it has no host"), _("write it like 'https://example.com/hook'"))
    name = text.lower() if text.isascii() or len(text) > LONGEST_HOST else _to_ascii(text)
    labels = name.split(".")
    if len(name) > LONGEST_HOST or not all(_LABEL.fullmatch(label) for label in labels):
        raise _refused(
            _("'%(text)s' is no host name") % {"text": text},
            _("use letters, digits and hyphens, with single dots between"),
        )
    if _NUMERIC_LABEL.fullmatch(labels[-1]):
        return _ipv4(name)
    return name


def _to_ascii(text: str) -> str:
    try:
        return idna.encode(text, uts46=True).decode("ascii")
    except UnicodeError as error:
        raise _refused(
            _("'%(text)s' is no international host name") % {"text": text},
            _("check its spelling, or write it as 'xn--…'"),
        ) from error


def _ipv4(text: str) -> str:
    try:
        return str(IPv4Address(text))
    except ValueError as error:
        raise _refused(
            _("'%(text)s' is no plain IPv4 address") % {"text": text},
            _("write four decimal numbers without leading zeros"),
        ) from error


def _refused(part: str, remedy: str) -> UnsafeURL:
    return UnsafeURL(f"URL: {part}; {remedy}.")


def _addition(allowed: Sequence[Any], setting: str) -> str:
    listed = _(" or ").join(f"'{value}'" if isinstance(value, str) else str(value) for value in allowed)
    return _("use %(allowed)s, or have it added to %(setting)s") % {
        "allowed": listed,
        "setting": f"{SETTING_NAME}['{setting}']",
    }
