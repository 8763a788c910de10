"""Every source class of the package, with its attributes in another form. None is registered: only mypy reads them."""

from __future__ import annotations

from host.models import Organization, Person
from tms_webhooks import sources
from tms_webhooks.sources import AnyChange, AnyOtherChange, ClosedWhen, Created, Deadline, First


class Achievements(sources.AchievementSource):
    """A path that may be one of two."""

    owner = First("person.employer", "owner")
    owned_by_learner = False
    rules = (Created("achievement.received"),)


class Progress(sources.ActivityProgressSource):
    """A source that gets a deadline."""

    owner = First("owner")
    fields = {"activity.score": First("points", "score")}
    rules = (AnyChange("course_assignment.progressed"),)
    deadline = Deadline("expires_at", expiring="course_assignment.expiring")
    snapshot = True


class Paths(sources.ComputedLearningPathSource):
    """The attributes of a computed path."""

    owner = First("owner")
    fields = {"user": First("person")}
    path_model, path_courses, path_enabled = "host.Track", "topics", None
    snapshot = True


class Assignments(sources.CourseAssignmentSource):
    """A source without a deadline, whose owner is found by a method."""

    rules = (AnyOtherChange("course_assignment.updated"),)
    deadline = None
    closed_when = ClosedWhen(filled=("completed_at",))

    def owner(self, assignment: Person) -> Organization | None:
        """Return the organization of an assignment."""
        return assignment.employer


class Enrollments(sources.EnrollmentSource):
    """A source with several owners."""

    owner = "session.owners"
    learner = First("person.employer", "owner")
    fields = {"class": First("session")}
    only = {"role": "learner", "is_staff": [False], "owner": sources.Not(None)}
    rules = (Created("class_enrollment.created"),)


class Feedback(sources.FeedbackSource):
    """A source whose learners are in another organization."""

    owner = First("owner")
    learner = None
    fields = {"class": First("session")}
    rules = (Created("class_feedback.created"),)


class LearningPaths(sources.LearningPathSource):
    """A source whose paths are rows."""

    owner = First("owner")
    rules = (Created("learning_path.completed"),)


class Subscriptions(sources.SubscriptionSource):
    """A source with a time zone and without a deadline."""

    owner = First("owner")
    rules = (Created("subscription.started"),)
    deadline = None
    time_zone = "owner.zone"


class Vouchers(sources.VoucherSource):
    """A source without a deadline."""

    rules = (Created("voucher.redeemed"),)
    deadline = None
