"""What is fuzzed: each takes anything and returns what was understood, or None where it was refused as planned."""

from django.core.exceptions import ValidationError

from tms_webhooks.exceptions import UnsafeURL
from tms_webhooks.net.urls import check_url
from tms_webhooks.validators import parse_headers


def url(text):
    """Take a URL apart."""
    try:
        return check_url(text)
    except UnsafeURL:
        return None


def header_lines(text):
    """Read header lines."""
    try:
        return parse_headers(text)
    except ValidationError:
        return None


def refusal_of_header_lines(text):
    """Return what is said against header lines; nothing where they are right."""
    try:
        parse_headers(text)
    except ValidationError as error:
        return "\n".join(error.messages)
    return ""
