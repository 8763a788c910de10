"""Sign requests as Standard Webhooks 1.0.0 asks, so that its public libraries verify them unchanged.

Pure: bytes in, text out. No clock, no database, no settings.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Sequence

SECRET_PREFIX = "whsec_"  # noqa: S105  (the public prefix of every secret, not a secret)
SHORTEST_KEY = 24
"""The specification's lower limit for a key, in bytes."""
LONGEST_KEY = 64
"""The specification's upper limit for a key, in bytes."""

ID_HEADER = "webhook-id"
TIMESTAMP_HEADER = "webhook-timestamp"
SIGNATURE_HEADER = "webhook-signature"

MESSAGE_ID = re.compile(r"[A-Za-z0-9_-]+")


def secret_key(secret: str) -> bytes:
    """Return the key, in bytes, that ``secret`` stands for.

    Raise `ValueError`, which never holds the secret, unless it is ``whsec_`` followed by the padded base64 of 24 to
    64 bytes. Receivers' libraries differ in what else they decode, so nothing else is accepted.
    """
    if not secret.startswith(SECRET_PREFIX):
        raise ValueError(f"A signing secret starts with {SECRET_PREFIX!r}; this one does not.")
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except ValueError:
        # The cause is left out: it could quote the secret.
        raise ValueError(f"What follows {SECRET_PREFIX!r} in a signing secret must be base64; this is not.") from None
    if not SHORTEST_KEY <= len(key) <= LONGEST_KEY:
        raise ValueError(f"A signing secret holds {SHORTEST_KEY} to {LONGEST_KEY} bytes; this one holds {len(key)}.")
    return key


def sign(*, secrets: Sequence[str], message_id: str, timestamp: int, body: bytes) -> str:
    """Return the ``webhook-signature`` of a request: one ``v1,<base64>`` per secret, joined by spaces.

    Args:
        secrets: Every secret that signs now, newest first; during a rotation the old ones follow.
        message_id: The event's id: letters, digits, ``_`` and ``-``.
        timestamp: This attempt's own time, in whole seconds since 1970 UTC.
        body: The exact bytes that are sent.

    Signed is ``{message_id}.{timestamp}.{body}``. A ``.`` in the id would let one request's signature fit another
    one's bytes, so such an id is refused. Raise `ValueError` for that, for a malformed secret and for no secret.
    """
    if not MESSAGE_ID.fullmatch(message_id):
        raise ValueError(f"A message id holds letters, digits, '_' and '-' only, not {message_id!r}.")
    if not secrets:
        raise ValueError("There is no secret to sign with; an unsigned request is never sent.")
    content = f"{message_id}.{timestamp:d}.".encode("ascii") + body
    return " ".join(f"v1,{_signature(secret_key(secret), content)}" for secret in secrets)


def signature_headers(*, secrets: Sequence[str], message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Return the three headers of a signed request; the arguments and errors are those of `sign`."""
    return {
        ID_HEADER: message_id,
        TIMESTAMP_HEADER: f"{timestamp:d}",
        SIGNATURE_HEADER: sign(secrets=secrets, message_id=message_id, timestamp=timestamp, body=body),
    }


def _signature(key: bytes, content: bytes) -> str:
    return base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode("ascii")
