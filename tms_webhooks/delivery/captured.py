"""A request as a file: header lines, an empty line, and the very bytes of the body. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

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
class Captured:
    """One request. The names of its headers are in lower case."""

    headers: Mapping[str, str]
    body: bytes


def read(raw: bytes) -> Captured:
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
    return Captured(headers, body)


def write(captured: Captured) -> bytes:
    """Write a request so that `read` understands it, with the headers that a verification needs."""
    lines = [f"{name}: {captured.headers[name]}" for name in KEPT_HEADERS if name in captured.headers]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + captured.body
