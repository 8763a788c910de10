"""The models of the training system, a module for each noun."""

from __future__ import annotations

from example_project.training.models.achievements import Achievement, UserAchievement
from example_project.training.models.classes import ClassEnrollment, Classroom, SessionTime, TrainingClass
from example_project.training.models.courses import Activity, Course
from example_project.training.models.feedback import CourseFeedback
from example_project.training.models.keys import ApiKey
from example_project.training.models.learning_paths import LearningPath, LearningPathCourse
from example_project.training.models.organizations import Company, Department, Organization
from example_project.training.models.people import Role, User
from example_project.training.models.self_paced import (
    ASSIGNMENT_LIFETIME,
    ActivityResult,
    CourseAssignment,
    SubscriptionAssignment,
    SubscriptionProfile,
)
from example_project.training.models.vouchers import VOUCHER_LIFETIME, Voucher

__all__ = [
    "ASSIGNMENT_LIFETIME",
    "VOUCHER_LIFETIME",
    "Achievement",
    "Activity",
    "ActivityResult",
    "ApiKey",
    "ClassEnrollment",
    "Classroom",
    "Company",
    "Course",
    "CourseAssignment",
    "CourseFeedback",
    "Department",
    "LearningPath",
    "LearningPathCourse",
    "Organization",
    "Role",
    "SessionTime",
    "SubscriptionAssignment",
    "SubscriptionProfile",
    "TrainingClass",
    "User",
    "UserAchievement",
    "Voucher",
]
