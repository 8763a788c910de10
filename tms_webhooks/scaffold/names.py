"""Compare the names of a host's models, columns and choices with those of the catalogue."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.db import models

from tms_webhooks.catalogue.schema import Field, FieldKind
from tms_webhooks.catalogue.values import status_name
from tms_webhooks.exceptions import PayloadError
from tms_webhooks.sources.mapping import kind_at, read_status

_WORD = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|[0-9]+")
# Words that say what a column holds, not what it means.
_FILLERS = frozenset({"at", "on", "date", "time", "datetime", "dt", "timestamp", "id", "is", "has", "the", "of"})

# Other names of canonical fields, the likeliest first.
SYNONYMS: Mapping[str, Sequence[str]] = {
    "external_id": ("external_ref", "external_reference", "external_key", "crm_id", "crm_number", "crm_key", "staff_number"),
    "course.external_id": ("external_ref", "code", "course_code"),
    "organization.name": ("title", "label", "company_name"),
    "name": ("title", "label", "display_name", "caption"),
    "content": ("text", "comment", "comments", "body", "message"),
    "status": ("state", "confirmation_status", "enrollment_status", "booking_status"),
    "completion_status": ("completion", "outcome", "result", "attendance"),
    "assignment_status": ("status", "state"),
    "enabled": ("active", "is_active", "published"),
    "start_at": ("starts", "start", "begins", "begin", "valid_from"),
    "end_at": ("ends", "end", "finishes"),
    "started_at": ("started", "begun", "opened"),
    "completed_at": ("completed", "finished", "completion_date"),
    "expires_at": ("expires", "expiry", "expiration", "due", "due_date", "deadline", "valid_until", "until"),
    "redeemed_at": ("redeemed", "used"),
    "earned_at": ("earned", "awarded", "issued", "given"),
    "submitted_at": ("submitted", "written", "posted", "created"),
    "created_at": ("created", "date_joined"),
    "updated_at": ("updated", "modified", "last_modified", "changed"),
    "time_zone": ("timezone", "tz", "zone"),
    "max_students": ("capacity", "seats", "max_seats", "max_participants"),
    "grade": ("mark", "score", "final_grade"),
    "progress": ("percent", "percent_done", "percentage"),
    "points": ("score", "credits"),
    "user_name": ("username", "login"),
    "first_name": ("given_name", "forename", "firstname"),
    "last_name": ("family_name", "surname", "lastname"),
    "phone": ("telephone", "phone_number", "mobile"),
    "city": ("town",),
    "state": ("region", "province"),
    "zip": ("postal_code", "postcode", "zip_code"),
    "disabled": ("locked", "blocked", "deactivated", "inactive"),
}  # fmt: skip

OPPOSITES: Mapping[str, Sequence[str]] = {
    "disabled": ("active", "enabled"),
    "enabled": ("disabled", "inactive"),
    "is_public": ("private", "hidden"),
}
"""Names that mean the opposite of a canonical field."""

_SECRETS = ("password", "passwd", "passphrase", "passcode", "secret", "token", "otp", "totp", "api_key", "private_key")

_FITTING: Mapping[FieldKind, Sequence[FieldKind]] = {
    FieldKind.STATUS: (FieldKind.STRING, FieldKind.INTEGER),
    FieldKind.NUMBER: (FieldKind.INTEGER, FieldKind.NUMBER),
    FieldKind.ID: (FieldKind.STRING, FieldKind.INTEGER, FieldKind.ID),
    FieldKind.FINGERPRINT: (FieldKind.STRING,),
}
"""The kinds of columns that suit a kind of field, where it is not the same kind alone."""


def words_of(name: str) -> list[str]:
    """Return the words of a name in lower case.

    >>> words_of("TrainingClass"), words_of("starts_at")
    (['training', 'class'], ['starts', 'at'])
    """
    return [word.lower() for word in _WORD.findall(name)]


def alike(name: str, other: str) -> bool:
    """Return whether two names have the same words, ignoring fillers and plurals."""
    return _plain(name) == _plain(other)


def column_for(model: type[models.Model], field: Field, *, taken: Iterable[str] = ()) -> str:
    """Return the model's own column that fits a canonical field best by name and type; empty if none does.

    The last part of the field's name counts: a column for "course.name" is found in the model of the course.
    """
    leaf = field.name.rpartition(".")[2]
    names = (leaf, *SYNONYMS.get(field.name, SYNONYMS.get(leaf, ())))
    columns = [column for column in _columns(model, field.kind) if column not in taken]
    return next((column for name in names for column in columns if alike(column, name)), "")


def opposite_for(model: type[models.Model], field: Field) -> str:
    """Return the model's boolean column that means the opposite of a field; empty if it has none."""
    opposites, columns = OPPOSITES.get(field.name, ()), _columns(model, FieldKind.BOOLEAN)
    return next((name for name in columns if any(alike(name, other) for other in opposites)), "")


def _columns(model: type[models.Model], kind: FieldKind) -> list[str]:
    """Return the names of the model's own columns, other than keys, whose type suits a kind of field."""
    names = [one.name for one in model._meta.concrete_fields if not (one.primary_key or one.remote_field)]
    return [name for name in names if kind_at(model, name) in _FITTING.get(kind, (kind,))]


def is_secret(name: str) -> bool:
    """Return whether a column of this name may hold a password or another secret, such as ``api_token``."""
    words = "_".join(word.removesuffix("s") for word in words_of(name))
    return any(f"_{secret}_" in f"_{words}_" for secret in _SECRETS)


def meanings_of(values: Iterable[tuple[Any, Any]], statuses: type[models.IntegerChoices]) -> dict[Any, str]:
    """Return the name of the status that each value means by its label or its own name; empty if neither is a status.

    A number alone means nothing: the label of 1 may be "Cancelled".
    """
    return {
        value: next(
            filter(None, (meaning_of(text, statuses) for text in (str(label), value) if not str(text).isdecimal())), ""
        )
        for value, label in values
    }


def meaning_of(value: Any, statuses: type[models.IntegerChoices]) -> str:
    """Return the name of the status that a value is read as; empty if it can't be read."""
    try:
        member = read_status(value, field="", statuses=statuses)
    except PayloadError:
        return ""
    return "" if member is None else status_name(member)


def _plain(name: str) -> str:
    words = words_of(name)
    kept = [word for word in words if word not in _FILLERS] or words
    return "".join(word.removesuffix("s") if len(word) > 3 and not word.endswith("ss") else word for word in kept)
