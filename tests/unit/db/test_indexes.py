"""Django's commands take the operations for the ones that it writes itself."""

import pytest
from django.db.migrations import Migration
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations import AddIndex, RemoveIndex
from django.db.migrations.writer import MigrationWriter
from django.db.models import Index

from tms_webhooks.db.indexes import AddIndexConcurrently, RemoveIndexConcurrently

APP = "tms_webhooks"
EXISTING = "tms_event_by_age"


def index():
    return Index(fields=["actor_kind", "id"], name="tms_event_test")


@pytest.mark.parametrize(
    "ours, djangos",
    [
        (AddIndexConcurrently("event", index()), AddIndex("event", index())),
        (RemoveIndexConcurrently("event", EXISTING), RemoveIndex("event", EXISTING)),
    ],
    ids=["add", "remove"],
)
def test_makemigrations_finds_the_same_indexes_after_it(ours, djangos):
    state = MigrationLoader(None).project_state()

    def indexes_after(operation):
        changed = state.clone()
        operation.state_forwards(APP, changed)
        return list(changed.models[APP, "event"].options["indexes"])

    assert indexes_after(ours) == indexes_after(djangos) != state.models[APP, "event"].options["indexes"]


def test_a_written_migration_imports_it():
    migration = Migration("0002_later", APP)
    migration.operations = [AddIndexConcurrently("event", index()), RemoveIndexConcurrently("event", EXISTING)]

    text = MigrationWriter(migration).as_string()

    assert "import tms_webhooks.db.indexes\n" in text
    assert "tms_webhooks.db.indexes.AddIndexConcurrently(" in text
    assert "tms_webhooks.db.indexes.RemoveIndexConcurrently(" in text
