"""Learning paths: some of a subscription's courses, in an order that is advice."""

from __future__ import annotations

from django.db import models

from example_project.training.choices import AudienceLevel
from example_project.training.models.base import Record
from example_project.training.models.courses import Course
from example_project.training.models.organizations import Organization
from example_project.training.models.people import User
from example_project.training.models.self_paced import SubscriptionProfile


class LearningPath(Record):
    """A named way through courses. Nothing records that a learner finished it: that follows from the courses."""

    name = models.CharField(max_length=150)
    description = models.TextField(blank=True)
    audience_level = models.CharField(max_length=20, choices=AudienceLevel.choices, default=AudienceLevel.BEGINNER)
    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="learning_paths")
    enabled = models.BooleanField(default=True)
    subscription_profiles = models.ManyToManyField(SubscriptionProfile, blank=True, related_name="learning_paths")
    courses = models.ManyToManyField(Course, through="LearningPathCourse", related_name="learning_paths")

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def progress(self, user: User) -> int:
        """Return how many percent of the path's courses ``user`` has completed, rounded down; 0 for an empty path."""
        total = self.courses.count()
        done = self.courses.filter(assignments__user=user, assignments__completed_at__isnull=False).distinct().count()
        return done * 100 // total if total else 0


class LearningPathCourse(models.Model):
    """A course's place on a learning path."""

    learning_path = models.ForeignKey(LearningPath, on_delete=models.CASCADE, related_name="steps")
    course = models.ForeignKey(Course, on_delete=models.CASCADE, related_name="path_steps")
    position = models.PositiveSmallIntegerField(default=0)

    class Meta:
        ordering = ["learning_path", "position", "pk"]
        verbose_name = "course of a path"
        verbose_name_plural = "courses of a path"
        constraints = [
            models.UniqueConstraint(fields=["learning_path", "course"], name="course_once_per_path"),
        ]

    def __str__(self) -> str:
        return f"{self.position}. {self.course}"
