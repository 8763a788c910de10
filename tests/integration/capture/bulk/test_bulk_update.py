"""``bulk_update()``, and the asynchronous twins of all bulk operations."""

from django.db import connection
from django.test.utils import CaptureQueriesContext

from example_project.training.factories import TrainingClassFactory
from example_project.training.models import TrainingClass
from tests.testapp.models import Workshop
from tms_webhooks.capture import replaced_methods


def test_more_than_a_chunk_goes_in_chunks(workshops, recorded, monkeypatch):
    monkeypatch.setattr(replaced_methods, "CHUNK", 2)
    statements = []
    for workshop in workshops:
        workshop.title = "Same"

    with connection.execute_wrapper(lambda go, sql, *rest: (statements.append(sql), go(sql, *rest))[1]):
        Workshop.objects.bulk_update(workshops, ["title"])

    assert sum(sql.startswith("UPDATE") and "testapp_workshop" in sql for sql in statements) == 3
    assert len(recorded()) == 5


def test_what_has_to_be_unique_goes_in_batches_of_the_hosts_own_size(monkeypatch):
    monkeypatch.setattr(replaced_methods, "CHUNK", 2)
    classes = TrainingClassFactory.create_batch(4)
    for one in classes:
        one.external_id += "-B"

    with CaptureQueriesContext(connection) as captured:
        TrainingClass.objects.bulk_update(classes, ["external_id"])

    assert sum(query["sql"].startswith("UPDATE") for query in captured) == 1
