"""Parse a webhook's URL strictly, look up its host, and check both against the allowed schemes, ports and addresses.

`check_url` serves the forms. `split_url` and `vet` serve the connection that is made later.
"""

from __future__ import annotations

import logging
import re
import socket
import threading
import unicodedata
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any
from urllib.parse import quote

import idna
from django.utils.translation import gettext as _

from tms_webhooks.conf import SETTING_NAME, app_settings
from tms_webhooks.exceptions import BlockedAddress, ConfigurationError, UnreachableHost, UnsafeURL
from tms_webhooks.net.addresses import Network, is_allowed

MASK = "••••"
"""Shown in place of a secret."""
DEFAULT_PORTS = {"http": 80, "https": 443}
LOOPBACK = "127.0.0.1"
"""The address of names for this machine, which need no lookup."""
LONGEST_HOST = 253
"""Characters, by RFC 1035."""

# Services whose customers share a host. Another path there is another receiver.
SHARED_HOSTS = (
    "api.integrator.io",
    "api.powerplatform.com",
    "api.telegram.org",
    "azure-apim.net",
    "beeceptor.com",
    "chat.googleapis.com",
    "cloud.activepieces.com",
    "connect.boomi.com",
    "connect.pabbly.com",
    "discord.com",
    "discordapp.com",
    "flow.zoho.com",
    "flow.zoho.eu",
    "h.albato.com",
    "hkdk.events",
    "hook.relay.app",
    "hooks.airtable.com",
    "hooks.slack-gov.com",
    "hooks.slack.com",
    "hooks.zapier.com",
    "integromat.com",
    "logic.azure.cn",
    "logic.azure.com",
    "logic.azure.us",
    "make.celonis.com",
    "make.com",
    "maker.ifttt.com",
    "n8n.cloud",
    "outlook.office.com",
    "outlook.office365.com",
    "pipedream.net",
    "powerautomate.com",
    "requestcatcher.com",
    "script.google.com",
    "smee.io",
    "tray.io",
    "trayapp.io",
    "webhook.office.com",
    "webhook.site",
    "webhooks.integrately.com",
    "workato.com",
)

_SHAPE = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?]*)([^?]*)(\?.*)?", re.DOTALL)
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
# A last label like this makes resolvers read the whole host as one IPv4 number: 127.1, 0x7f.1, 0177.0.0.1, 2130706433.
_NUMERIC_LABEL = re.compile(r"[0-9]+|0x[0-9a-f]*")
_ESCAPED = re.compile(r"%[0-9A-Fa-f]{2}")
_TO_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})|[^A-Za-z0-9._~:/?@!$&'()*+,;=%-]")

# Query parameters that look like secrets: by name, or by a long value of letters and digits. A {token} is none.
_SECRET_NAME = re.compile(r"sig|token|key|secret|pass|pwd|auth|cred|code|session", re.IGNORECASE)
_RANDOM = re.compile(r"(?=.*[0-9])(?=.*[A-Za-z])[A-Za-z0-9+/_.~%-]{20,}={0,2}")
_TOKEN = re.compile(r"(?:\{[^{}]*\})+")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SafeURL:
    """The parts of a URL that passed the check.

    Attributes:
        origin: Scheme, host and port, such as ``https://example.com:8443``: the key of everything that is kept for a connection.
        scheme: ``http`` or ``https``.
        host: ASCII, in lower case; an IPv6 address without brackets.
        port: The port; the default of the scheme if the URL has none.
        target: Path and query as in the request line.
        host_header: The value of the ``Host`` header.
    """

    origin: str
    scheme: str
    host: str
    port: int
    target: str
    host_header: str

    @property
    def url(self) -> str:
        """The URL in its normal form."""
        return self.origin + self.target


def split_url(url: str) -> SafeURL:
    """Return the parts of a URL. Check its syntax, scheme and port, not its address; raise `UnsafeURL`."""
    safe = parse_url(url)
    check_origin(safe)
    return safe


def check_origin(safe: SafeURL) -> None:
    """Raise `UnsafeURL` unless the settings allow the scheme and the port."""
    schemes, ports = app_settings.ALLOWED_SCHEMES, app_settings.ALLOWED_PORTS
    if safe.scheme not in schemes:
        raise _refused(
            _("the scheme '%(scheme)s' is not allowed") % {"scheme": safe.scheme},
            _addition(schemes),
        )
    if safe.port not in ports:
        raise _refused(_("the port %(port)d is not allowed") % {"port": safe.port}, _addition(ports))


def same_receiver(url: str, other: str) -> bool:
    """Return True if a header value entered for one URL may be sent to the other.

    They have the same scheme, host and port. On a host that many customers share, they have the same path, too.
    """
    try:
        ours, theirs = parse_url(url), parse_url(other)
    except UnsafeURL:
        return url == other
    if ours.origin != theirs.origin:
        return False
    is_shared = any(ours.host == one or ours.host.endswith(f".{one}") for one in SHARED_HOSTS)
    return not is_shared or ours.target.partition("?")[0] == theirs.target.partition("?")[0]


def mask_query(url: str) -> str:
    """Return a URL with `MASK` in place of the query values that look like secrets, by their names or by themselves."""
    start, mark, query = url.partition("?")
    pairs = [(pair, _secret_of(pair)) for pair in query.split("&")]
    return start + mark + "&".join(pair.removesuffix(secret) + MASK if secret else pair for pair, secret in pairs)


def query_secrets(url: str) -> list[str]:
    """Return the values that `mask_query` masks in a URL."""
    return [secret for pair in url.partition("?")[2].split("&") if (secret := _secret_of(pair))]


def _secret_of(pair: str) -> str:
    """Return the part of a query's pair that looks like a secret; "" if none does."""
    name, equals, value = pair.partition("=")
    if not equals:
        return name if _RANDOM.fullmatch(name) else ""
    is_secret = _SECRET_NAME.search(name) or _RANDOM.fullmatch(value)
    return value if is_secret and not _TOKEN.fullmatch(value) else ""


def check_url(url: str, *, looks_up: bool = False) -> SafeURL:
    """Return the parts of a URL, or raise `UnsafeURL` (`BlockedAddress` if only its address is not allowed).

    Unless it ``looks_up`` a name, its addresses are not known: enough for a field validator. Otherwise, each of them must
    be allowed. That informs the user of a form early; the connection repeats the check, because addresses can change. The message names the wrong part and the remedy, never the address of a host name. For a name, it is the same for a
    host without an address and for an address that is not allowed. Otherwise it would show which internal names exist.
    """
    safe = split_url(url)
    if (address := fixed_address(safe.host)) is not None:
        vet(safe.host, (address,))
    elif looks_up and not is_exempt(safe.host):
        try:
            addresses = addresses_of(safe.host, safe.port, seconds=app_settings.CONNECT_TIMEOUT_SECONDS)
        except OSError as error:
            raise unreachable(safe.host) from error
        vet(safe.host, addresses)
    return safe


def vet(host: str, addresses: Sequence[str]) -> None:
    """Raise `BlockedAddress` if any of a host's addresses may not be called, unless the host is exempt.

    For a name, it is the error of a name without an address. Only the log of the server shows the difference.
    """
    if is_exempt(host):
        return
    networks = allowed_networks()
    refused = [address for address in addresses if not is_allowed(address, allowed_networks=networks)]
    if refused:
        logger.info("refused host=%s address=%s", host, refused[0])
        if not is_literal(host):
            raise unreachable(host)
        # The URL has the address itself, so that its kind shows nothing new.
        message = _("URL: '%(host)s' is not a public address; use a public host, or ask the operator to allow it.")
        raise BlockedAddress(message % {"host": host})


def is_exempt(host: str) -> bool:
    """Return True if the setting ``UNCHECKED_HOSTS`` exempts this host from the address check."""
    return host in _hosts(tuple(app_settings.UNCHECKED_HOSTS))


def allowed_networks() -> Sequence[Network]:
    """Return the networks of the setting ``UNCHECKED_CIDRS``. Raise `ConfigurationError` for an entry that is not a network."""
    return _networks(tuple(app_settings.UNCHECKED_CIDRS))


@lru_cache(maxsize=16)
def _networks(entries: tuple[str, ...]) -> Sequence[Network]:
    networks = []
    for entry in entries:
        try:
            networks.append(ip_network(entry))
        except ValueError as error:
            raise ConfigurationError(
                f"{SETTING_NAME}['UNCHECKED_CIDRS']: {entry!r} is not a network ({error}).",
                number="E006",
                hint="Write the address of the network itself: '10.20.0.0/16', not '10.20.1.7/16'.",
            ) from error
    return networks


@lru_cache(maxsize=16)
def _hosts(entries: tuple[str, ...]) -> frozenset[str]:
    hosts = set()
    for entry in entries:
        try:
            hosts.add(str(ip_address(entry)) if ":" in entry else _host(entry))
        except ValueError as error:
            raise ConfigurationError(
                f"{SETTING_NAME}['UNCHECKED_HOSTS']: {entry!r} is not a host; write a name or an address alone, without a port.",
                number="E007",
                hint="Correct or remove the entry.",
            ) from error
    return frozenset(hosts)


def fixed_address(host: str) -> str | None:
    """Return the address that a host stands for without a lookup; None for a name, except those of this machine (RFC 6761)."""
    is_local = host.rpartition(".")[2] == "localhost" or host == "localhost.localdomain"
    return LOOPBACK if is_local else host if is_literal(host) else None


def unreachable(host: str) -> UnreachableHost:
    """Return the error of a name that has no address, or one that is not allowed."""
    return UnreachableHost(
        _(
            "URL: the host '%(host)s' has no address that webhooks may call; check its spelling, use a public host, or ask "
            "the operator to allow it."
        )
        % {"host": host}
    )


@lru_cache(maxsize=1024)
def parse_url(url: str) -> SafeURL:
    """Return the parts of a URL, whether or not the settings allow it. Raise `UnsafeURL` if its syntax is wrong."""
    _check_characters(url)
    shape = _SHAPE.fullmatch(url)
    if shape is None:
        raise _refused(_("it is incomplete"), _("write it like 'https://example.com/hook'"))
    scheme, authority, path, query = shape.groups()
    scheme = scheme.lower()
    if scheme not in DEFAULT_PORTS:
        raise _refused(_("the scheme '%(scheme)s' is not HTTP") % {"scheme": scheme}, _("begin with 'https://'"))
    host, port = _split_authority(authority, DEFAULT_PORTS[scheme])
    netloc = f"[{host}]" if ":" in host else host
    if port != DEFAULT_PORTS[scheme]:
        netloc = f"{netloc}:{port}"
    # The same escapes as in urllib3, so that the displayed URL is the one in the request.
    escaped = _TO_ESCAPE.sub(lambda match: quote(match.group(), safe=""), (path or "/") + (query or ""))
    target = _ESCAPED.sub(lambda match: match.group().upper(), escaped)
    return SafeURL(f"{scheme}://{netloc}", scheme, host, port, target, netloc)


def _check_characters(url: str) -> None:
    for position, character in enumerate(url, start=1):
        # C: control, format and surrogate characters; Z: every kind of space.
        if unicodedata.category(character)[0] in "CZ":
            message = (
                _("its character %(position)d is a space")
                if character == " "
                else _("its character %(position)d is a control character or another kind of space (U+%(code)04X)")
            )
            raise _refused(
                message % {"code": ord(character), "position": position},
                _("remove it, or write it percent-encoded"),
            )
    if "\\" in url:
        raise _refused(_("it has a backslash"), _("use '/', or write it as '%5C'"))
    if "#" in url:
        raise _refused(_("it has a fragment ('#')"), _("remove '#' and everything after it; servers never receive it"))


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
                _("'%(text)s' is not an IPv6 address with a port") % {"text": authority},
                _("write it like '[2001:db8::1]:443'"),
            )
        return _ipv6(host), _port(rest[1:]) if rest else default_port
    name, colon, port = authority.partition(":")
    return _host(name), _port(port) if colon else default_port


def _port(text: str) -> int:
    if not re.fullmatch("[0-9]{1,5}", text) or not 0 < int(text) < 65_536:
        raise _refused(
            _("'%(text)s' is not a port") % {"text": text},
            _("write a number from 1 to 65535 after the colon, or remove the colon"),
        )
    return int(text)


def _ipv6(text: str) -> str:
    try:
        address = IPv6Address(text)
    except ValueError:
        address = None
    if address is None or address.scope_id is not None:
        raise _refused(
            _("'[%(text)s]' is not an IPv6 address") % {"text": text},
            _("write it like '[2001:db8::1]', without a zone"),
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
            _("'%(text)s' is not a host name") % {"text": text},
            _("use letters, digits and hyphens, separated by single dots"),
        )
    if _NUMERIC_LABEL.fullmatch(labels[-1]):
        return _ipv4(name)
    return name


def _to_ascii(text: str) -> str:
    try:
        return idna.encode(text, uts46=True).decode("ascii")
    except UnicodeError as error:
        raise _refused(
            _("'%(text)s' is not an international host name") % {"text": text},
            _("check its spelling, or write it as 'xn--…'"),
        ) from error


def _ipv4(text: str) -> str:
    try:
        return str(IPv4Address(text))
    except ValueError as error:
        raise _refused(
            _("'%(text)s' is not a plain IPv4 address") % {"text": text},
            _("write four decimal numbers without leading zeros"),
        ) from error


def _refused(part: str, remedy: str) -> UnsafeURL:
    return UnsafeURL(f"URL: {part}; {remedy}.")


def _addition(allowed: Sequence[Any]) -> str:
    listed = _(" or ").join(f"'{value}'" if isinstance(value, str) else str(value) for value in allowed)
    return _("use %(allowed)s, or ask the operator to allow it") % {"allowed": listed}


# Lookups of names


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


def start_lookup(host: str, port: int) -> Future[Sequence[str]]:
    """Look up a host name in a thread; return the future of its addresses, or of an ``OSError``.

    A thread, because getaddrinfo can't be interrupted: a silent name server blocks it for 30 s or more.
    """
    answer: Future[Sequence[str]] = Future()

    def look_up() -> None:
        try:
            addresses = system_resolver(host, port)
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


def addresses_of(host: str, port: int, *, seconds: float) -> Sequence[str]:
    """Return all addresses of this host; for an IP address, that address.

    Raises ``TimeoutError`` after ``seconds``, and ``socket.gaierror`` if the name has no address.
    """
    if is_literal(host):
        return (host,)
    return start_lookup(host, port).result(timeout=seconds)
