"""Base classes and fields that most models share."""

from __future__ import annotations

from typing import ClassVar, Self

from django.db import models
from django.utils import timezone

from tms_webhooks.sources import WebhookManager


class Announced(models.Model):
    """A row whose changes emit events, also changes by a queryset."""

    objects: ClassVar[WebhookManager[Self]] = WebhookManager()

    class Meta:
        abstract = True
        # What Django changes by itself, such as a foreign key whose target goes, is changed by this manager.
        base_manager_name = "objects"


class Record(Announced):
    """A row that knows when it was made and last changed."""

    created = models.DateTimeField(default=timezone.now, editable=False)
    last_modified = models.DateTimeField(auto_now=True)

    class Meta:
        abstract = True

    def save_fields(self, *names: str) -> None:
        """Save the named fields and no others, so that two people may change two things at once."""
        self.save(update_fields=[*names, "last_modified"])


def external_id_field() -> models.CharField[str | None, str | None]:
    """Make the field that holds a record's id in the customer's own system."""
    return models.CharField("external ID", max_length=50, unique=True, null=True, blank=True)
