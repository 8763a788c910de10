"""Public ids: the ids of rows that customers see, a prefix and random digits.

Primary keys count the rows of all organizations: a customer who sees two of them knows how much the others send. The id
of a delivery has no column: it is the ids of its event and its webhook.
"""

from __future__ import annotations

import re
import uuid
from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

DELIVERY_PREFIX = "dlv_"


def public_id_pattern(prefix: str, *, parts: int = 1) -> str:
    """Return the regular expression of the ids with a prefix."""
    return f"{prefix}[0-9a-f]{{{32 * parts}}}"


def uids_in(text: str, prefix: str, *, count: int = 1) -> list[uuid.UUID]:
    """Return the UUIDs in a public id, or none for any other text."""
    if not re.fullmatch(public_id_pattern(prefix, parts=count), text):
        return []
    return [uuid.UUID(hex=digits) for digits in re.findall(".{32}", text.removeprefix(prefix))]


def uid_of(text: str, prefix: str) -> uuid.UUID | None:
    """Return the UUID in a public id, or None for any other text."""
    return next(iter(uids_in(text, prefix)), None)


class PublicIDModel(models.Model):
    """A row with a random id, which customers see. A subclass sets ``PUBLIC_PREFIX``."""

    PUBLIC_PREFIX: ClassVar[str]

    uid = models.UUIDField(_("id"), default=uuid.uuid4, unique=True, editable=False)

    class Meta:
        abstract = True

    @property
    def public_id(self) -> str:
        """The id that customers see. It never changes."""
        return self.PUBLIC_PREFIX + self.uid.hex

    @classmethod
    def by_public_id(cls, text: str) -> Q:
        """Return the filter for the row with this public id. It matches no row if the text is no such id."""
        uid = uid_of(text, cls.PUBLIC_PREFIX)
        return Q(pk__in=()) if uid is None else Q(uid=uid)
