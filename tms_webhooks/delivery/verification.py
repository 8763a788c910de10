"""Verify the signature of a request that a receiver got, and find out why it does not match.

The request comes from an HTTP server or from a file. The file has the header lines, an empty line and the exact bytes
of the body. Pure functions: no clock, no database, no settings.
"""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tms_webhooks.delivery.signing import ID_HEADER, MESSAGE_ID, SIGNATURE_HEADER, TIMESTAMP_HEADER, sign

TOLERANCE = 300.0
"""Maximum difference in seconds between the signing time and the time of arrival, as in the public libraries."""

KEPT_HEADERS = (
    "content-type",
    "tms-attempt",
    "tms-delivery-id",
    "tms-test",
    "webhook-id",
    "webhook-signature",
    "webhook-timestamp",
)
"""The headers that `write` keeps. The webhook's own headers are secret and are left out."""

SCHEME = "v1,"
BOM = b"\xef\xbb\xbf"

_REQUEST_LINE = re.compile(rb"[A-Z]+ \S+ HTTP/\S+")
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_END_OF_HEAD = re.compile(rb"\r?\n\r?\n")


@dataclass(frozen=True, slots=True, repr=False)
class CapturedRequest:
    """The headers, by names in lower case, and the body of a request. ``repr`` shows neither."""

    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class VerificationResult:
    """The problems of a request, as sentences without any secret and without any part of the body.

    ``signer`` is the place of the secret that signed it among ``secrets`` and, after these, ``retired``; None if none of
    them did. ``signed_at`` is the time of the signature in seconds since 1970, None without a valid header.
    """

    problems: tuple[str, ...] = ()
    signer: int | None = None
    signed_at: int | None = None

    @property
    def valid(self) -> bool:
        """Whether the signature matches and the timestamp is within the tolerance."""
        return not self.problems


@dataclass(frozen=True, slots=True, repr=False)
class SignatureHeaders:
    """The parsed headers of a signed request. ``signatures`` are those of the scheme ``v1``."""

    message_id: str
    timestamp: int
    signatures: tuple[str, ...]


def read(raw: bytes) -> CapturedRequest:
    """Parse a captured request, with or without its request line; raise `ValueError` if it is malformed."""
    end = _END_OF_HEAD.search(raw)
    head, body = (raw, b"") if end is None else (raw[: end.start()], raw[end.end() :])
    lines = head.splitlines()
    if lines and _REQUEST_LINE.fullmatch(lines[0].rstrip()):
        del lines[0]
    headers: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        name, colon, value = line.decode("latin-1").partition(":")
        if not colon or not _NAME.fullmatch(name):
            raise ValueError(
                f"Header line {number} is not of the form name: value. A captured request is header lines "
                "(name: value), an empty line and the body."
            )
        headers[name.lower()] = value.strip()
    if not headers:
        raise ValueError(
            "The request has no header lines. Begin with webhook-id, webhook-timestamp and webhook-signature, then an "
            "empty line and the body."
        )
    return CapturedRequest(headers, body)


def write(captured: CapturedRequest) -> bytes:
    """Return a captured request as `read` parses it, with those of its headers that are in KEPT_HEADERS."""
    lines = [f"{name}: {captured.headers[name]}" for name in KEPT_HEADERS if name in captured.headers]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + captured.body


def verify(
    *,
    secrets: Sequence[str],
    headers: Mapping[str, str],
    body: bytes,
    now: float,
    tolerance: float = TOLERANCE,
    retired: Sequence[str] = (),
    sent: bytes | None = None,
) -> VerificationResult:
    """Verify a request that arrived at ``now``, in seconds since 1970. Raise `ValueError` for a malformed secret.

    Args:
        secrets: The secrets that are valid now.
        headers: The headers, by names in lower case.
        body: The bytes that arrived.
        now: Time of arrival.
        tolerance: Maximum difference between ``now`` and the signing time, in seconds.
        retired: Secrets that are no longer valid. A match is reported as a problem.
        sent: The body as it was sent, if known. Only explains why the signature does not match.
    """
    signed = _signature_headers(headers)
    if isinstance(signed, VerificationResult):
        return signed
    problems = list(_staleness(signed.timestamp, now, tolerance))
    # Each secret is tried, so that the duration reveals nothing.
    signers = [place for place, one in enumerate([*secrets, *retired]) if _matches(signed, [one], body)]
    signer = min(signers, default=None)
    if signer is None or signer >= len(secrets):
        problems.append(_mismatch(signed, secrets, body, retired=retired, sent=sent))
    return VerificationResult(tuple(problems), signer, signed.timestamp)


def _signature_headers(headers: Mapping[str, str]) -> SignatureHeaders | VerificationResult:
    missing = [name for name in (ID_HEADER, TIMESTAMP_HEADER, SIGNATURE_HEADER) if not headers.get(name)]
    if missing:
        return VerificationResult(
            (
                f"The request has no {' and no '.join(missing)}; the sender is another one, or a proxy removed the headers.",
            )
        )
    if not MESSAGE_ID.fullmatch(headers[ID_HEADER]):
        return VerificationResult((f"{ID_HEADER} holds more than letters, digits, '_' and '-'.",))
    timestamp = headers[TIMESTAMP_HEADER]
    if not (timestamp.isascii() and timestamp.isdecimal() and len(timestamp) <= 12):
        return VerificationResult((f"{TIMESTAMP_HEADER} is not a whole number of seconds since 1970.",))
    signatures = tuple(one for one in headers[SIGNATURE_HEADER].split(" ") if one.startswith(SCHEME))
    if not signatures:
        return VerificationResult((f"{SIGNATURE_HEADER} has no signature that begins with {SCHEME!r}.",))
    return SignatureHeaders(headers[ID_HEADER], int(timestamp), signatures)


def _staleness(timestamp: int, now: float, tolerance: float) -> Iterator[str]:
    age = now - timestamp
    if age > tolerance:
        yield (
            f"The request was signed {age:.0f} s before it arrived; at most {tolerance:.0f} s are allowed: it "
            "was delayed or replayed, or the receiver's clock is fast."
        )
    elif age < -tolerance:
        yield (
            f"The request was signed {-age:.0f} s after it arrived; at most {tolerance:.0f} s are allowed: the "
            "receiver's clock is slow, or the sender's is fast."
        )


def _matches(signed: SignatureHeaders, secrets: Sequence[str], body: bytes) -> bool:
    if not secrets:
        return False
    expected = sign(secrets=secrets, message_id=signed.message_id, timestamp=signed.timestamp, body=body).split(" ")
    # All pairs are compared, so that the duration reveals nothing.
    matches = [
        hmac.compare_digest(one.encode(), other.encode("utf-8", "replace"))
        for one in expected
        for other in signed.signatures
    ]
    return any(matches)


def _mismatch(
    signed: SignatureHeaders, secrets: Sequence[str], body: bytes, *, retired: Sequence[str], sent: bytes | None
) -> str:
    if _matches(signed, retired, body):
        return "The request is signed with a secret that is no longer valid: configure the webhook's current secret in the receiver."
    for change, original in _originals(body):
        if _matches(signed, [*secrets, *retired], original):
            return f"The body was changed in transit: {change}. Verify the raw bytes, before a proxy or a parser changes them."
    if sent is not None and sent != body:
        position = next((at for at, (one, other) in enumerate(zip(sent, body, strict=False)) if one != other), None)
        where = f"the first difference is at byte {min(len(sent), len(body)) if position is None else position}"
        return (
            f"The body was changed in transit: {len(sent)} bytes were sent, {len(body)} arrived, and {where}. "
            "Verify the raw bytes, before a proxy or a parser changes them."
        )
    if sent is not None:
        return f"The body is unchanged, so the secret, {ID_HEADER} or {TIMESTAMP_HEADER} differs from the one that was sent."
    return "No signature matches: the body was changed in transit, or the secret belongs to another webhook."


def _originals(body: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield possible changes to the body: a description, and the body before the change."""
    if not body:
        return
    yield "an end of line was added", body.removesuffix(b"\n")
    yield "an end of line was added", body.removesuffix(b"\r\n")
    yield "an end of line was removed", body + b"\n"
    yield "its line endings were changed", body.replace(b"\r\n", b"\n")
    yield "its line endings were changed", body.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    yield "a byte order mark was added", body.removeprefix(BOM)
    try:
        yield "it was decoded with a charset other than UTF-8 and encoded again", body.decode().encode("latin-1")
        yield "it was decoded with a charset other than UTF-8 and encoded again", body.decode().encode("cp1252")
    except UnicodeError:
        pass
    try:
        compact = json.dumps(json.loads(body), separators=(",", ":"), ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return
    yield "it is the same JSON, serialized again", compact
