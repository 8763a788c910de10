"""Base classes and fields that most models share."""

from __future__ import annotations

from django.db import models
from django.utils import timezone


class Record(models.Model):
    """A row that knows when it was made and last changed."""

    created = models.DateTimeField(default=timezone.now, editable=False)
    last_modified = models.DateTimeField(auto_now=True)

    class Meta:
        abstract = True

    def save_fields(self, *names: str) -> None:
        """Save the named fields and no others, so that two people may change two things at the same time."""
        self.save(update_fields=[*names, "last_modified"])


def external_id_field() -> models.CharField[str | None, str | None]:
    """Make the field that holds a record's id in the customer's own system."""
    return models.CharField("external ID", max_length=50, unique=True, null=True, blank=True)
