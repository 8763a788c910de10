"""The operator's egress proxy: requests reach their receivers through a tunnel that it opens (CONNECT)."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import unquote

from tms_webhooks.conf import SETTING_NAME, app_settings
from tms_webhooks.exceptions import ConfigurationError

FORM = "http://host:port or http://user:password@host:port"
"""How the setting ``PROXY_URL`` is written."""
PROXY_WAIT = 30.0
"""Seconds from a failure of the proxy to the next attempt."""

_URL = re.compile(r"http://(?:([^:@/?#\s]*):([^@/?#\s]*)@)?(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})/?")


class ProxyFailure(OSError):
    """The proxy opened no tunnel. It is the operator's, so the receiver is not the cause. The message is safe to log."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """The address of the proxy and its credentials, which ``repr`` does not show."""

    host: str
    port: int
    user: str = field(repr=False)
    password: str = field(repr=False)

    @property
    def authorization(self) -> str:
        """The value of the header ``Proxy-Authorization``; empty without credentials."""
        if not self.user:
            return ""
        return "Basic " + b64encode(f"{self.user}:{self.password}".encode()).decode("ascii")


def configured_proxy() -> Proxy | None:
    """Return the proxy of the setting ``PROXY_URL``, or None. Raise `ConfigurationError` for a wrong value."""
    return _parsed(app_settings.PROXY_URL) if app_settings.PROXY_URL else None


def tunnel_address(addresses: Sequence[str]) -> str:
    """Return the address of a receiver that the proxy connects to: an IPv4 one if there is any."""
    return next((address for address in addresses if ":" not in address), addresses[0])


@lru_cache(maxsize=4)
def _parsed(url: str) -> Proxy:
    found = _URL.fullmatch(url)
    if found is None or not 0 < int(found[4]) < 65_536:
        # Never the value: it may hold a password.
        raise ConfigurationError(
            f"{SETTING_NAME}['PROXY_URL'] is not of the form {FORM}.",
            number="E018",
            hint=f"Write it like {FORM}, or remove the setting.",
        )
    return Proxy(found[3].strip("[]"), int(found[4]), unquote(found[1] or ""), unquote(found[2] or ""))
