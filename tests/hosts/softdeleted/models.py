"""A class that is hidden instead of deleted."""

from typing import Any

from django.db import models
from django.utils import timezone

from tests.hosts.models import PlainClass


class HidingQuerySet(models.QuerySet[Any]):
    """A queryset whose ``delete`` hides."""

    def delete(self):
        """Hide the rows."""
        hidden = self.update(deleted_at=timezone.now())
        return hidden, {self.model._meta.label: hidden}


class VisibleManager(models.Manager.from_queryset(HidingQuerySet)):  # type: ignore[misc]
    """The rows that are not hidden."""

    def get_queryset(self):
        return super().get_queryset().filter(deleted_at=None)


class Clinic(PlainClass):
    """A class by another name, which is hidden instead of deleted."""

    title = models.CharField(max_length=50)
    deleted_at = models.DateTimeField(null=True, blank=True)

    objects = VisibleManager()
    all_objects = models.Manager.from_queryset(HidingQuerySet)()

    def delete(self, *_args, **_kwargs):
        """Hide the row."""
        self.deleted_at = timezone.now()
        self.save(update_fields=["deleted_at"])
        return 1, {self._meta.label: 1}

    def restore(self):
        """Show the row again."""
        self.deleted_at = None
        self.save(update_fields=["deleted_at"])
