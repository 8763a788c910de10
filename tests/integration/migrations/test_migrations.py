"""The migrations agree with the models, can be undone, and leave code of the previous release running."""

from pathlib import Path

import pytest

from django.core.management import call_command
from django.db import connection, models
from django.db.migrations.operations import (
    AddField,
    AlterField,
    DeleteModel,
    RemoveField,
    RenameField,
    RenameModel,
)

import tms_webhooks
from tests.integration.migrations.conftest import APP, FIRST
from tms_webhooks.models import Event
from tms_webhooks.models.organization import organization_dependency

DESTRUCTIVE = (DeleteModel, RemoveField, RenameField, RenameModel)
RETIRED = []
"""The removals, in their order, of tables and columns that the previous release does not use any more."""


def tables():
    return {name for name in connection.introspection.table_names() if name.startswith(f"{APP}_")}


def later_operations(loader):
    """Yield the operations of the migrations after the first: those that run while old code is still running."""
    for (app, name), migration in sorted(loader.disk_migrations.items()):
        if app == APP and name != FIRST:
            yield from migration.operations


def breaking(operations):
    """Return the operations after which code of the previous release can't read or write a table."""
    return [one.describe() for one in operations if isinstance(one, DESTRUCTIVE) or _needs_a_value(one)]


def _needs_a_value(operation):
    if not isinstance(operation, AddField):
        return False
    field = operation.field
    return not (field.null or field.has_db_default() or field.many_to_many)


def test_the_migrations_agree_with_the_models():
    call_command("makemigrations", APP, check=True, dry_run=True, verbosity=0)


@pytest.mark.slow
def test_all_tables_go_and_come_back(migrate):
    before = tables()
    assert Event._meta.db_table in before

    migrate(None)
    assert tables() == set()

    migrate(FIRST)
    assert tables() == before


def test_code_of_the_previous_release_runs_on_the_newest_schema(loader):
    assert breaking(later_operations(loader)) == RETIRED


def test_what_old_code_could_not_do_any_more_is_found():
    fine = [AddField("event", "note", models.TextField(db_default="")), AlterField("event", "body", models.TextField())]
    needy = AddField("event", "note", models.TextField(default=""))
    removed = [RemoveField("event", "body"), RenameField("event", "body", "text"), DeleteModel("Job")]

    assert breaking([*fine, needy, *removed]) == [operation.describe() for operation in (needy, *removed)]


def test_no_migration_depends_on_a_host_but_for_its_organization_model(loader):
    migrations = [migration for (app, _name), migration in loader.disk_migrations.items() if app == APP]
    hosts = [dependency for migration in migrations for dependency in migration.dependencies if dependency[0] != APP]

    assert hosts == [organization_dependency()]


def test_no_migration_names_a_model_of_a_host():
    files = sorted((Path(tms_webhooks.__file__).parent / "migrations").glob("0*.py"))

    assert [path.stem for path in files][0] == FIRST
    assert [path.name for path in files if "training." in path.read_text()] == []
