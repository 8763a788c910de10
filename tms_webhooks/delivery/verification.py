"""A request as a file: header lines, an empty line, and the very bytes of the body. Pure."""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tms_webhooks.delivery.signing import ID_HEADER, MESSAGE_ID, SIGNATURE_HEADER, TIMESTAMP_HEADER, sign

KEPT_HEADERS = (
    "content-type",
    "tms-attempt",
    "tms-delivery-id",
    "webhook-id",
    "webhook-signature",
    "webhook-timestamp",
)
"""What a capture holds: none of the webhook's own headers, which are secrets."""

_REQUEST_LINE = re.compile(rb"[A-Z]+ \S+ HTTP/\S+")
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_END_OF_HEAD = re.compile(rb"\r?\n\r?\n")


@dataclass(frozen=True, slots=True, repr=False)
class CapturedRequest:
    """One request. The names of its headers are in lower case."""

    headers: Mapping[str, str]
    body: bytes


def read(raw: bytes) -> CapturedRequest:
    """Read a captured request, with its request line or without; raise `ValueError` for anything else."""
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
                f"Header line {number} is not of the form name: value. A captured request is header lines (name: value), an empty line "
                "and the body."
            )
        headers[name.lower()] = value.strip()
    if not headers:
        raise ValueError("There are no header lines before the body: webhook-id, webhook-timestamp, webhook-signature.")
    return CapturedRequest(headers, body)


def write(captured: CapturedRequest) -> bytes:
    """Write a request so that `read` understands it, with the headers that a verification needs."""
    lines = [f"{name}: {captured.headers[name]}" for name in KEPT_HEADERS if name in captured.headers]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + captured.body


TOLERANCE = 300.0
"""For how many seconds a request is fresh, as the public libraries have it."""

SCHEME = "v1,"
BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class VerificationResult:
    """What is wrong with a request, in sentences that hold no secret and nothing of the body; nothing where it is right."""

    problems: tuple[str, ...] = ()

    @property
    def right(self) -> bool:
        """Whether the signature fits, and the request is fresh."""
        return not self.problems


@dataclass(frozen=True, slots=True, repr=False)
class SignatureHeaders:
    """What the headers of a request say of its signature."""

    message_id: str
    timestamp: int
    signatures: tuple[str, ...]


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
    """Judge a request that came in at ``now``, in seconds since the epoch.

    ``headers`` have names in lower case. ``retired`` are secrets that don't sign any more, and ``sent`` the body as it
    was sent: neither makes a request right, but both help to say why it is not. Raise `ValueError` for a malformed secret.
    """
    claim = _claim(headers)
    if isinstance(claim, VerificationResult):
        return claim
    problems = list(_staleness(claim.timestamp, now, tolerance))
    if not _fits(claim, secrets, body):
        problems.append(_mismatch(claim, secrets, body, retired=retired, sent=sent))
    return VerificationResult(tuple(problems))


def _claim(headers: Mapping[str, str]) -> SignatureHeaders | VerificationResult:
    missing = [name for name in (ID_HEADER, TIMESTAMP_HEADER, SIGNATURE_HEADER) if not headers.get(name)]
    if missing:
        return VerificationResult(
            (f"The request has no {' and no '.join(missing)}; it was not sent by us, or a proxy removed headers.",)
        )
    if not MESSAGE_ID.fullmatch(headers[ID_HEADER]):
        return VerificationResult((f"{ID_HEADER} holds more than letters, digits, '_' and '-'.",))
    timestamp = headers[TIMESTAMP_HEADER]
    if not (timestamp.isascii() and timestamp.isdecimal() and len(timestamp) <= 12):
        return VerificationResult((f"{TIMESTAMP_HEADER} is no whole number of seconds since 1970.",))
    signatures = tuple(one for one in headers[SIGNATURE_HEADER].split(" ") if one.startswith(SCHEME))
    if not signatures:
        return VerificationResult((f"{SIGNATURE_HEADER} holds no signature that begins with {SCHEME!r}.",))
    return SignatureHeaders(headers[ID_HEADER], int(timestamp), signatures)


def _staleness(timestamp: int, now: float, tolerance: float) -> Iterator[str]:
    age = now - timestamp
    if age > tolerance:
        yield (
            f"It was signed {age:.0f} s before it came in, more than the {tolerance:.0f} s that are allowed: it was "
            "kept back or is played again, or the receiver's clock is fast."
        )
    elif age < -tolerance:
        yield (
            f"It was signed {-age:.0f} s after it came in, more than the {tolerance:.0f} s that are allowed: the "
            "receiver's clock is slow, or the sender's fast."
        )


def _fits(claim: SignatureHeaders, secrets: Sequence[str], body: bytes) -> bool:
    if not secrets:
        return False
    expected = sign(secrets=secrets, message_id=claim.message_id, timestamp=claim.timestamp, body=body).split(" ")
    # All of them are compared, so that the time taken says nothing.
    fits = [
        hmac.compare_digest(one.encode(), other.encode("utf-8", "replace"))
        for one in expected
        for other in claim.signatures
    ]
    return any(fits)


def _mismatch(
    claim: SignatureHeaders, secrets: Sequence[str], body: bytes, *, retired: Sequence[str], sent: bytes | None
) -> str:
    if _fits(claim, retired, body):
        return "It is signed with a secret that was rotated away: give the receiver the webhook's present secret."
    for what, original in _originals(body):
        if _fits(claim, [*secrets, *retired], original):
            return (
                f"The body was changed on its way: {what}. Verify the raw bytes, before a proxy or a parser has them."
            )
    if sent is not None and sent != body:
        place = next((at for at, (one, other) in enumerate(zip(sent, body, strict=False)) if one != other), None)
        where = f"they differ first at byte {min(len(sent), len(body)) if place is None else place}"
        return (
            f"The body was changed on its way: {len(sent)} bytes were sent, these are {len(body)}, and {where}. "
            "Verify the raw bytes, before a proxy or a parser has them."
        )
    if sent is not None:
        return (
            f"The body is what was sent, so the secret, {ID_HEADER} or {TIMESTAMP_HEADER} is another one than it was."
        )
    return "No signature fits: the body was changed on its way, or the secret is another webhook's."


def _originals(body: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield what the body may have been before something changed it, and how that changes a body."""
    if not body:
        return
    yield "an end of line was added", body.removesuffix(b"\n")
    yield "an end of line was added", body.removesuffix(b"\r\n")
    yield "an end of line was removed", body + b"\n"
    yield "its line ends were changed", body.replace(b"\r\n", b"\n")
    yield "its line ends were changed", body.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    yield "a byte order mark was added", body.removeprefix(BOM)
    try:
        yield "it was read in another charset than UTF-8 and written again", body.decode().encode("latin-1")
        yield "it was read in another charset than UTF-8 and written again", body.decode().encode("cp1252")
    except UnicodeError:
        pass
    try:
        compact = json.dumps(json.loads(body), separators=(",", ":"), ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return
    yield "it is the same JSON, written anew", compact
