"""Register the training system's models as sources of events. tms_webhooks imports this module, like Django admin.py."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from example_project.training import models
from tms_webhooks import sources

RECORD = {"created_at": "created", "updated_at": "last_modified"}


@sources.register(models.TrainingClass)
class TrainingClasses(sources.ClassSource):
    fields = {
        **RECORD,
        "status": "confirmation_status_id",
        "delivery_type": "delivery_type_id",
        "time_zone": "time_zone_id",
        "instructor": "primary_instructor",
        "instructor_ids": "instructors",
        "classroom": "primary_classroom",
        "meeting_fingerprint": "custom_virtual_classroom_url",
    }
    custom = {
        "requested_by": sources.Custom(
            "requested_by.email",
            doc="E-mail address of the person who asked for the class.",
            title="Requested By",
            sample="dana@example.com",
        ),
    }


@sources.register(models.ClassEnrollment)
class Enrollments(sources.EnrollmentSource):
    fields = {
        **RECORD,
        "status": "enrollment_status_id",
        "completion_status": "completion_status_id",
        "location_type": "location_type_id",
    }
    custom = {
        "purchase_order": sources.Custom(
            "purchase_order", privacy="basic", doc="Number of the purchase order.", sample="PO-2026-118"
        ),
    }


@sources.register(models.CourseAssignment)
class CourseAssignments(sources.CourseAssignmentSource):
    fields = {**RECORD, "target_completion_at": "target_completion", "subscription.name": "subscription.profile.name"}
    time_zone = "user.organization.time_zone_id"


@sources.register(models.ActivityResult)
class ActivityResults(sources.ActivityProgressSource):
    pass


@sources.register(models.SubscriptionAssignment)
class Subscriptions(sources.SubscriptionSource):
    fields = {**RECORD, "name": "profile.name", "start_at": "starts_at", "target_completion_at": "target_completion"}
    time_zone = "user.organization.time_zone_id"


@sources.register(models.CourseFeedback)
class Feedback(sources.FeedbackSource):
    learner = "user.organization"
    fields = {"activity.type": "activity.activity_type_id"}


@sources.register(models.User)
class Users(sources.UserSource):
    fields = {
        "created_at": "date_joined",
        "time_zone": "time_zone_id",
        "role_ids": "roles",
        "managed_organization_ids": "managed_organizations",
    }
    custom = {
        "department": sources.Custom(
            "department.name", privacy="basic", doc="Department of the user.", title="Department", sample="Engineering"
        ),
        "cost_center": sources.Custom(
            "cost_center", privacy="basic", doc="Cost center of the user.", title="Cost Center", sample="4711"
        ),
    }


@sources.register(models.CourseAssignment)
class LearningPaths(sources.ComputedLearningPathSource):
    """The real system keeps no record of a finished path either."""

    path_model = "training.LearningPath"
    fields = {"subscription.name": "subscription.profile.name"}

    def paths_with(self, course: Any, learner: Any) -> QuerySet[models.LearningPath]:
        """Only paths that the learner has, by a subscription."""
        paths = super().paths_with(course, learner)
        return paths.filter(subscription_profiles__assignments__user=learner).distinct()


@sources.register(models.UserAchievement)
class Achievements(sources.AchievementSource):
    pass


@sources.register(models.Voucher)
class Vouchers(sources.VoucherSource):
    learner = "redeemed_by.organization"
    fields = {**RECORD, "class": "redeemed_class", "user": "redeemed_by"}
    time_zone = "organization.time_zone_id"


# What the objects above refer to.


@sources.register(models.Course)
class Courses(sources.CourseSource):
    fields = RECORD


@sources.register(models.Classroom)
class Classrooms(sources.ClassroomSource):
    fields = {"country": "country_code"}


@sources.register(models.Company)
class Companies(sources.CompanySource):
    fields = RECORD


@sources.register(models.Organization)
class Organizations(sources.OrganizationSource):
    fields = {**RECORD, "time_zone": "time_zone_id"}


@sources.register(models.SubscriptionProfile)
class Profiles(sources.ProfileSource):
    fields = RECORD


@sources.register(models.Department)
class Departments(sources.DepartmentSource):
    pass
