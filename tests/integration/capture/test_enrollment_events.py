"""Updates and registrations, two statuses in one save, and the learner's organization in the events of an enrollment."""

import pytest

from example_project.training.factories import ClassEnrollmentFactory, TrainingClassFactory, UserFactory
from example_project.training.models import ClassEnrollment
from tests.factories import WebhookFactory
from tests.registration import temporarily
from tms_webhooks import sources


@pytest.fixture
def make():
    """Make an enrollment, and subscribe its class's organization to enrollments."""

    def make(**values):
        enrollment = ClassEnrollmentFactory(**values)
        WebhookFactory(organization=enrollment.training_class.organization, events=["enrollment.*"])
        return enrollment

    return make


@pytest.mark.parametrize(
    "field, value, changed",
    [
        ("grade", 71, "grade"),
        ("hours_spent", 6, "hours_spent"),
        ("late_cancel", True, "late_cancel"),
        ("completion_status_id", 0, "completion_status"),
    ],
)
def test_a_change_without_a_status_of_its_own_is_an_update(make, recorded, field, value, changed):
    enrollment = make(completion_status_id=20)
    setattr(enrollment, field, value)
    enrollment.save()

    (event,) = recorded()
    assert (event["type"], event["changed"]) == ("enrollment.updated", [changed])


def test_two_statuses_that_change_in_one_save_are_two_events_which_name_all_fields(make, recorded):
    enrollment = make()
    enrollment.enrollment_status_id, enrollment.completion_status_id, enrollment.grade = 50, 20, 88
    enrollment.save()

    assert [event["type"] for event in recorded()] == ["enrollment.audited", "enrollment.completed"]
    assert [event["changed"] for event in recorded()] == [["status", "completion_status", "grade"]] * 2


@pytest.mark.parametrize("max_students, event_type", [(1, "enrollment.enrolled"), (0, "enrollment.waitlisted")])
def test_a_registration_emits_its_resulting_status(recorded, max_students, event_type):
    training_class = TrainingClassFactory(max_students=max_students)
    learner = UserFactory()
    WebhookFactory(organization=training_class.organization, events=["enrollment.*"])

    training_class.register(learner)

    (event,) = recorded()
    assert (event["type"], event["changed"], event["previous"]) == (event_type, [], {})


def test_the_class_owner_receives_an_enrollment_with_the_learners_organization(recorded):
    training_class, learner = TrainingClassFactory(), UserFactory()
    WebhookFactory(organization=training_class.organization, events=["enrollment.*"])
    WebhookFactory(organization=learner.organization, events=["enrollment.*"])

    training_class.register(learner)

    (event,) = recorded()
    owner, home = training_class.organization, learner.organization
    assert event["organization"] == {"id": owner.pk, "external_id": owner.external_id}
    assert event["data"]["learner_organization"] == {
        "id": home.pk,
        "external_id": home.external_id,
        "name": home.name,
    }
    assert event["data"]["class"]["external_id"] == training_class.external_id
    assert event["data"]["course"]["external_id"] == training_class.course.external_id
    assert event["data"]["user"]["email"] == learner.email


def test_the_declared_path_to_the_learners_organization_is_the_one_that_is_followed():
    class Elsewhere(sources.EnrollmentSource):
        learner = "user.company.organization"

    with temporarily(Elsewhere, ClassEnrollment) as source:
        assert source.path_of("learner_organization.id") == "user.company.organization.pk"
