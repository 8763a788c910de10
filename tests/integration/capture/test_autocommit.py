"""Outside of any transaction, the row and its event still commit together."""

import pytest
from django.db import connection, connections, transaction
from django.db.models.signals import post_save
from django.test.utils import CaptureQueriesContext

from example_project.training.models import TrainingClass
from tms_webhooks.models import Event
from tms_webhooks.outbox import record

pytestmark = pytest.mark.django_db(transaction=True)


class Crash(BaseException):
    """The end of a process, as nearly as one can be had without ending it."""


def status_of(training_class):
    return TrainingClass.objects.values_list("confirmation_status_id", flat=True).get(pk=training_class.pk)


def test_a_crash_before_the_event_is_written_takes_the_row_with_it(training_class, monkeypatch):
    def crash(*_args, **_kwargs):
        assert status_of(training_class) == 2
        raise Crash

    monkeypatch.setattr(record, "insert_rows", crash)

    with pytest.raises(Crash):
        training_class.cancel()

    assert status_of(training_class) == 0
    assert not Event.objects.exists()


def test_a_crash_after_the_event_was_written_takes_both(training_class):
    def crash(**_kwargs):
        raise Crash

    post_save.connect(crash, sender=TrainingClass)
    try:
        with pytest.raises(Crash):
            training_class.cancel()
    finally:
        post_save.disconnect(crash, sender=TrainingClass)

    assert status_of(training_class) == 0
    assert not Event.objects.exists()


@pytest.mark.parametrize("changes, writes", [(True, 1), (False, 0)])
def test_a_save_in_autocommit_takes_so_many_statements(training_class, changes, writes):
    training_class.cancel()
    with CaptureQueriesContext(connection) as captured:
        if changes:
            training_class.max_students += 1
        training_class.save()

    begin, old_values, update, commit = 1, 1, 1, 1
    # MariaDB returns no rows from an UPDATE.
    new_values = 1 if connection.vendor == "mysql" else 0
    statements = [query["sql"] for query in captured if not query["sql"].startswith("NOTIFY")]
    assert len(statements) == begin + old_values + update + new_values + writes + commit


def test_a_hosts_own_transaction_gets_no_savepoint(training_class):
    with transaction.atomic(), CaptureQueriesContext(connection) as captured:
        training_class.cancel()

    assert [query["sql"] for query in captured if "SAVEPOINT" in query["sql"]] == []


@pytest.mark.skipif(connection.vendor != "sqlite", reason="Only SQLite begins without a lock.")
def test_sqlite_locks_as_it_begins_whatever_the_hosts_settings(training_class, monkeypatch):
    monkeypatch.setattr(connections["default"], "transaction_mode", None)

    with CaptureQueriesContext(connection) as captured:
        training_class.cancel()

    assert captured[0]["sql"] == "BEGIN IMMEDIATE"
    with CaptureQueriesContext(connection) as captured, transaction.atomic():
        pass
    assert captured[0]["sql"] == "BEGIN"
