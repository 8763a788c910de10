"""The example project's own API, which customers poll: the operations, parameters and quirks of the real one."""

from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client

from example_project.training import factories
from example_project.training.models import ApiKey

NOW = datetime(2026, 11, 24, 15, 0, 0, 600_000, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def organization():
    return factories.OrganizationFactory(name="Harborview Learning")


@pytest.fixture
def poll(organization):
    _key, clear = ApiKey.objects.create_key(name="HR", organization=organization)

    def poll(operation, **parameters):
        answer = Client().get(f"/api/2.0/{operation}", parameters, headers={"api-key": clear})
        assert answer.status_code == 200
        return answer.json()

    return poll


def epoch(at):
    return int(at.timestamp())


def ids(answer):
    assert answer["Status"] == 0, answer["Error"]
    return [row["Id"] for row in answer["Results"]]


def modified(record, at):
    type(record).objects.filter(pk=record.pk).update(last_modified=at)


# Results


def test_an_enrollment_is_shown_with_the_ids_of_its_user_and_class(poll, organization):
    one = factories.ClassEnrollmentFactory(training_class__organization=organization, grade=90)
    modified(one, NOW)

    (row,) = poll("SearchClassEnrollments")["Results"]

    assert row == {
        "Id": one.pk,
        "ExternalId": one.external_id,
        "UserId": one.user_id,
        "UserExternalId": one.user.external_id,
        "ClassId": one.training_class_id,
        "ClassExternalId": one.training_class.external_id,
        "ClassName": one.training_class.name,
        "EnrollmentStatusId": 60,
        "CompletionStatusId": 0,
        "LateCancel": False,
        "Retake": False,
        "LocationTypeId": 0,
        "ClassroomId": None,
        "HoursSpent": None,
        "Grade": 90,
        "LastModified": epoch(NOW),
    }


# Filters


@pytest.mark.parametrize("operation", ["SearchClasses", "SearchClassEnrollments"])
def test_a_poller_asks_for_what_was_modified_since(poll, organization, operation):
    before, after = factories.ClassEnrollmentFactory.create_batch(2, training_class__organization=organization)
    if operation == "SearchClasses":
        before, after = before.training_class, after.training_class
    modified(before, NOW - DAY)
    modified(after, NOW)

    assert ids(poll(operation, lastModifiedAfter=epoch(NOW - DAY) + 1)) == [after.pk]
    assert ids(poll(operation, lastModifiedBefore=epoch(NOW))) == [before.pk]
    assert ids(poll(operation, lastModifiedAfter=epoch(NOW) + 1)) == []


def test_a_cancelled_assignment_looks_like_before(poll, organization):
    one = factories.CourseAssignmentFactory(course__organization=organization, started_at=NOW - DAY)
    (before,) = poll("SearchCourseAssignments", startedAfter=epoch(NOW - 2 * DAY))["Results"]

    one.cancel()

    assert poll("SearchCourseAssignments", startedAfter=epoch(NOW - 2 * DAY))["Results"] == [before]
    answer = poll("SearchCourseAssignments", lastModifiedAfter=0)
    assert answer["Status"] == 10
    assert "Unknown parameter 'lastModifiedAfter'. Write one of userId, " in answer["Error"]


@pytest.mark.parametrize("status, expected", [(0, [0]), (10, [1]), (20, [0, 1]), (30, [2])])
def test_assignments_are_found_by_their_completion(poll, organization, status, expected):
    learner = factories.UserFactory(organization=organization)
    dates = ({}, {"started_at": NOW}, {"started_at": NOW, "completed_at": NOW})
    rows = [factories.CourseAssignmentFactory(user=learner, **one) for one in dates]

    assert ids(poll("SearchCourseAssignments", completionStatus=status)) == [rows[number].pk for number in expected]


# Pages


def test_pages_follow_each_other_in_the_order_that_was_asked_for(poll, organization):
    starts = [NOW + days * DAY for days in (2, 1, 3)]
    second, first, third = (
        factories.TrainingClassFactory(organization=organization, start_at=at, end_at=at + DAY) for at in starts
    )

    pages = [poll("SearchClasses", pageIndex=index, pageSize=2) for index in range(3)]

    assert [ids(page) for page in pages] == [[first.pk, second.pk], [third.pk], []]
    assert {(page["TotalCount"], page["TotalPages"]) for page in pages} == {(3, 2)}
    assert ids(poll("SearchClasses", sort="Start DESC")) == [third.pk, second.pk, first.pk]


# Whose rows


def test_a_key_reads_its_organization_and_those_below_it(poll, organization):
    branch = factories.OrganizationFactory(parent=organization)
    owners = (organization, branch, factories.OrganizationFactory())
    own, below, foreign = (factories.ClassEnrollmentFactory(training_class__organization=one) for one in owners)

    assert set(ids(poll("SearchClassEnrollments"))) == {own.pk, below.pk}
    assert set(ids(poll("SearchClasses"))) == {own.training_class_id, below.training_class_id}
    assert poll(f"GetUser/{foreign.user_id}") == {
        "Status": 20,
        "Error": f"User {foreign.user_id} does not exist.",
    }
    assert ids(poll("SearchClassEnrollments", classId=foreign.training_class_id)) == []


@pytest.mark.parametrize("headers", [{}, {"api-key": "none"}, {"authorization": "Api-Key none"}])
def test_without_a_valid_key_there_is_an_error_and_no_data(organization, headers):
    factories.TrainingClassFactory(organization=organization)

    answer = Client().get("/api/2.0/SearchClasses", headers=headers)

    assert answer.json() == {"Status": 30, "Error": "The API key is unknown, revoked or expired."}


# Bad input


@pytest.mark.parametrize(
    "parameters, error",
    [
        ({"pageSize": "0"}, "pageSize is 0; write 1 to 1000."),
        ({"sort": "Color"}, "sort is 'Color'; write one of Start, End, Name, ConfirmationStatus, optionally with"),
        (
            {"startsAfter": "1795532645000"},
            "startsAfter is '1795532645000'; write a time as seconds since 1970, not milliseconds.",
        ),
        ({"name": "a\0"}, "name contains the character NUL; leave it out."),
        ({"lastModified": "1"}, "Unknown parameter 'lastModified'. Write one of name, courseId, startsAfter"),
    ],
)
def test_an_error_names_the_parameter_its_value_and_the_remedy(poll, parameters, error):
    answer = poll("SearchClasses", **parameters)

    assert answer["Status"] == 10
    assert answer["Error"].startswith(error)
    assert "Results" not in answer
