"""Translate a host's status values into the statuses of the training system."""

from __future__ import annotations

import re
from collections.abc import Mapping
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
    member = _by_number(value, statuses)
    if member is None:
        member = _by_name(value, statuses)
    if member is None:
        raise PayloadError(
            f"{field}: the value {value!r} is not a {statuses.__name__}; map it in statuses[{field!r}] "
            f"to one of {', '.join(f'{m.value} {m.name}' for m in statuses)}."
        )
    return member


def _by_number(value: Any, statuses: type[IntegerChoices]) -> IntegerChoices | None:
    if isinstance(value, bool) or not (isinstance(value, int) or (isinstance(value, str) and value.isdecimal())):
        return None
    try:
        return statuses(int(value))
    except ValueError:
        return None


def _by_name(value: Any, statuses: type[IntegerChoices]) -> IntegerChoices | None:
    if not isinstance(value, str):
        return None
    word = re.sub(r"[^a-z0-9]", "", value.lower())
    by_name = {member.name.replace("_", "").lower(): member for member in statuses}
    return {**OTHER_WORDS.get(statuses, {}), **by_name}.get(word)
