"""The operations of the training system's own API that customers poll, below ``/api/2.0/``.

Names and quirks are those of the real API: the key is in the header ``api_key``, times are seconds since 1970, and an
error has HTTP status 200 and a ``Status`` in the body. Servers that drop header names with underscores, such as Django's
and gunicorn, accept the key in ``api-key``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar

from django.db.models import Count, Model, Q, QuerySet
from django.http import HttpRequest, JsonResponse, QueryDict
from django.urls import path
from django.views.generic import View
from rest_framework.exceptions import AuthenticationFailed

from example_project.training import models
from example_project.training.authentication import system_with
from example_project.training.choices import AssignmentCompletion, EnrollmentStatus

SUCCESS, ERROR, NOT_FOUND, INVALID_KEY = 0, 10, 20, 30
NOT_STARTED_OR_INCOMPLETE = 20
"""A value of the parameter ``completionStatus`` that is no status of an assignment."""
LARGEST_PAGE = 1000
LARGEST_NUMBER = 2**53


class ApiError(Exception):
    """An answer with another status than success."""

    def __init__(self, error: str, *, status: int = ERROR) -> None:
        super().__init__(error)
        self.status = status


Filter = Callable[[str, str], Q]
"""Makes a condition of a parameter's name and value."""


def number(name: str, value: str) -> int:
    """Return the value of a parameter as a number; raise `ApiError` if it is none."""
    if not (value.isascii() and value.isdecimal() and int(value) <= LARGEST_NUMBER):
        raise ApiError(f"{name} is {value!r}; write a whole number of 0 or more.")
    return int(value)


def moment(name: str, value: str) -> datetime:
    """Return the value of a parameter as a time; raise `ApiError` if it is none."""
    try:
        return datetime.fromtimestamp(number(name, value), UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise ApiError(f"{name} is {value!r}; write a time as seconds since 1970, not milliseconds.") from error


def equals(lookup: str) -> Filter:
    """Filter by a number."""
    return lambda name, value: Q(**{lookup: number(name, value)})


def text(lookup: str) -> Filter:
    """Filter by a text."""

    def condition(name: str, value: str) -> Q:
        if "\0" in value:
            raise ApiError(f"{name} contains the character NUL; leave it out.")
        return Q(**{lookup: value})

    return condition


def span(prefix: str, column: str) -> dict[str, Filter]:
    """Filter by a time, with the parameters ``…After`` and ``…Before``."""
    return {
        f"{prefix}After": lambda name, value: Q(**{f"{column}__gt": moment(name, value)}),
        f"{prefix}Before": lambda name, value: Q(**{f"{column}__lt": moment(name, value)}),
    }


def completion(name: str, value: str) -> Q:
    """Filter by the completion status of an assignment, which follows from its dates."""
    complete, started = Q(completed_at__isnull=False), Q(started_at__isnull=False)
    conditions = {
        AssignmentCompletion.NOT_STARTED: ~complete & ~started,
        AssignmentCompletion.INCOMPLETE: ~complete & started,
        NOT_STARTED_OR_INCOMPLETE: ~complete,
        AssignmentCompletion.COMPLETE: complete,
    }
    code = number(name, value)
    if code not in conditions:
        raise ApiError(f"{name} is {value!r}; write one of {', '.join(str(int(one)) for one in conditions)}.")
    return conditions[code]


def seconds(at: datetime | None) -> int | None:
    """Return a time in seconds since 1970."""
    return None if at is None else int(at.timestamp())


def iso(at: datetime | None) -> str | None:
    """Return a time as ISO 8601. The API of subscriptions writes all times like this."""
    return None if at is None else at.isoformat(timespec="seconds").replace("+00:00", "Z")


@dataclass(frozen=True)
class Search:
    """One search: its rows, the path to the organization that owns a row, its filters, and its results."""

    rows: Callable[[], QuerySet[Any]]
    organization: str
    result: Callable[[Any], dict[str, Any]]
    filters: Mapping[str, Filter]
    sorts: Mapping[str, str] = field(default_factory=dict)
    """Columns by the names of the parameter ``sort``. The first one is the default."""
    results: str = "Results"

    def answer(self, organization: models.Organization, parameters: QueryDict) -> dict[str, Any]:
        """Return one page of results, in the order of the parameter ``sort``."""
        given = {name: str(value) for name, value in parameters.dict().items()}
        index = number("pageIndex", given.pop("pageIndex", "0"))
        size = number("pageSize", given.pop("pageSize", "100"))
        if not 1 <= size <= LARGEST_PAGE:
            raise ApiError(f"pageSize is {size}; write 1 to {LARGEST_PAGE}.")
        order = self._order(given.pop("sort", ""))
        family = [one.pk for one in organization.with_descendants()]
        rows = self.rows().filter(self._condition(given), **{f"{self.organization}__in": family})
        total = rows.count()
        page = rows.order_by(*order)[index * size : (index + 1) * size] if index * size < total else []
        return {
            "TotalCount": total,
            "TotalPages": -(-total // size),
            self.results: [self.result(row) for row in page],
        }

    def _condition(self, given: Mapping[str, str]) -> Q:
        condition = Q()
        for name, value in given.items():
            if name not in self.filters:
                known = ", ".join([*self.filters, "pageIndex", "pageSize", "sort"])
                raise ApiError(f"Unknown parameter {name!r}. Write one of {known}.")
            condition &= self.filters[name](name, value)
        return condition

    def _order(self, sort: str) -> tuple[str, ...]:
        name = sort.removesuffix(" DESC")
        if name not in {"", *self.sorts}:
            raise ApiError(f"sort is {sort!r}; write one of {', '.join(self.sorts)}, optionally with ' DESC'.")
        column = self.sorts.get(name) or next(iter(self.sorts.values()), "pk")
        return (f"-{column}", "-pk") if sort.endswith(" DESC") else (column, "pk")


class Operation(View):
    """Checks the key and wraps the answer in the envelope of the API."""

    http_method_names = ["get"]

    def get(self, request: HttpRequest, **arguments: Any) -> JsonResponse:
        """Answer a request."""
        try:
            system, _key = system_with(request.headers.get("api-key", ""))
            answer = {"Status": SUCCESS, "Error": None, **self.answer(system.organization, **arguments)}
        except AuthenticationFailed as error:
            answer = {"Status": INVALID_KEY, "Error": str(error.detail)}
        except ApiError as error:
            answer = {"Status": error.status, "Error": str(error)}
        return JsonResponse(answer)

    def answer(self, organization: models.Organization, **arguments: Any) -> dict[str, Any]:
        """Return the content of a successful answer."""
        raise NotImplementedError


class SearchOperation(Operation):
    """One of the searches."""

    search: Search | None = None

    def answer(self, organization: models.Organization, **_arguments: Any) -> dict[str, Any]:
        """Return a page of results."""
        assert self.search is not None, "as_view sets it"
        return self.search.answer(organization, self.request.GET)


class GetUser(Operation):
    """One user. The API has no search of users."""

    by: ClassVar[str] = "pk"

    def answer(self, organization: models.Organization, **arguments: Any) -> dict[str, Any]:
        """Return a user of the key's organization or of those below it."""
        key = arguments["key"]
        family = [one.pk for one in organization.with_descendants()]
        user = models.User.objects.filter(organization__in=family, **{self.by: key}).first()
        if user is None:
            raise ApiError(f"User {key!r} does not exist.", status=NOT_FOUND)
        return {
            "User": _user(user),
            "Roles": sorted(user.roles.values_list("pk", flat=True)),
            "ManagedOrganizations": sorted(user.managed_organizations.values_list("pk", flat=True)),
            "CustomFields": [
                {"Name": "Department", "TextValue": user.department and user.department.name},
                {"Name": "Cost Center", "TextValue": user.cost_center},
            ],
        }


def _identity(row: Model, name: str) -> dict[str, Any]:
    """Return the id and the external id of the object at ``name``, or null for both."""
    found = getattr(row, name)
    prefix = {"training_class": "Class"}.get(name, name.title())
    return {f"{prefix}Id": found and found.pk, f"{prefix}ExternalId": found and found.external_id}


def _classes() -> QuerySet[models.TrainingClass]:
    enrolled = Count("enrollments", filter=Q(enrollments__enrollment_status_id=EnrollmentStatus.ENROLLED))
    related = ("course", "organization", "primary_instructor", "primary_classroom", "requested_by")
    rows = models.TrainingClass.objects.select_related(*related).prefetch_related("instructors", "session_times")
    return rows.annotate(enrolled=enrolled)


def _class(row: Any) -> dict[str, Any]:
    instructor, room = row.primary_instructor, row.primary_classroom
    return {
        "Id": row.pk,
        **_identity(row, "course"),
        "CourseName": row.course.name,
        "ConfirmationStatusId": row.confirmation_status_id,
        "Start": seconds(row.start_at),
        "End": seconds(row.end_at),
        "OrganizationId": row.organization_id,
        "OrganizationName": row.organization.name,
        "NumOpen": max(row.max_students - row.enrolled, 0),
        "NumEnroll": row.enrolled,
        "MinStudents": row.min_students,
        "MaxStudents": row.max_students,
        "CustomVirtualClassroomUrl": row.custom_virtual_classroom_url,
        "IsPublic": row.is_public,
        "Description": row.description,
        "ClassroomId": row.primary_classroom_id,
        "ClassroomAddress1": room and room.address1,
        "ClassroomAddress2": room and room.address2,
        "ClassroomCity": room and room.city,
        "ClassroomState": room and room.state,
        "ClassroomZip": room and room.zip,
        "DeliveryTypeId": row.delivery_type_id,
        "InstructorId": row.primary_instructor_id,
        "InstructorFirstName": instructor and instructor.first_name,
        "InstructorLastName": instructor and instructor.last_name,
        "InstructorIds": sorted(one.pk for one in row.instructors.all()),
        "SessionTimes": [
            {"Start": seconds(one.start_at), "End": seconds(one.end_at)} for one in row.session_times.all()
        ],
        # The spelling of the real search.
        "CustomFields": [{"Name": "Requested By", "TexValue": row.requested_by and row.requested_by.email}],
    }


def _enrollment(row: models.ClassEnrollment) -> dict[str, Any]:
    return {
        "Id": row.pk,
        "ExternalId": row.external_id,
        **_identity(row, "user"),
        **_identity(row, "training_class"),
        "ClassName": row.training_class.name,
        "EnrollmentStatusId": row.enrollment_status_id,
        "CompletionStatusId": row.completion_status_id,
        "LateCancel": row.late_cancel,
        "Retake": row.retake,
        "LocationTypeId": row.location_type_id,
        "ClassroomId": row.classroom_id,
        "HoursSpent": row.hours_spent,
        "Grade": row.grade,
        "LastModified": seconds(row.last_modified),
    }


def _assignment(row: models.CourseAssignment) -> dict[str, Any]:
    return {
        "Id": row.pk,
        "ExternalId": row.external_id,
        "CourseId": row.course_id,
        "CourseName": row.course.name,
        **_identity(row, "user"),
        "FirstName": row.user.first_name,
        "LastName": row.user.last_name,
        "Email": row.user.email,
        "OrganizationId": row.user.organization_id,
        "PaymentType": row.payment_type,
        "Created": seconds(row.created),
        "Expires": seconds(row.expires_at),
        "Started": seconds(row.started_at),
        "Completed": seconds(row.completed_at),
    }


def _feedback(row: models.CourseFeedback) -> dict[str, Any]:
    return {
        "Submitted": seconds(row.submitted_at),
        "CourseId": row.course_id,
        "CourseName": row.course.name,
        "Title": row.title,
        "Content": row.content,
        "Positive": row.positive,
        "Negative": row.negative,
        **_identity(row, "user"),
        "CourseAssignmentId": row.course_assignment_id,
        "ClassEnrollmentId": row.class_enrollment_id,
        "ActivityId": row.activity_id,
        "ActivityTypeId": row.activity and row.activity.activity_type_id,
        "ActivityName": row.activity and row.activity.name,
    }


def _subscription(row: models.SubscriptionAssignment) -> dict[str, Any]:
    """Return a subscription as its search does, without its id and its user."""
    return {
        "SubscriptionProfileId": row.profile_id,
        "SubscriptionProfileName": row.profile.name,
        "Starts": iso(row.starts_at),
        "Expires": iso(row.expires_at),
        "LastModified": iso(row.last_modified),
        "Created": iso(row.created),
    }


def _user(user: models.User) -> dict[str, Any]:
    return {
        "Id": user.pk,
        "ExternalId": user.external_id,
        "Title": user.title,
        "FirstName": user.first_name,
        "MiddleName": user.middle_name,
        "LastName": user.last_name,
        "UserName": user.username,
        "OrganizationId": user.organization_id,
        "CompanyId": user.company_id,
        "ManagerId": user.manager_id,
        "Disabled": user.disabled,
        "Email": user.email,
        "Phone": user.phone,
        "Phone2": user.phone2,
        "Address1": user.address1,
        "Address2": user.address2,
        "City": user.city,
        "State": user.state,
        "CountryCode": user.country_code,
        "Zip": user.zip,
        "TimeZoneId": user.time_zone_id,
    }


SUBSCRIPTIONS = Search(
    lambda: models.SubscriptionAssignment.objects.select_related("profile"),
    "user__organization",
    _subscription,
    {
        "userId": equals("user"),
        "userExternalId": text("user__external_id"),
        "subscriptionId": equals("pk"),
        **span("created", "created"),
    },
    results="SearchSubscriptionsResults",
)

SEARCHES: Mapping[str, Search] = {
    "SearchClasses": Search(
        _classes,
        "organization",
        _class,
        {
            "name": text("name__icontains"),
            "courseId": equals("course"),
            **span("starts", "start_at"),
            **span("ends", "end_at"),
            **span("lastModified", "last_modified"),
        },
        sorts={"Start": "start_at", "End": "end_at", "Name": "name", "ConfirmationStatus": "confirmation_status_id"},
    ),
    "SearchClassEnrollments": Search(
        lambda: models.ClassEnrollment.objects.select_related("user", "training_class"),
        "training_class__organization",
        _enrollment,
        {
            "className": text("training_class__name__icontains"),
            "classId": equals("training_class"),
            "studentId": equals("user"),
            "enrollmentStatusId": equals("enrollment_status_id"),
            **span("created", "created"),
            **span("lastModified", "last_modified"),
        },
        sorts={"Name": "training_class__name", "Created": "created", "LastModified": "last_modified"},
    ),
    # The real search has no parameter for the time of the last change: a cancelled or extended assignment is not found.
    "SearchCourseAssignments": Search(
        lambda: models.CourseAssignment.objects.select_related("course", "user"),
        "user__organization",
        _assignment,
        {
            "userId": equals("user"),
            "userExternalId": text("user__external_id"),
            "courseId": equals("course"),
            "completionStatus": completion,
            **span("created", "created"),
            **span("expires", "expires_at"),
            **span("started", "started_at"),
            **span("completed", "completed_at"),
        },
    ),
    "SearchCourseFeedback": Search(
        lambda: models.CourseFeedback.objects.select_related("course", "user", "activity"),
        "course__organization",
        _feedback,
        {"courseId": equals("course"), "name": text("course__name__icontains"), **span("created", "submitted_at")},
    ),
    "SearchSubscriptions": SUBSCRIPTIONS,
    "SearchClubMemberships": SUBSCRIPTIONS,
}

urlpatterns = [
    *(path(name, SearchOperation.as_view(search=search)) for name, search in SEARCHES.items()),
    path("GetUser/<int:key>", GetUser.as_view()),
    path("GetUserByExternalId/<str:key>", GetUser.as_view(by="external_id")),
]
