"""What learners say about courses and classes."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from example_project.training.models.classes import ClassEnrollment
from example_project.training.models.courses import Activity, Course
from example_project.training.models.people import User
from example_project.training.models.self_paced import CourseAssignment


class CourseFeedback(models.Model):
    """One learner's opinion: of a class, if it comes from an enrollment; of a course, if from a course assignment."""

    course = models.ForeignKey(Course, on_delete=models.CASCADE, related_name="feedback")
    class_enrollment = models.ForeignKey(
        ClassEnrollment, on_delete=models.CASCADE, null=True, blank=True, related_name="feedback"
    )
    course_assignment = models.ForeignKey(
        CourseAssignment, on_delete=models.CASCADE, null=True, blank=True, related_name="feedback"
    )
    activity = models.ForeignKey(Activity, on_delete=models.SET_NULL, null=True, blank=True, related_name="feedback")
    user = models.ForeignKey(
        User,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="feedback",
        help_text="Empty where the learner stays unnamed.",
    )
    title = models.CharField(max_length=150)
    content = models.TextField(blank=True)
    positive = models.BooleanField(default=False)
    negative = models.BooleanField(default=False)
    submitted_at = models.DateTimeField("submitted", default=timezone.now)

    class Meta:
        ordering = ["-submitted_at", "pk"]
        verbose_name_plural = "course feedback"
        constraints = [
            models.CheckConstraint(
                condition=models.Q(class_enrollment__isnull=False, course_assignment__isnull=True)
                | models.Q(class_enrollment__isnull=True, course_assignment__isnull=False),
                name="feedback_on_class_or_course",
                violation_error_message="Feedback belongs to a class enrollment or to a course assignment.",
            ),
            models.CheckConstraint(
                condition=~models.Q(positive=True, negative=True),
                name="feedback_not_both_ways",
                violation_error_message="Feedback is positive, negative or neither.",
            ),
        ]

    def __str__(self) -> str:
        return self.title
