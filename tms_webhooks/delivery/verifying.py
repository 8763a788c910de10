"""Is a request's signature right, and if not, why: what a receiver asks, and what helps to find its mistake.

Pure, as `signing` is. It judges as the public Standard Webhooks libraries do and says more than they may: they answer
a stranger, this answers the webhook's owner.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tms_webhooks.delivery.signing import ID_HEADER, MESSAGE_ID, SIGNATURE_HEADER, TIMESTAMP_HEADER, sign

TOLERANCE = 300.0
"""For how many seconds a request is fresh, as the public libraries have it."""

SCHEME = "v1,"
BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is wrong with a request, in sentences that hold no secret and nothing of the body; nothing where it is right."""

    problems: tuple[str, ...] = ()

    @property
    def right(self) -> bool:
        """Whether the signature fits, and the request is fresh."""
        return not self.problems


@dataclass(frozen=True, slots=True, repr=False)
class Claim:
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
) -> Verdict:
    """Judge a request that came in at ``now``, in seconds since the epoch.

    ``headers`` have names in lower case. ``retired`` are secrets that don't sign any more, and ``sent`` the body as it
    was sent: neither makes a request right, but both help to say why it is not. Raise `ValueError` for a malformed secret.
    """
    claim = _claim(headers)
    if isinstance(claim, Verdict):
        return claim
    problems = list(_staleness(claim.timestamp, now, tolerance))
    if not _fits(claim, secrets, body):
        problems.append(_mismatch(claim, secrets, body, retired=retired, sent=sent))
    return Verdict(tuple(problems))


def _claim(headers: Mapping[str, str]) -> Claim | Verdict:
    missing = [name for name in (ID_HEADER, TIMESTAMP_HEADER, SIGNATURE_HEADER) if not headers.get(name)]
    if missing:
        return Verdict(
            (f"The request has no {' and no '.join(missing)}; it was not sent by us, or a proxy removed headers.",)
        )
    if not MESSAGE_ID.fullmatch(headers[ID_HEADER]):
        return Verdict((f"{ID_HEADER} holds more than letters, digits, '_' and '-'.",))
    timestamp = headers[TIMESTAMP_HEADER]
    if not (timestamp.isascii() and timestamp.isdecimal() and len(timestamp) <= 12):
        return Verdict((f"{TIMESTAMP_HEADER} is no whole number of seconds since 1970.",))
    signatures = tuple(one for one in headers[SIGNATURE_HEADER].split(" ") if one.startswith(SCHEME))
    if not signatures:
        return Verdict((f"{SIGNATURE_HEADER} holds no signature that begins with {SCHEME!r}.",))
    return Claim(headers[ID_HEADER], int(timestamp), signatures)


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


def _fits(claim: Claim, secrets: Sequence[str], body: bytes) -> bool:
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


def _mismatch(claim: Claim, secrets: Sequence[str], body: bytes, *, retired: Sequence[str], sent: bytes | None) -> str:
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
