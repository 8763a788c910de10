"""Events of courses, classrooms, companies, organizations, subscription profiles and departments, to which other objects refer.

An organization gets the events of its own ones, and of those that its objects show.
"""

from __future__ import annotations

from collections.abc import Mapping

from tms_webhooks.catalogue.event_type import EventType, sample_data
from tms_webhooks.catalogue.schema import Field, FieldKind, Noun
from tms_webhooks.catalogue.types import references
from tms_webhooks.choices import FieldPrivacy

VERBS: Mapping[str, str] = {
    "created": "was created",
    "updated": "changed",
    "deleted": "was deleted; the data is its last state",
}


def _fields(kind: FieldKind = FieldKind.STRING, /, **docs: str) -> tuple[Field, ...]:
    """Return fields of one kind, by their names with a sentence for each."""
    return tuple(Field(name, kind, FieldPrivacy.BASIC, doc=doc) for name, doc in docs.items())


COURSE = Noun(
    "course",
    "Course",
    (
        *references.identity("the course"),
        *_fields(name="Name of the course.", description="Description of the course."),
        *_fields(
            FieldKind.BOOLEAN,
            available_instructor_led="Whether the course is taught in classes.",
            available_self_paced="Whether the course can be assigned to learners.",
        ),
        *references.organization("the organization that owns the course"),
        *references.record_times(),
    ),
)
CLASSROOM = Noun(
    "classroom",
    "Classroom",
    (
        *references.identity("the classroom"),
        *_fields(
            name="Name of the classroom.",
            address1="First line of the address.",
            address2="Second line of the address.",
            city="City of the address.",
            state="State or province of the address.",
            zip="Postal code of the address.",
            country="Country of the address.",
        ),
        *references.organization("the organization that owns the classroom"),
    ),
)
COMPANY = Noun(
    "company",
    "Company",
    (
        *references.identity("the company"),
        *_fields(name="Name of the company.", description="Description of the company."),
        *references.organization("the organization that the company belongs to"),
        *references.record_times(),
    ),
)
ORGANIZATION = Noun(
    "organization",
    "Organization",
    (
        *references.identity("the organization"),
        *_fields(
            name="Name of the organization.",
            description="Description of the organization.",
            time_zone="Id of the organization's time zone.",
            culture="Language and region of the organization, such as en-US.",
        ),
        *_fields(FieldKind.BOOLEAN, enabled="Whether the organization is in use."),
        *references.reference("parent", "the organization above it"),
        *references.record_times(),
    ),
)
PROFILE = Noun(
    "profile",
    "Subscription profile",
    (
        *references.identity("the subscription profile"),
        *_fields(name="Name of the subscription profile."),
        *_fields(FieldKind.INTEGER, duration_days="How many days a subscription lasts."),
        *_fields(FieldKind.BOOLEAN, enabled="Whether new subscriptions can be made from it."),
        Field("course_ids", FieldKind.IDS, FieldPrivacy.ID, doc="Ids of the courses that a subscription contains."),
        references.named_objects(
            "courses", "The courses that a subscription contains. `changed` names `course_ids`.", item="the course"
        ),
        *references.organization("the organization that offers it"),
        *references.record_times(),
    ),
)
DEPARTMENT = Noun(
    "department",
    "Department",
    (
        *references.identity("the department"),
        *_fields(name="Name of the department."),
        *references.organization("the organization that the department belongs to"),
    ),
)


def _event_types(noun: Noun, name: str, old_name: str, *, verbs: Mapping[str, str] = VERBS) -> tuple[EventType, ...]:
    sample = {**sample_data(noun.fields), "name": name}
    return tuple(
        EventType(
            f"{noun.name}.{verb}",
            noun,
            f"The {noun.title.lower()} {text}.",
            sample=sample,
            sample_previous={"name": old_name} if verb == "updated" else {},
        )
        for verb, text in verbs.items()
    )


EVENT_TYPES = (
    *_event_types(COURSE, "Azure Administrator", "Cloud Administrator"),
    *_event_types(CLASSROOM, "Utrecht 2.04", "Utrecht 2.4"),
    *_event_types(COMPANY, "Umbrella Logistics", "Umbrella Transport"),
    # The events of an organization are deleted with it.
    *_event_types(ORGANIZATION, "Acme Europe", "Acme EU", verbs={verb: VERBS[verb] for verb in ("created", "updated")}),
    *_event_types(PROFILE, "Azure Library", "Cloud Library"),
    *_event_types(DEPARTMENT, "Engineering", "Technology"),
)
