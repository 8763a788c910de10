"""Compare the names of a host's models and columns with those of the catalogue."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.db import models

from tms_webhooks.catalogue.schema import Field, FieldKind

NEAR = 0.86
"""The least `difflib` ratio of two names that mean the same."""

_WORD = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|[0-9]+")
# Words that say what a column holds, not what it means.
_FILLERS = frozenset({"at", "on", "date", "time", "datetime", "dt", "timestamp", "id", "is", "has", "the", "of"})

# Other names of canonical fields, the likeliest first.
SYNONYMS: Mapping[str, Sequence[str]] = {
    "external_id": (
        "external_ref", "external_reference", "external_key", "foreign_id", "remote_id", "erp_id", "crm_id", "crm_number",
        "crm_key", "erp_key",
        "customer_number", "staff_number", "employee_number", "personnel_number", "ref", "reference",
    ),
    "organization.name": ("title", "label", "company_name", "organization_name", "client_name", "display_name", "full_name"),
    "course.external_id": ("external_ref", "code", "course_code", "number", "course_number", "sku"),
    "name": ("title", "label", "display_name", "full_name", "caption", "subject", "headline"),
    "title": ("headline", "subject", "salutation"),
    "description": ("summary", "abstract", "details", "about", "synopsis"),
    "content": ("text", "comment", "comments", "body", "message", "remark", "review"),
    "status": ("state", "stage", "phase", "confirmation_status", "enrollment_status", "booking_status", "workflow_state"),
    "completion_status": ("completion", "outcome", "result", "attendance", "completion_state", "progress_status"),
    "assignment_status": ("status", "state"),
    "delivery_type": ("delivery", "delivery_mode", "modality", "format", "mode"),
    "location_type": ("location", "attendance_mode", "location_kind"),
    "enabled": ("active", "is_active", "published"),
    "is_public": ("public", "visible", "listed", "publicly_visible"),
    "allow_self_enrollment": ("self_enrollment", "open_enrollment", "self_booking"),
    "start_at": ("starts", "start", "begins", "begin", "beginning", "starts_on", "from", "opens", "held_on", "scheduled_for", "valid_from"),
    "end_at": ("ends", "end", "finishes", "finish", "until", "to", "closes"),
    "started_at": ("started", "begun", "started_on", "first_access", "launched", "opened", "opened_at"),
    "completed_at": ("completed", "finished", "done", "passed", "completion_date"),
    "expires_at": ("expires", "expiry", "expiration", "due", "due_date", "deadline", "valid_until", "ends", "access_until", "until"),
    "target_completion_at": ("target", "target_date", "target_completion", "goal_date"),
    "cancelled_at": ("cancelled", "canceled", "terminated", "revoked"),
    "redeemed_at": ("redeemed", "used", "used_at", "claimed", "consumed"),
    "earned_at": ("earned", "awarded", "issued", "received", "granted", "achieved", "given"),
    "submitted_at": ("submitted", "written", "posted", "created", "given"),
    "created_at": ("created", "date_joined", "created_on", "added", "inserted", "joined"),
    "updated_at": ("updated", "modified", "last_modified", "changed", "last_updated"),
    "closed_at": ("closed", "erased", "anonymized", "deleted_at"),
    "time_zone": ("timezone", "tz", "zone"),
    "min_students": ("minimum", "min_seats", "min_participants", "min_size", "min_attendees"),
    "max_students": ("capacity", "seats", "max_seats", "max_participants", "size", "max_attendees", "places"),
    "meeting_fingerprint": ("meeting_url", "meeting_link", "join_url", "virtual_url", "virtual_link", "zoom", "webinar_url", "link"),
    "late_cancel": ("cancelled_late", "late_cancellation"),
    "retake": ("repeat", "is_repeat", "repeated"),
    "hours_spent": ("hours", "duration_hours", "attended_hours"),
    "grade": ("mark", "score", "points", "final_grade"),
    "score": ("points", "grade", "percent", "result"),
    "progress": ("percent", "percent_done", "percentage", "progress_percent", "percent_complete"),
    "points": ("score", "credits", "value"),
    "payment_type": ("payment", "payment_method", "paid_by"),
    "quantity": ("amount", "count", "uses", "number"),
    "order_id": ("order", "order_number", "order_no"),
    "user_name": ("username", "login", "handle"),
    "first_name": ("given_name", "forename", "firstname", "given", "first"),
    "middle_name": ("second_name", "middle"),
    "last_name": ("family_name", "surname", "lastname", "family", "last"),
    "email": ("mail", "e_mail", "email_address", "mail_address"),
    "phone": ("telephone", "phone_number", "mobile"),
    "phone2": ("mobile", "second_phone"),
    "address1": ("address", "street", "street1", "address_line_1"),
    "address2": ("address_line_2", "street2"),
    "city": ("town",),
    "state": ("region", "province"),
    "zip": ("postal_code", "postcode", "zip_code"),
    "country": ("country_code",),
    "country_code": ("country",),
    "disabled": ("locked", "blocked", "deactivated", "suspended", "inactive"),
}  # fmt: skip

OPPOSITES: Mapping[str, Sequence[str]] = {
    "disabled": ("active", "enabled"),
    "enabled": ("disabled", "inactive"),
    "is_public": ("private", "hidden"),
}
"""Names that mean the opposite of a canonical field."""

_SECRETS = ("password", "passwd", "passphrase", "passcode", "secret", "token", "otp", "totp", "api_key", "private_key")

_COLUMNS: Mapping[FieldKind, tuple[type[models.Field[Any, Any]], ...]] = {
    FieldKind.DATETIME: (models.DateField,),
    FieldKind.STATUS: (models.CharField, models.IntegerField),
    FieldKind.STRING: (models.CharField, models.TextField),
    FieldKind.BOOLEAN: (models.BooleanField,),
    FieldKind.NUMBER: (models.IntegerField, models.FloatField, models.DecimalField),
    FieldKind.INTEGER: (models.IntegerField,),
    FieldKind.ID: (models.CharField, models.IntegerField, models.UUIDField),
    FieldKind.FINGERPRINT: (models.CharField,),
}
_NO_STATUS = (models.EmailField, models.URLField, models.SlugField, models.AutoField)


def words_of(name: str) -> list[str]:
    """Return the words of a name in lower case.

    >>> words_of("TrainingClass"), words_of("starts_at")
    (['training', 'class'], ['starts', 'at'])
    """
    return [word.lower() for word in _WORD.findall(name)]


def likeness(name: str, other: str) -> float:
    """Return how much two names mean the same, from 0 to 1: 1 for equal words, ignoring fillers and plurals."""
    one, two = _plain(name), _plain(other)
    if one == two:
        return 1.0
    ratio = difflib.SequenceMatcher(None, one, two).ratio()
    return ratio * 0.9 if ratio >= NEAR else 0.0


def best_likeness(name: str, canonical: str) -> float:
    """Return how well ``name`` fits the last part of a canonical name, or one of its synonyms, from 0 to 1."""
    leaf = canonical.rpartition(".")[2]
    scores = [likeness(name, leaf)]
    for rank, synonym in enumerate(SYNONYMS.get(canonical, SYNONYMS.get(leaf, ())), start=1):
        scores.append(likeness(name, synonym) * (0.95 - 0.01 * rank))
    return max(scores)


def column_for(model: type[models.Model], field: Field, *, taken: Iterable[str] = ()) -> str:
    """Return the model's own column that fits a canonical field best by name and type; empty if none does.

    The last part of the field's name counts: a column for "course.name" is found in the model of the course.
    """
    used = set(taken)
    scores = {
        column.name: best_likeness(column.name, field.name)
        for column in model._meta.concrete_fields
        if column.name not in used and can_hold(column, field.kind)
    }
    best = max(scores, key=scores.__getitem__, default="")
    return best if best and scores[best] > 0 else ""


def opposite_for(model: type[models.Model], field: Field) -> str:
    """Return the model's boolean column that means the opposite of a field; empty if it has none."""
    names = [column.name for column in model._meta.concrete_fields if can_hold(column, FieldKind.BOOLEAN)]
    return next((name for name in names for other in OPPOSITES.get(field.name, ()) if likeness(name, other) > 0), "")


def is_secret(name: str) -> bool:
    """Return whether a column of this name may hold a password or another secret, such as ``api_token``."""
    words = "_".join(word.removesuffix("s") for word in words_of(name))
    return any(f"_{secret}_" in f"_{words}_" for secret in _SECRETS)


def can_hold(column: models.Field[Any, Any], kind: FieldKind) -> bool:
    """Return whether the type of a column suits a kind of field."""
    if column.remote_field is not None or not isinstance(column, _COLUMNS.get(kind, ())):
        return False
    if kind is FieldKind.STATUS:
        return not isinstance(column, _NO_STATUS)
    return not isinstance(column, models.AutoField)


def _plain(name: str) -> str:
    words = words_of(name)
    kept = [word for word in words if word not in _FILLERS] or words
    return "".join(
        word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word for word in kept
    )
