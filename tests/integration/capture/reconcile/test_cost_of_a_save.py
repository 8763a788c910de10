"""What reconciling adds to a captured save: one statement, or on MariaDB two, and there a reading without an event."""

from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.integration.capture.reconcile.conftest import Workshops
from tms_webhooks.models import Event

STATEMENTS = 2 if connection.vendor == "mysql" else 1


def queries_of_a_save(workshop, monkeypatch, *, reconcile):
    monkeypatch.setattr(Workshops, "reconcile", reconcile)
    workshop.title += "!"
    with CaptureQueriesContext(connection) as captured:
        workshop.save()
    return len(captured)


def test_with_an_event_it_is_one_statement_or_two_on_mariadb(workshops, monkeypatch):
    # The first event of an object costs more, on some databases.
    queries_of_a_save(workshops[1], monkeypatch, reconcile=True)
    queries_of_a_save(workshops[0], monkeypatch, reconcile=True)
    without = queries_of_a_save(workshops[0], monkeypatch, reconcile=False)

    assert queries_of_a_save(workshops[1], monkeypatch, reconcile=True) == without + STATEMENTS


def test_without_a_subscription_it_is_one_statement_and_a_reading_on_mariadb(workshops, organization, monkeypatch):
    organization.webhooks.all().delete()
    without = queries_of_a_save(workshops[0], monkeypatch, reconcile=False)

    reading = 1 if connection.vendor == "mysql" else 0
    assert queries_of_a_save(workshops[1], monkeypatch, reconcile=True) == without + reading + STATEMENTS
    assert not Event.objects.exists()


def test_a_save_that_changes_nothing_remembers_nothing(workshops):
    with CaptureQueriesContext(connection) as captured:
        workshops[2].save()

    assert not [query for query in captured if "toldstate" in query["sql"]]
