"""Sign requests by Standard Webhooks 1.0.0, so that its public libraries verify them; and, if asked for, as GitHub does.

Pure functions: no clock, no database, no settings.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Sequence

SECRET_PREFIX = "whsec_"  # noqa: S105  (the public prefix of every secret, not a secret)
SHORTEST_KEY = 24
"""Minimum length of a key in bytes, by the specification."""
LONGEST_KEY = 64
"""Maximum length of a key in bytes, by the specification."""

ID_HEADER = "webhook-id"
TIMESTAMP_HEADER = "webhook-timestamp"
SIGNATURE_HEADER = "webhook-signature"

BODY_PREFIX = "sha256="
"""The optional prefix of `body_signature`."""

MESSAGE_ID = re.compile(r"[A-Za-z0-9_-]+")
"""The ids that `sign` accepts."""


def secret_key(secret: str) -> bytes:
    """Return the key that ``secret`` encodes.

    Raise `ValueError` unless the secret is ``whsec_`` followed by the padded base64 of 24 to 64 bytes. Other encodings
    are refused, because receivers' libraries decode them differently. The error never holds the secret.
    """
    if not secret.startswith(SECRET_PREFIX):
        raise ValueError(f"A signing secret starts with {SECRET_PREFIX!r}; this one does not.")
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except ValueError:
        # The cause is left out: it could quote the secret.
        raise ValueError(f"A signing secret must be base64 after {SECRET_PREFIX!r}; this one is not.") from None
    if not SHORTEST_KEY <= len(key) <= LONGEST_KEY:
        raise ValueError(f"A signing secret holds {SHORTEST_KEY} to {LONGEST_KEY} bytes; this one holds {len(key)}.")
    return key


def sign(*, secrets: Sequence[str], message_id: str, timestamp: int, body: bytes) -> str:
    """Return the ``webhook-signature`` of a request: one ``v1,<base64>`` per secret, joined by spaces.

    Args:
        secrets: The secrets that are valid now, newest first. During a rotation, the old ones are included.
        message_id: The event's id: letters, digits, ``_`` and ``-``.
        timestamp: The time of this attempt, in whole seconds since 1970 UTC.
        body: The exact bytes that are sent.

    The signed content is ``{message_id}.{timestamp}.{body}``. An id with a ``.`` is refused: the signature of one
    request would also be valid for other requests. Raise `ValueError` for such an id, for a malformed secret and for
    an empty list of secrets.
    """
    if not MESSAGE_ID.fullmatch(message_id):
        raise ValueError(f"A message id holds letters, digits, '_' and '-' only, not {message_id!r}.")
    if not secrets:
        raise ValueError("No secret is given; a request is never sent without a signature.")
    content = f"{message_id}.{timestamp:d}.".encode("ascii") + body
    digests = [hmac.digest(secret_key(secret), content, hashlib.sha256) for secret in secrets]
    return " ".join(["v1," + base64.b64encode(digest).decode("ascii") for digest in digests])


def signature_headers(*, secrets: Sequence[str], message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Return the three headers of a signed request; the arguments and errors are those of `sign`."""
    return {
        ID_HEADER: message_id,
        TIMESTAMP_HEADER: f"{timestamp:d}",
        SIGNATURE_HEADER: sign(secrets=secrets, message_id=message_id, timestamp=timestamp, body=body),
    }


def body_signature(*, secret: str, body: bytes, has_prefix: bool) -> str:
    """Return GitHub's signature of a body: ``sha256=`` (if it ``has_prefix``) and the hex HMAC-SHA256.

    The key is the text of the secret as it is shown, ``whsec_`` included, in ASCII; it is not decoded from base64.
    """
    digest = hmac.digest(secret.encode("ascii"), body, hashlib.sha256).hex()
    return f"{BODY_PREFIX}{digest}" if has_prefix else digest
