"""Each status of a class, of an enrollment and of its completion has its event, whichever verb of the training system sets it."""

import pytest

from example_project.training.factories import ClassEnrollmentFactory, TrainingClassFactory
from tests.factories import WebhookFactory

TENTATIVE, REQUESTED, WAITLIST, ENROLL, UNKNOWN = (
    {"code": code, "name": name}
    for code, name in ((4, "Tentative"), (5, "Requested"), (20, "Waitlist"), (60, "Enroll"), (0, "Unknown"))
)
# The verb, its event, and the status before.
OF_CLASS = [
    ("schedule", "class.scheduled", 0, "Scheduled", TENTATIVE),
    ("guarantee", "class.guaranteed_to_run", 1, "Guaranteed To Run", TENTATIVE),
    ("cancel", "class.cancelled", 2, "Cancelled", TENTATIVE),
    ("mark_tentative", "class.tentative", 4, "Tentative", REQUESTED),
    ("request", "class.requested", 5, "Requested", TENTATIVE),
    ("deny", "class.denied", 6, "Denied", TENTATIVE),
    ("complete", "class.completed", 7, "Completed", TENTATIVE),
]
OF_ENROLLMENT = [
    ("request", "enrollment.requested", 0, "Request", ENROLL),
    ("cancel", "enrollment.cancelled", 10, "Cancel", ENROLL),
    ("waitlist", "enrollment.waitlisted", 20, "Waitlist", ENROLL),
    ("approve", "enrollment.approved", 30, "Approve", WAITLIST),
    ("deny", "enrollment.denied", 40, "Deny", WAITLIST),
    ("audit", "enrollment.audited", 50, "Audit", ENROLL),
    ("enroll", "enrollment.enrolled", 60, "Enroll", WAITLIST),
]
OF_COMPLETION = [
    ("attend", "enrollment.attending", 10, "Attending", UNKNOWN),
    ("complete", "enrollment.completed", 20, "Complete", UNKNOWN),
    ("mark_incomplete", "enrollment.incomplete", 30, "Incomplete", UNKNOWN),
    ("mark_no_show", "enrollment.no_show", 40, "No Show", UNKNOWN),
    ("fail", "enrollment.failed", 50, "Failed", UNKNOWN),
]
COLUMNS = (
    (TrainingClassFactory, "confirmation_status_id", "status", OF_CLASS),
    (ClassEnrollmentFactory, "enrollment_status_id", "status", OF_ENROLLMENT),
    (ClassEnrollmentFactory, "completion_status_id", "completion_status", OF_COMPLETION),
)


@pytest.mark.parametrize(
    "factory, column, field, verb, event_type, code, name, before",
    [(factory, column, field, *row) for factory, column, field, rows in COLUMNS for row in rows],
)
def test_a_verb_emits_the_new_and_the_old_status(
    recorded, factory, column, field, verb, event_type, code, name, before
):
    subject = factory(**{column: before["code"]})
    owner = getattr(subject, "training_class", subject).organization
    WebhookFactory(organization=owner, events=["class.*", "enrollment.*"])

    getattr(subject, verb)(**({"at": subject.start_at} if event_type == "class.completed" else {}))

    (event,) = recorded()
    assert (event["type"], event["changed"], event["previous"]) == (event_type, [field], {field: before})
    assert event["data"][field] == {"code": code, "name": name}


@pytest.mark.parametrize("event_type, code", [row[1:3] for row in OF_CLASS])
def test_a_class_created_with_a_status_enters_it(organization, recorded, event_type, code):
    TrainingClassFactory(organization=organization, confirmation_status_id=code)

    (event,) = recorded()
    assert (event["type"], event["previous"]) == (event_type, {})
