"""What is fuzzed: each takes anything and returns what was understood, or None where it was refused as planned."""

from __future__ import annotations

from collections.abc import Mapping

from django.core.exceptions import ValidationError

from tms_webhooks.exceptions import UnsafeURL
from tms_webhooks.net.urls import SafeURL, check_url
from tms_webhooks.validators import parse_headers


def url(text: str) -> SafeURL | None:
    """Take a URL apart."""
    try:
        return check_url(text)
    except UnsafeURL:
        return None


def header_lines(text: str) -> Mapping[str, str] | None:
    """Read header lines."""
    try:
        return parse_headers(text, custom_body=True)
    except ValidationError:
        return None


def refusal_of_header_lines(text: str) -> str:
    """Return what is said against header lines; nothing where they are right."""
    try:
        parse_headers(text, custom_body=True)
    except ValidationError as error:
        return "\n".join(error.messages)
    return ""
