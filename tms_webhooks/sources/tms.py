"""A source class for each noun of a training system: its rules, and the usual paths of its fields."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache, cached_property, partial
from typing import Any, ClassVar

from django.apps import apps
from django.db import DatabaseError, models, transaction

from tms_webhooks.catalogue.custom import CustomField
from tms_webhooks.catalogue.schema import Field, FieldKind, Noun
from tms_webhooks.catalogue.types.achievement import ACHIEVEMENT
from tms_webhooks.catalogue.types.course_assignment import ACTIVITY, COURSE_ASSIGNMENT
from tms_webhooks.catalogue.types.enrollment import ENROLLMENT
from tms_webhooks.catalogue.types.feedback import FEEDBACK
from tms_webhooks.catalogue.types.learning_path import LEARNING_PATH
from tms_webhooks.catalogue.types.referenced import CLASSROOM, COMPANY, COURSE, DEPARTMENT, ORGANIZATION, PROFILE
from tms_webhooks.catalogue.types.subscription import SUBSCRIPTION
from tms_webhooks.catalogue.types.training_class import CLASS
from tms_webhooks.catalogue.types.user import USER
from tms_webhooks.catalogue.types.voucher import VOUCHER
from tms_webhooks.choices import (
    AssignmentCompletion,
    AssignmentStatus,
    ClassStatus,
    CompletionStatus,
    EnrollmentStatus,
    FieldPrivacy,
)
from tms_webhooks.computed import Computed, Path, joined
from tms_webhooks.conf import strict_payloads
from tms_webhooks.exceptions import PayloadError
from tms_webhooks.models import Occurrence
from tms_webhooks.sources.base import Source
from tms_webhooks.sources.deadlines import ClosedWhen, Deadline
from tms_webhooks.sources.mapping import Row, organization_path
from tms_webhooks.sources.paths import follow
from tms_webhooks.sources.rows import read_rows, read_whole, rows_of
from tms_webhooks.sources.rules import (
    AnyOtherChange,
    Change,
    Cleared,
    Created,
    DatePassed,
    Deleted,
    Entered,
    Filled,
    PlannedEvent,
    Reopened,
    Rule,
)

logger = logging.getLogger(__name__)


class ClassSource(Source):
    """A scheduled class. Map ``status`` to the column that holds its confirmation status."""

    noun = CLASS
    rules: ClassVar[tuple[Rule, ...]] = (
        Entered("status", {status.value: f"class.{status.name.lower()}" for status in ClassStatus}),
        AnyOtherChange("class.updated"),
        Deleted("class.deleted"),
    )


class EnrollmentSource(Source):
    """A learner's place in a class. ``owner`` is the organization that owns the class."""

    noun = ENROLLMENT
    owner: ClassVar[Any] = "training_class.organization"
    learner: ClassVar[Any] = "user.organization"
    fields = {"class": "training_class", "course": "training_class.course"}
    rules: ClassVar[tuple[Rule, ...]] = (
        Entered(
            "status",
            {
                EnrollmentStatus.REQUEST: "enrollment.requested",
                EnrollmentStatus.CANCEL: "enrollment.cancelled",
                EnrollmentStatus.WAITLIST: "enrollment.waitlisted",
                EnrollmentStatus.APPROVE: "enrollment.approved",
                EnrollmentStatus.DENY: "enrollment.denied",
                EnrollmentStatus.AUDIT: "enrollment.audited",
                EnrollmentStatus.ENROLL: "enrollment.enrolled",
            },
        ),
        Entered(
            "completion_status",
            {
                CompletionStatus.ATTENDING: "enrollment.attending",
                CompletionStatus.COMPLETE: "enrollment.completed",
                CompletionStatus.INCOMPLETE: "enrollment.incomplete",
                CompletionStatus.NO_SHOW: "enrollment.no_show",
                CompletionStatus.FAILED: "enrollment.failed",
            },
        ),
        AnyOtherChange("enrollment.updated"),
        Deleted("enrollment.deleted"),
    )


ASSIGNMENT_EXPIRED = "course_assignment.expired"
PROGRESSED = "course_assignment.progressed"


def completion_status(started_at: datetime | None, completed_at: datetime | None) -> int:
    """Return the completion status, which follows from the dates."""
    if completed_at is not None:
        return AssignmentCompletion.COMPLETE.value
    return (AssignmentCompletion.NOT_STARTED if started_at is None else AssignmentCompletion.INCOMPLETE).value


class CourseAssignmentSource(Source):
    """A course assigned to a learner. Needs ``started_at``, ``completed_at`` and an indexed ``expires_at``.

    A model with a ``progress`` field emits its changes. For a row per activity, see `ActivityProgressSource`.
    """

    noun = COURSE_ASSIGNMENT
    owner: ClassVar[Any] = "user.organization"
    owned_by_learner = True
    fields = {
        "completion_status": Computed(
            completion_status, reads={"started_at": "started_at", "completed_at": "completed_at"}
        )
    }
    rules: ClassVar[tuple[Rule, ...]] = (
        Created("course_assignment.created"),
        Filled("started_at", "course_assignment.started"),
        Filled("completed_at", "course_assignment.completed"),
        Entered("assignment_status", {AssignmentStatus.CANCELLED: "course_assignment.cancelled"}),
        DatePassed("expires_at", ASSIGNMENT_EXPIRED),
        Reopened("course_assignment.reopened"),
        AnyOtherChange(PROGRESSED, field="progress"),
        AnyOtherChange("course_assignment.updated"),
        Deleted("course_assignment.deleted"),
    )
    deadline: ClassVar[Deadline | None] = Deadline(
        "expires_at", expiring="course_assignment.expiring", expired=ASSIGNMENT_EXPIRED
    )
    closed_when = ClosedWhen(
        filled=("completed_at",),
        statuses=(
            ("completion_status", AssignmentCompletion.COMPLETE),
            ("assignment_status", AssignmentStatus.CANCELLED),
        ),
    )


class ActivityProgressSource(CourseAssignmentSource):
    """The progress of a learner in one activity of an assigned course: a row that is created at the start and changes.

    The events are events of the assignment. Its fields are read with the source of the model at ``assignment``, so
    that a host names only ``assignment`` and the paths of its activity.
    """

    assignment: ClassVar[str] = "assignment"
    owner: ClassVar[Any] = "assignment.user.organization"
    fields = {"activity.completed_at": "completed_at", "activity.score": "score"}
    rules: ClassVar[tuple[Rule, ...]] = (Created(PROGRESSED), AnyOtherChange(PROGRESSED))
    deadline: ClassVar[Deadline | None] = None
    # The rows are activities; the assignments have a source of their own.
    snapshot = False

    @property
    def custom_fields(self) -> tuple[CustomField, ...]:
        """Its own, and those of the assignment's source."""
        assigned = self.assignment_source
        return (*super().custom_fields, *(assigned.custom_fields if assigned is not None else ()))

    @cached_property
    def all_fields(self) -> tuple[Field, ...]:
        """The assignment's fields, and those of the activity."""
        return (*super().all_fields, *ACTIVITY)

    @cached_property
    def time_zone_path(self) -> Path | None:
        """The path to the time zone, by which the assignment's own date is a moment."""
        source = self.assignment_source
        path = source.time_zone_path if source is not None and self.time_zone is None else None
        return joined(self.assignment, path) if path else self.time_zone

    @cached_property
    def due_field(self) -> str:
        """The assignment's date, which has no events here and is the same moment in its payloads."""
        return self.assignment_source.due_field if self.assignment_source is not None else ""

    def path_of(self, name: str) -> Path | None:
        """Return the path of a field of the activity, or of the assignment's field behind ``assignment``."""
        reference, _, _rest = name.partition(".")
        if reference == "activity" or not self.paths.keys().isdisjoint({name, reference}):
            return super().path_of(name)
        if self.assignment_source is None:
            return f"{self.assignment}.{'pk' if name == 'id' else name}"
        path = self.assignment_source.path_of(name)
        return joined(self.assignment, path) if path else None

    @property
    def assignment_source(self) -> Source | None:
        """The source that reads the assignment; None if its model has none, which the checks report."""
        model = follow(self.model, self.assignment)
        for source in self._related.get(model, ()) if model else ():
            if source.noun is self.noun and not isinstance(source, ActivityProgressSource):
                return source
        return None


COMPLETED = "learning_path.completed"
COURSE_ID = Field("course.id", FieldKind.ID, FieldPrivacy.ID, required=True, doc="Id of the course that was completed.")


class LearningPathSource(Source):
    """A model with a row for each learner and path. A path is completed when ``completed_at`` is set."""

    noun = LEARNING_PATH
    owner: ClassVar[Any] = "user.organization"
    owned_by_learner = True
    rules: ClassVar[tuple[Rule, ...]] = (Filled("completed_at", COMPLETED),)


class ComputedLearningPathSource(LearningPathSource):
    """Compute completed paths from a model of course assignments, for a host that stores no completed paths.

    A path is completed when the learner has completed every course that it has at that moment. The event is emitted
    once per learner and path, and its ``id`` names both: ``44:5012``. A snapshot sends the paths that are complete when it
    reads them. Override `paths_with` to limit the paths of a learner.

    - ``path_model``: label of the path's model
    - ``path_courses``: the many-to-many field from a path to its courses
    - ``path_enabled``: boolean field of the path, or None if every path counts
    """

    path_model: ClassVar[str]
    path_courses: ClassVar[str] = "courses"
    path_enabled: ClassVar[str | None] = "enabled"
    _lock_order = "user.id"
    _identifying = ("user.id", "course.id", "completed_at")
    # The assignment's own id and learning path are not those of the completed path.
    fields = {
        "learning_path": None,
        **dict.fromkeys(
            ("id", "learning_path.id", "learning_path.external_id", "learning_path.name", "course_count", "courses"),
            Computed(),
        ),
    }

    @cached_property
    def all_fields(self) -> tuple[Field, ...]:
        """The noun's fields, and the course of the assignment, which is in no payload."""
        return (*super().all_fields, COURSE_ID)

    def events_for(self, change: Change) -> Iterable[PlannedEvent]:
        """Return an event for each path that the completion of this course completes."""
        learner, course, using = change.after.get("user.id"), change.after.get("course.id"), change.using
        if learner is None or not list(super().events_for(change)):
            return
        user, of_course, completed_at = (str(self.mapped[name].lookup) for name in self._identifying)
        rows = rows_of(self).using(using).filter(**{user: learner, f"{completed_at}__isnull": False})
        ids = []
        for path in self._candidates(course, learner, using=using):
            one = f"{path.pk}:{learner}"
            # If two transactions complete two courses of one path concurrently, the second must see the first.
            Occurrence.objects.lock(f"{COMPLETED}:{one}", now=change.now, using=using)
            # The database stops at the first open course. Others are read only for the event.
            if not getattr(path, self.path_courses).using(using).exclude(pk__in=rows.values(of_course)).exists():
                ids.append(one)
        read = read_rows(self, rows, names=self._identifying) if ids else []
        # With the values of the assignment that completed the path, as a snapshot has them: that may be an earlier one.
        for key, values in self._objects_of(read, using=using):
            if (one := values["id"]) in ids:
                extra = self.canonical({**(read_whole(self, key, using=using) or {}), **values})
                yield PlannedEvent(COMPLETED, once=f"{COMPLETED}:{one}", subject_id=one, extra=extra)

    def _objects_of(self, rows: Sequence[Row], *, using: str) -> Iterator[Row]:
        """Yield the paths that the assignments in these rows completed, with the values of the assignment.

        Of the first completions of the path's courses, that is the last one; of several at one time, the one with the
        highest key.
        """
        user, course, completed_at = (str(self.mapped[name].lookup) for name in self._identifying)
        learners, courses = ({raw[name] for _key, raw in rows} for name in self._identifying[:2])
        found = rows_of(self).using(using).filter(**{f"{user}__in": learners, f"{completed_at}__isnull": False})
        completed: dict[Any, dict[Any, Any]] = defaultdict(dict)
        # The first completion of each course is the last one here.
        for learner, one, *at in found.order_by(f"-{completed_at}", "-pk").values_list(
            user, course, completed_at, "pk"
        ):
            completed[learner][one] = at
        steps, paths_of = self._courses_of(courses, using=using), cache(partial(self._candidates, using=using))
        # By default, the paths of a course are the same for all learners, and are read once.
        is_for_all = type(self).paths_with is ComputedLearningPathSource.paths_with
        for key, raw in rows:
            learner, own = raw["user.id"], completed[raw["user.id"]]
            ended = [
                path
                for path, some in steps.items()
                if some and own.keys() >= some.keys() and max(own[one] for one in some)[1] == key
            ]
            try:
                candidates = paths_of(raw["course.id"], None if is_for_all else learner) if ended else []
            except Exception:
                # The host's `paths_with` fails for this learner, and not for all.
                if strict_payloads():
                    raise
                logger.exception("The paths that %s %s completed are left out.", self.model._meta.label, key)
                continue
            for path in candidates:
                if path.pk in ended:
                    named = steps[path.pk].items()
                    values = {f"learning_path.{name}": value for name, value in _named(path).items()} | {
                        "id": f"{path.pk}:{learner}",
                        "course_count": len(named),
                        "courses": [{**_named(one), "completed_at": own[pk][0]} for pk, one in named],
                    }
                    yield key, raw | values

    def _found_by(self, ids: Collection[str]) -> tuple[str, Collection[str]]:
        """Return the ids of the learners: the assignments of these completed the paths."""
        return "user.id", [one.rpartition(":")[2] for one in ids]

    def paths_with(self, course: Any, learner: Any) -> models.QuerySet[Any]:
        """Return the paths that the completion of ``course`` may complete for ``learner``; both are keys.

        By default, all enabled paths with this course.
        """
        model = apps.get_model(self.path_model)
        paths: models.QuerySet[Any] = model._default_manager.filter(**{self.path_courses: course})
        return paths.filter(**{self.path_enabled: True}) if self.path_enabled else paths

    def _candidates(self, course: Any, learner: Any, *, using: str) -> list[models.Model]:
        """Return the result of `paths_with` in the order of keys, so that two transactions lock paths in the same order."""
        try:
            # In a savepoint: a failing query of the host must not break its transaction.
            with transaction.atomic(using=using):
                return sorted(self.paths_with(course, learner).using(using), key=lambda path: path.pk)
        except DatabaseError as error:
            raise PayloadError(f"paths_with of {self!r} failed: {type(error).__name__}.") from error

    def _courses_of(self, courses: Collection[Any], *, using: str) -> Mapping[Any, dict[Any, models.Model]]:
        """Return the courses, by their keys, of the paths that have one of these, by the paths' keys.

        Those in a many-to-many field are in the order of the table between both.
        """
        model: Any = apps.get_model(self.path_model)
        paths = model._default_manager.using(using).filter(**{f"{self.path_courses}__in": courses}).order_by()
        field = model._meta.get_field(self.path_courses)
        if not isinstance(field, models.ManyToManyField):
            return {path.pk: getattr(path, self.path_courses).using(using).in_bulk() for path in paths}
        through: Any = field.remote_field.through
        owner, name = field.m2m_field_name(), field.m2m_reverse_field_name()
        rows: models.QuerySet[Any] = models.QuerySet(through, using=using).filter(
            **{f"{owner}__in": paths.values("pk")}
        )
        found: dict[Any, dict[Any, models.Model]] = defaultdict(dict)
        for step in rows.order_by(*(through._meta.ordering or [f"{name}_id"])).select_related(name):
            found[step.serializable_value(owner)][step.serializable_value(name)] = getattr(step, name)
        return found


def _named(one: models.Model) -> dict[str, Any]:
    """Return the ids and the name of a path or course."""
    return {
        "id": one.pk,
        "external_id": getattr(one, "external_id", None),
        "name": getattr(one, "name", str(one)),
    }


CLOSED = "user.closed"


class UserSource(Source):
    """A user's account. A sign-in changes no field of the payload, so it emits no event.

    When an account is closed permanently (``closed_at`` is set), no event quotes the old personal values. A host that
    deletes merged accounts calls ``emit("user.merged", account, extra={"merged_into.id": …})`` before the deletion.
    """

    noun = USER
    owned_by_learner = True
    # What the objects of other organizations show of an instructor or a learner, and whether the account still exists.
    shared_fields = (
        "id",
        "external_id",
        "first_name",
        "last_name",
        "email",
        "disabled",
        "closed_at",
        "merged_into.id",
    )
    fields = {"user_name": "username"}
    rules: ClassVar[tuple[Rule, ...]] = (
        Created("user.created"),
        Entered("disabled", {True: "user.deactivated", False: "user.activated"}, on_creation=False),
        Filled("closed_at", CLOSED, optional=True),
        Filled("merged_into.id", "user.merged", optional=True),
        Deleted("user.deleted"),
        AnyOtherChange("user.updated"),
    )

    def events_for(self, change: Change) -> Iterable[PlannedEvent]:
        """Return the events of ``change``, without old personal values if it closes the account."""
        events = list(super().events_for(change))
        is_closed = any(event.event_type == CLOSED for event in events)
        for event in events:
            event.omit_personal = is_closed
        return events


class AchievementSource(Source):
    """An award: the row that appears when a learner earns an achievement."""

    noun = ACHIEVEMENT
    owner: ClassVar[Any] = "user.organization"
    owned_by_learner = True
    rules: ClassVar[tuple[Rule, ...]] = (
        Created("achievement.received"),
        AnyOtherChange("achievement.updated"),
        Deleted("achievement.revoked"),
    )


class _OnClassOrCourse(Rule):
    """Feedback is created, changed or deleted: on a class if it refers to one, otherwise on a course."""

    event_types = tuple(
        f"{kind}_feedback.{verb}" for kind in ("class", "course") for verb in ("created", "updated", "deleted")
    )

    def needs(self, event_type: str) -> tuple[str, ...]:
        return ("class.id",) if event_type.startswith("class") else ()

    def read(self, change: Change) -> str | None:
        verb = "created" if change.created else "deleted" if change.deleted else "updated"
        return f"{'course' if change.values.get('class.id') is None else 'class'}_feedback.{verb}"


class FeedbackSource(Source):
    """Feedback of a learner. One model may hold feedback on classes and on courses."""

    noun = FEEDBACK
    owner: ClassVar[Any] = "course.organization"
    fields = {"class": "class_enrollment.training_class", "enrollment": "class_enrollment"}
    rules: ClassVar[tuple[Rule, ...]] = (_OnClassOrCourse(),)


class VoucherSource(Source):
    """A voucher whose ``redeemed_at`` is set, or a redemption row that is created with it.

    For redemption rows without a date, use ``rules = (Created("voucher.redeemed"),)`` and ``deadline = None``.
    """

    noun = VOUCHER
    rules: ClassVar[tuple[Rule, ...]] = (
        Created("voucher.created"),
        Filled("redeemed_at", "voucher.redeemed"),
        Cleared("redeemed_at", "voucher.returned"),
        AnyOtherChange("voucher.updated"),
        Deleted("voucher.deleted"),
    )
    deadline: ClassVar[Deadline | None] = Deadline("expires_at", expiring="voucher.expiring")
    closed_when = ClosedWhen(filled=("redeemed_at",))


SUBSCRIPTION_EXPIRED = "subscription.expired"


class SubscriptionSource(Source):
    """A learner's subscription. A cancelled subscription does not expire."""

    noun = SUBSCRIPTION
    owner: ClassVar[Any] = "user.organization"
    owned_by_learner = True
    rules: ClassVar[tuple[Rule, ...]] = (
        Created("subscription.created"),
        Filled("cancelled_at", "subscription.cancelled"),
        DatePassed("expires_at", SUBSCRIPTION_EXPIRED),
        Reopened("subscription.reopened"),
        AnyOtherChange("subscription.updated"),
        Deleted("subscription.deleted"),
    )
    deadline: ClassVar[Deadline | None] = Deadline(
        "expires_at", expiring="subscription.expiring", expired=SUBSCRIPTION_EXPIRED
    )
    closed_when = ClosedWhen(filled=("cancelled_at",))


class ReferencedSource(Source):
    """A model to which the objects of other organizations may refer, such as a course. Its noun has events of three verbs.

    An organization gets an event of a change if it owns the object, or if one of its objects shows it. The worker finds
    these organizations. Others than the owner get ``shared_fields`` alone: by default its own values without personal data,
    and ids.
    """

    def __init_subclass__(cls) -> None:
        """Add the rules and the shared fields of the class's own noun."""
        noun = vars(cls).get("noun")
        if isinstance(noun, Noun):
            name = noun.name
            cls.rules = (Created(f"{name}.created"), AnyOtherChange(f"{name}.updated"), Deleted(f"{name}.deleted"))
            own = (one for one in noun.fields if not one.items and ("." not in one.name or one.name.endswith(".id")))
            cls.shared_fields = tuple(field.name for field in own if field.privacy is not FieldPrivacy.PERSONAL)


class CourseSource(ReferencedSource):
    """A course, to which classes, enrollments and course assignments refer."""

    noun = COURSE


class ClassroomSource(ReferencedSource):
    """A classroom, to which classes and enrollments refer."""

    noun = CLASSROOM


class CompanySource(ReferencedSource):
    """A company, to which classes and users refer."""

    noun = COMPANY


class ProfileSource(ReferencedSource):
    """A subscription profile, from which the subscriptions of learners are made."""

    noun = PROFILE
    fields = {"course_ids": "courses"}


class DepartmentSource(ReferencedSource):
    """A department of an organization, to which users refer."""

    noun = DEPARTMENT


class OrganizationSource(Source):
    """The organizations, which own their own rows. Their names and external ids are those of ``ORGANIZATION_FIELDS``.

    The deletion of an organization is no event: it deletes the organization's webhooks and events.
    """

    noun = ORGANIZATION
    owner: ClassVar[Any] = "pk"
    rules: ClassVar[tuple[Rule, ...]] = (Created("organization.created"), AnyOtherChange("organization.updated"))
    shared_fields = ("id", "external_id", "name")

    def path_of(self, name: str) -> Path | None:
        """Return the path of a field of the organization; ``ORGANIZATION_FIELDS`` names some for all sources."""
        is_named = name in ("id", "external_id", "name", "time_zone") and name not in self.paths
        return organization_path(name) if is_named else super().path_of(name)
