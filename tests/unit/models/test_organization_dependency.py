"""The first migration depends on the one that creates the host's organization model, whichever that is."""

import sys
import uuid

import pytest

from tms_webhooks.models.organization import organization_dependency

MIGRATION = """
from django.db import migrations

class Migration(migrations.Migration):
    dependencies = {dependencies}
    replaces = {replaces}
    operations = [{operations}]
"""
ORGANIZATION = "migrations.CreateModel('Organization', [])"


@pytest.fixture
def host(tmp_path, settings, monkeypatch):
    """Give the app of the organization model these migrations, by name, instead of its own."""
    package = f"migrations_{uuid.uuid4().hex}"

    def host(**migrations):
        folder = tmp_path / package
        folder.mkdir()
        (folder / "__init__.py").touch()
        for name, text in migrations.items():
            (folder / f"{name.removeprefix('m')}.py").write_text(text)

    monkeypatch.syspath_prepend(str(tmp_path))
    settings.MIGRATION_MODULES = {"training": package}
    yield host
    for name in [name for name in sys.modules if name.startswith(package)]:
        del sys.modules[name]


def migration(*operations, needs=(), replaces=()):
    return MIGRATION.format(
        operations=", ".join(operations), dependencies=list(needs), replaces=[("training", name) for name in replaces]
    )


def test_the_migration_that_creates_the_model_is_found():
    assert organization_dependency() == ("training", "0001_initial")


def test_the_migration_that_gave_the_model_its_name_is_found(host):
    host(
        m0001_initial=migration("migrations.CreateModel('Company', [])"),
        m0002_rename=migration("migrations.RenameModel('Company', 'Organization')"),
    )

    assert organization_dependency() == ("training", "0002_rename")


def test_operations_on_the_state_alone_are_read(host):
    host(
        m0001_initial=migration(
            "migrations.SeparateDatabaseAndState(state_operations=[migrations.CreateModel('Organization', [])])"
        ),
        m0002_other=migration(
            "migrations.SeparateDatabaseAndState(database_operations=[migrations.CreateModel('Organization', [])])"
        ),
    )

    assert organization_dependency() == ("training", "0001_initial")


def test_a_squashed_migration_is_named_rather_than_the_squashing_one(host):
    # Of the two, only the first is always applied where this app was installed before.
    host(
        m0001_initial=migration(ORGANIZATION),
        m0001_squashed_0002_more=migration(ORGANIZATION, replaces=("0001_initial", "0002_more")),
        m0002_more=migration(),
    )

    assert organization_dependency() == ("training", "0001_initial")


def test_the_squashing_migration_is_named_if_it_alone_is_left(host):
    host(m0001_squashed_0002_more=migration(ORGANIZATION, replaces=("0001_initial", "0002_more")))

    assert organization_dependency() == ("training", "0001_squashed_0002_more")


@pytest.mark.parametrize("modules", [None, "tests.nowhere"])
def test_an_app_without_migrations_is_left_to_django(settings, modules):
    settings.MIGRATION_MODULES = {"training": modules}

    assert organization_dependency() == ("training", "__first__")


def test_an_app_that_is_not_installed_is_left_to_the_checks(settings):
    settings.TMS_WEBHOOKS_ORGANIZATION_MODEL = "nowhere.Organization"

    assert organization_dependency() == ("nowhere", "__first__")
