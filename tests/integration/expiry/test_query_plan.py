"""A scan finds what is due by ranges of the index on the date; it never reads the table."""

import re

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from example_project.training.factories import CourseFactory, OrganizationFactory, UserFactory
from example_project.training.models import CourseAssignment
from tests.integration.expiry.assignments import DAY, HOUR, NOW, scan_at, subscribed_organization
from tms_webhooks.models import Occurrence

pytestmark = [
    pytest.mark.skipif(connection.vendor == "mysql", reason="ANALYZE would end the test's transaction"),
]

EXPLAIN = {"sqlite": "EXPLAIN QUERY PLAN", "postgresql": "EXPLAIN"}
READS_ALL = {"sqlite": r"SCAN {}", "postgresql": r"Seq Scan on {}\b"}


def plans_of(queries, table, column):
    """Return the plans of the captured queries that read ``table`` by a range of ``column``."""
    found = []
    for query in queries:
        sql = query["sql"]
        if sql.startswith("SELECT") and f'"{column}" >' in sql and f'FROM "{table}"' in sql:
            with connection.cursor() as cursor:
                cursor.execute(f"{EXPLAIN[connection.vendor]} {sql.replace('%', '%%')}")
                found.append("\n".join(str(row) for row in cursor.fetchall()))
    return found


@pytest.fixture(scope="module")
def many_rows(module_db):
    """4000 assignments over 400 days, those of the past half complete, and as many marks."""
    organizations = [subscribed_organization("course_assignment.*"), *(OrganizationFactory() for _ in range(4))]
    users = [UserFactory(organization=organization) for organization in organizations for _ in range(4)]
    course = CourseFactory()
    rows = [
        CourseAssignment(
            course=course,
            user=users[number % len(users)],
            expires_at=NOW + (number - 2000) * DAY / 10,
            completed_at=NOW if number < 2000 and number % 2 else None,
        )
        for number in range(4000)
    ]
    CourseAssignment._base_manager.bulk_create(rows)
    Occurrence.objects.bulk_create(
        [
            Occurrence(key=f"recorded:{number}", recorded_at=NOW, deadline=row.expires_at)
            for number, row in enumerate(rows)
        ]
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


def test_the_scans_use_the_indexes_on_the_dates(many_rows):
    scan_at(NOW)

    with CaptureQueriesContext(connection) as queries:
        scan_at(NOW + HOUR)

    table = CourseAssignment._meta.db_table
    of_rows = plans_of(queries, table, "expires_at")
    assert len(of_rows) == 2
    for plan in of_rows:
        assert "assignment_expires_at" in plan
        assert not re.search(READS_ALL[connection.vendor].format(table), plan)


def test_the_marks_are_found_by_the_index_on_their_dates(many_rows):
    with CaptureQueriesContext(connection) as queries:
        Occurrence.objects.moments_between(NOW, NOW + 5 * DAY, using="default")

    (query,) = queries
    with connection.cursor() as cursor:
        cursor.execute(f"{EXPLAIN[connection.vendor]} {query['sql'].replace('%', '%%')}")
        assert "tms_occurrence_by_deadline" in str(cursor.fetchall())
