"""The function that builds the messages of checks. docs/reference/checks.md lists their ids with the meanings.

An id begins with E for an error, W for a warning, I for information. A retired id is never used again.
"""

from __future__ import annotations

from django.core import checks
from django.core.checks import CheckMessage

from tms_webhooks import validators
from tms_webhooks.exceptions import ConfigurationError
from tms_webhooks.sources.base import Source
from tms_webhooks.sources.mapping import OWN_PACKAGE

PREFIX = "tms_webhooks"

LEVELS = {"E": checks.ERROR, "W": checks.WARNING, "I": checks.INFO}


def message(number: str, text: str, *, hint: str, obj: object = None) -> CheckMessage:
    """Return the message with the id ``number``, such as "E031". ``hint`` is the remedy; ``obj`` is the subject.

    The hint of a message about a source ends with the nearest class of the package, whose reference describes it.
    """
    if isinstance(obj, Source):
        own = next(base for base in type(obj).__mro__ if base.__module__.startswith(OWN_PACKAGE))
        page = own.noun.name if hasattr(own, "noun") else "index"
        hint += f"\n\tSee {own.__name__} in docs/reference/sources/{page}.md."
    return CheckMessage(LEVELS[number[0]], text, hint=hint, obj=obj, id=f"{PREFIX}.{number}")


def message_of(error: ConfigurationError, source: Source | None = None) -> CheckMessage:
    """Return a mistake in a setting or a source as a message."""
    return message(error.number, str(error), hint=error.hint, obj=source)


def shorten(value: object) -> str:
    """Return ``repr(value)``, cut to at most 60 characters."""
    return validators.shorten(repr(value))
