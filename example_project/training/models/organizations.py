"""Organizations, which form trees, and the companies they serve."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.db import models

from example_project.training.models.base import Record, external_id_field


class Organization(Record):
    """A customer of the training system, or a branch of one."""

    external_id = external_id_field()
    name = models.CharField(max_length=150)
    description = models.TextField(blank=True)
    parent = models.ForeignKey("self", on_delete=models.PROTECT, null=True, blank=True, related_name="children")
    time_zone_id = models.CharField(
        "time zone", max_length=50, default="UTC", help_text="Default of users and classes."
    )
    culture = models.CharField(max_length=10, default="en-US")
    enabled = models.BooleanField(default=True)
    enable_achievements = models.BooleanField(default=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Refuse a parent that would make the tree circular."""
        super().clean()
        if not self._state.adding and self.parent_id in {organization.pk for organization in self.with_descendants()}:
            raise ValidationError({"parent": "An organization can't be below itself."})

    def with_descendants(self) -> list[Organization]:
        """Return this organization and all below it, nearest first; one query per level."""
        tree = level = [self]
        seen = {self.pk}
        while level := list(Organization.objects.filter(parent__in=level).exclude(pk__in=seen)):
            seen.update(organization.pk for organization in level)
            tree = [*tree, *level]
        return tree


class Department(models.Model):
    """A part of an organization. People have one; the real system would keep it in a custom field."""

    name = models.CharField(max_length=100)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="departments")

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Company(Record):
    """A firm that sends its people to an organization's classes."""

    external_id = external_id_field()
    name = models.CharField(max_length=150)
    description = models.CharField(max_length=800, blank=True)
    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="companies")
    email = models.EmailField(max_length=256, blank=True)

    class Meta:
        ordering = ["name"]
        verbose_name_plural = "companies"

    def __str__(self) -> str:
        return self.name
