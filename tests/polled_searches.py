"""The page on the keys of the polled searches: where events have each, or why they have it not."""

from tms_webhooks import catalogue, event_names
from tms_webhooks.payloads.formats.skillable import CUSTOM_FIELDS, api_name

SEARCHES = {
    "SearchClasses": (
        "class",
        "Id CourseId CourseExternalId CourseName ConfirmationStatusId Start End OrganizationId OrganizationName NumOpen "
        "NumEnroll MinStudents MaxStudents CustomVirtualClassroomUrl IsPublic Description ClassroomId ClassroomAddress1 "
        "ClassroomAddress2 ClassroomCity ClassroomState ClassroomZip DeliveryTypeId InstructorId InstructorFirstName "
        "InstructorLastName InstructorIds SessionTimes CustomFields",
    ),
    "SearchClassEnrollments": (
        "enrollment",
        "Id ExternalId UserId UserExternalId ClassId ClassExternalId ClassName EnrollmentStatusId CompletionStatusId "
        "LateCancel Retake LocationTypeId ClassroomId HoursSpent Grade LastModified",
    ),
    "SearchCourseAssignments": (
        "course_assignment",
        "Id ExternalId CourseId CourseName UserId UserExternalId FirstName LastName Email OrganizationId PaymentType "
        "Created Expires Started Completed",
    ),
    "SearchCourseFeedback": (
        "feedback",
        "Submitted CourseId CourseName Title Content Positive Negative UserId UserExternalId CourseAssignmentId "
        "ClassEnrollmentId ActivityId ActivityTypeId ActivityName",
    ),
    "SearchSubscriptions": (
        "subscription",
        "SubscriptionProfileId SubscriptionProfileName Starts Expires LastModified Created",
    ),
    "GetUser": (
        "user",
        "Id ExternalId Title FirstName MiddleName LastName UserName OrganizationId CompanyId ManagerId Disabled Email "
        "Phone Phone2 Address1 Address2 City State CountryCode Zip TimeZoneId Roles ManagedOrganizations CustomFields",
    ),
}
"""The noun and the keys of a result, by operation. https://github.com/LearnOnDemandSystems/ConnectAPI has the API's document."""

LEFT_OUT = {
    "CustomVirtualClassroomUrl": "can't be had: the link lets any user in. `data.meeting_fingerprint` changes when it does",
}
REMARKS = dict.fromkeys(
    ("NumOpen", "NumEnroll"),
    "as of the event, if the training system maps it; an enrollment emits no event of its class",
)


def paths_of(noun):
    """Return the paths in the format ``standard``, by the names in ``skillable``."""
    fields = catalogue.get(event_names.snapshot_of(noun)).noun.fields
    paths = {
        api_name(noun, field.name, field.kind): f"data.{field.name}{'.code' if field.choices else ''}"
        for field in fields
    }
    return {**paths, CUSTOM_FIELDS: "data.custom"}


def page():
    """Yield the lines of the page."""
    yield "# Keys of the polled API\n"
    yield "For customers who poll: find each key of a result in an event. In the format [`skillable`](formats.md#skillable) it has"
    yield "the same name and the same kind of value; the path is that of the format `standard`."
    for operation, (noun, keys) in SEARCHES.items():
        paths = paths_of(noun)
        yield f"\n## {operation}\n"
        yield f"Events: [`{noun}`](events/{noun}.md).\n"
        for key in keys.split():
            remark = f" ({REMARKS[key]})" if key in REMARKS else ""
            yield f"- `{key}`: {LEFT_OUT[key] if key in LEFT_OUT else f'`{paths[key]}`{remark}'}"
