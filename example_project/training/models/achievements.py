"""Achievements and who earned them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.core.validators import MinValueValidator
from django.db import models
from django.utils import timezone

from example_project.training.choices import ConditionSubject, FrequencyType
from example_project.training.exceptions import RefusedError
from example_project.training.models.base import Record
from example_project.training.models.organizations import Organization
from example_project.training.models.people import User


class Achievement(Record):
    """Something that learners can earn, up to this many times."""

    name = models.CharField(max_length=150)
    description = models.TextField(blank=True)
    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="achievements")
    points = models.PositiveIntegerField(default=10)
    frequency = models.PositiveSmallIntegerField(
        default=1, validators=[MinValueValidator(1)], help_text="How often it can be earned."
    )
    frequency_type = models.CharField(max_length=20, choices=FrequencyType.choices, default=FrequencyType.PER_USER)

    conditions = models.JSONField(
        default=list,
        blank=True,
        help_text='What a learner has to do, such as [{"Subject": 10, "Count": 1, "Complete": true}].',
    )

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def award(self, user: User, *, at: datetime) -> UserAchievement:
        """Give the achievement to ``user``.

        Raises `RefusedError` where the organization or the learner takes no part in achievements, where the learner
        belongs to another organization, and where it was earned as often as it can be.
        """
        if not (self.organization.enable_achievements and user.participate_in_achievements):
            raise RefusedError(f"{user} doesn't take part in achievements.")
        if user.organization_id != self.organization_id:
            raise RefusedError(f"{user} belongs to another organization than {self}.")
        if self._earned(user, at).count() >= self.frequency:
            raise RefusedError(f"{self} can't be earned again.")
        return self.awards.create(user=user, points=self.points, earned_at=at)

    def is_met_by(self, user: User) -> bool:
        """Return whether ``user`` meets every condition; an achievement without conditions is only given by a user."""
        return bool(self.conditions) and all(self._meets(user, condition) for condition in self.conditions)

    def _meets(self, user: User, condition: dict[str, Any]) -> bool:
        """Return whether a condition on courses or on points is met; labs and tags are counted elsewhere."""
        if condition["Subject"] == ConditionSubject.COURSE:
            done = user.assignments.filter(completed_at__isnull=False)
            if condition.get("CourseIds"):
                done = done.filter(course__in=condition["CourseIds"])
            found = done.values("course").distinct() if condition.get("Distinct") else done
            return found.count() >= condition.get("Count", 1)
        if condition["Subject"] == ConditionSubject.USER_ACHIEVEMENT:
            points = user.achievements.aggregate(total=models.Sum("points"))["total"] or 0
            return bool(points >= condition.get("Points", 0))
        return False

    def _earned(self, user: User, at: datetime) -> models.QuerySet[UserAchievement]:
        if self.frequency_type == FrequencyType.PER_ACHIEVEMENT:
            return self.awards.all()
        earned = self.awards.filter(user=user)
        return (
            earned.filter(earned_at__date=timezone.localdate(at))
            if self.frequency_type == FrequencyType.PER_DAY
            else earned
        )


class UserAchievement(models.Model):
    """An achievement that a learner earned once."""

    achievement = models.ForeignKey(Achievement, on_delete=models.PROTECT, related_name="awards")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="achievements")
    points = models.PositiveIntegerField(help_text="What it was worth when it was earned.")
    earned_at = models.DateTimeField("earned", default=timezone.now)

    class Meta:
        ordering = ["-earned_at", "pk"]

    def __str__(self) -> str:
        return f"{self.achievement} for {self.user}"
