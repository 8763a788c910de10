"""How a request authenticates: its header, the request for an access token, and the answer of the token URL.

Functions of their arguments, without clock and database. `tms_webhooks.worker.send` requests tokens and keeps them.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import quote_plus, urlencode

from django.utils.crypto import salted_hmac

from tms_webhooks.choices import AuthenticationKind, ClientAuthentication, ErrorClass
from tms_webhooks.exceptions import DeliveryError, UnsafeURL
from tms_webhooks.models.credentials import AUTHORIZATION, Values, to_text, with_defaults
from tms_webhooks.net import urls
from tms_webhooks.net.transports.base import Request, Response
from tms_webhooks.validators import header_key

TOKEN_LIFETIME = timedelta(hours=1)
"""Lifetime of a token whose answer has no ``expires_in``, unless the receiver refuses it earlier."""
LONGEST_LIFETIME = timedelta(days=30)
"""A longer ``expires_in`` counts as this one."""
MARGIN = timedelta(seconds=30)
"""A token is renewed so long before it expires, and at most a tenth of its lifetime before."""

# The errors of RFC 6749, section 5.2: only these are quoted, because a server may answer anything.
_ERRORS = frozenset(
    {
        "invalid_request",
        "invalid_client",
        "invalid_grant",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
    }
)
# Errors that keep their class: they are permanent, or the operator's.
_OWN_CLASSES = frozenset({ErrorClass.BLOCKED_ADDRESS, ErrorClass.INVALID_URL, ErrorClass.PROXY_ERROR})


@dataclass(frozen=True, slots=True, repr=False)
class ClientCredentials:
    """The OAuth 2 client of a webhook. ``fingerprint`` changes with any of its values, and shows none."""

    values: Values
    fingerprint: str

    def __repr__(self) -> str:
        return f"<ClientCredentials {self.fingerprint[:8]}>"


def fixed_headers(kind: str, values: Values) -> dict[str, str]:
    """Return the header of an authentication that needs no access token; {} for the other kinds."""
    if kind == AuthenticationKind.BASIC:
        return {AUTHORIZATION: _basic(values.get("username", ""), values.get("password", ""))}
    if kind == AuthenticationKind.BEARER:
        return bearer_header(values.get("token", ""))
    if kind == AuthenticationKind.HEADER:
        return {values.get("name", ""): values.get("value", "")}
    return {}


def bearer_header(token: str) -> dict[str, str]:
    """Return the header with a bearer token."""
    return {AUTHORIZATION: f"Bearer {token}"}


def merged(headers: Mapping[str, str], own: Mapping[str, str]) -> dict[str, str]:
    """Return the webhook's ``own`` headers and those of its authentication, which replace own ones of the same name."""
    taken = {header_key(name) for name in headers}
    return {**{name: value for name, value in own.items() if header_key(name) not in taken}, **headers}


def client_credentials(values: Values) -> ClientCredentials:
    """Return the OAuth 2 client with these credentials."""
    known = with_defaults(AuthenticationKind.OAUTH2, values)
    # Keyed, so that a dump of the database does not help to guess a short client secret.
    fingerprint = salted_hmac("tms_webhooks.access_token", to_text(known), algorithm="sha256").hexdigest()
    return ClientCredentials(known, fingerprint)


def token_request(client: ClientCredentials, *, user_agent: str, deadline: float) -> Request:
    """Return the request for an access token: RFC 6749, section 4.4. ``deadline`` is in seconds."""
    values = client.values
    form = {"grant_type": "client_credentials"}
    form |= {name: values[name] for name in ("scope", "audience") if name in values}
    identity = {name: values.get(name, "") for name in ("client_id", "client_secret")}
    headers = {
        "accept": "application/json",
        "content-type": "application/x-www-form-urlencoded",
        "user-agent": user_agent,
    }
    if values["client_authentication"] == ClientAuthentication.BODY:
        form |= identity
    else:
        # Section 2.3.1: both are encoded first, so that a colon in them is none.
        headers[AUTHORIZATION] = _basic(*map(quote_plus, identity.values()))
    return Request("POST", values.get("token_url", ""), headers, urlencode(form).encode("ascii"), deadline)


def token_of(response: Response) -> tuple[str, timedelta]:
    """Return the access token of an answer, and for how long to use it. Raise `DeliveryError`, which quotes no value."""
    try:
        data = json.loads(response.body)
    except (ValueError, RecursionError):
        data = {}
    data = data if isinstance(data, dict) else {}
    if not 200 <= response.status <= 299:
        text, error = f"answered HTTP {response.status}", data.get("error")
        if 300 <= response.status <= 399:
            text += "; redirects are not followed"
        elif isinstance(error, str) and error in _ERRORS:
            text += f" ({error})"
        raise _refused(text)
    token = data.get("access_token")
    if not isinstance(token, str) or not token:
        raise _refused(f"answered HTTP {response.status} without JSON that has an access_token")
    if not token.isascii() or not token.isprintable() or " " in token:
        raise _refused("issued a token that no header can carry")
    try:
        # Some servers write the number as text.
        lifetime = timedelta(seconds=min(max(float(data["expires_in"]), 0.0), LONGEST_LIFETIME.total_seconds()))
    except (KeyError, TypeError, ValueError, OverflowError):
        return token, TOKEN_LIFETIME
    return token, lifetime - min(MARGIN, lifetime / 10)


def failure(client: ClientCredentials, error: DeliveryError) -> DeliveryError:
    """Return the error of an attempt whose access token could not be had. The message names the host of the token URL."""
    own = error.error_class in _OWN_CLASSES
    try:
        host = urls.split_url(client.values.get("token_url", "")).host
    except UnsafeURL:
        host = "the token URL"
    text = str(error).removeprefix(f"{host}: ")
    return DeliveryError(
        f"no access token: {host}: {text}",
        error_class=error.error_class if own else ErrorClass.TOKEN_ERROR,
        permanent=error.permanent and own,
        timing=error.timing,
    )


def _basic(name: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode("ascii")


def _refused(text: str) -> DeliveryError:
    return DeliveryError(text, error_class=ErrorClass.TOKEN_ERROR)
