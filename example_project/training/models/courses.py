"""Courses and their activities."""

from __future__ import annotations

from django.core.validators import MinValueValidator
from django.db import models

from example_project.training.choices import ActivityType, DurationUnit
from example_project.training.models.base import Record, external_id_field
from example_project.training.models.organizations import Organization


class Course(Record):
    """Something to learn, in a class or alone."""

    external_id = external_id_field()
    name = models.CharField(max_length=150)
    description = models.CharField(max_length=800, blank=True)
    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="courses")
    available_instructor_led = models.BooleanField(default=True)
    available_self_paced = models.BooleanField(default=True)
    duration = models.FloatField(default=1, validators=[MinValueValidator(0)])
    duration_unit_id = models.PositiveSmallIntegerField(
        "duration unit", choices=DurationUnit.choices, default=DurationUnit.DAYS
    )

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Activity(models.Model):
    """One step of a course."""

    course = models.ForeignKey(Course, on_delete=models.CASCADE, related_name="activities")
    position = models.PositiveSmallIntegerField(default=0)
    name = models.CharField(max_length=150)
    activity_type_id = models.PositiveSmallIntegerField("type", choices=ActivityType.choices, default=ActivityType.LAB)
    required = models.BooleanField("required for course completion", default=True)
    allow_retake = models.BooleanField(default=True)
    expected_duration_seconds = models.PositiveIntegerField(null=True, blank=True)
    is_exam = models.BooleanField(default=False)

    class Meta:
        ordering = ["course", "position", "pk"]
        verbose_name_plural = "activities"

    def __str__(self) -> str:
        return self.name
