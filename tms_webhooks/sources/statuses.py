"""Translate a host's status values into the statuses of the training system."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from django.db.models import IntegerChoices

from tms_webhooks import choices
from tms_webhooks.exceptions import PayloadError

# Names that the real system's pages use where its API uses others.
OTHER_WORDS: dict[type[IntegerChoices], dict[str, IntegerChoices]] = {
    choices.ClassStatus: {
        "canceled": choices.ClassStatus.CANCELLED,
        "confirmed": choices.ClassStatus.GUARANTEED_TO_RUN,
    },
    choices.EnrollmentStatus: {
        "requested": choices.EnrollmentStatus.REQUEST,
        "cancelled": choices.EnrollmentStatus.CANCEL,
        "canceled": choices.EnrollmentStatus.CANCEL,
        "waitlisted": choices.EnrollmentStatus.WAITLIST,
        "approved": choices.EnrollmentStatus.APPROVE,
        "denied": choices.EnrollmentStatus.DENY,
        "audited": choices.EnrollmentStatus.AUDIT,
        "enrolled": choices.EnrollmentStatus.ENROLL,
    },
    choices.CompletionStatus: {"completed": choices.CompletionStatus.COMPLETE},
    choices.AssignmentStatus: {"canceled": choices.AssignmentStatus.CANCELLED},
}


def read_status(
    value: Any, *, field: str, statuses: type[IntegerChoices], mapping: Mapping[Any, Any] | None = None
) -> IntegerChoices | None:
    """Return the status that the host's ``value`` means; None stays None.

    ``mapping`` translates the host's value first. The result is read as a number, then as a name, ignoring case and
    separators. Raises `PayloadError` for an unknown value.
    """
    if value is None:
        return None
    if mapping is not None:
        if value not in mapping:
            raise PayloadError(f"{field}: the value {value!r} has no entry in statuses[{field!r}]; add one.")
        value = mapping[value]
    word = value if isinstance(value, str | int) and not isinstance(value, bool) else None
    if isinstance(word, str):
        word = int(word) if word.isdecimal() else re.sub(r"[^a-z0-9]", "", word.lower())
    member = _by_word(statuses).get(word)
    if member is None:
        raise PayloadError(
            f"{field}: the value {value!r} is not a {statuses.__name__}; map it in statuses[{field!r}] "
            f"to one of {', '.join(f'{m.value} {m.name}' for m in statuses)}."
        )
    return member


@cache
def _by_word(statuses: type[IntegerChoices]) -> Mapping[Any, IntegerChoices]:
    """Return the statuses by their numbers, and by their names in lower case without separators."""
    names = {member.name.replace("_", "").lower(): member for member in statuses}
    return {**OTHER_WORDS.get(statuses, {}), **names, **{member.value: member for member in statuses}}
