"""The migrations of this app, and a way back and forth between them."""

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader

APP = "tms_webhooks"
FIRST = "0001_initial"


@pytest.fixture(scope="module")
def loader():
    return MigrationLoader(None)


@pytest.fixture
def migrate(transactional_db):
    """Migrate the app to a migration, or to None; the newest schema is restored at the end."""

    def migrate(name):
        MigrationExecutor(connection).migrate([(APP, name)])

    ((_app, newest),) = (node for node in MigrationExecutor(connection).loader.graph.leaf_nodes() if node[0] == APP)
    yield migrate
    migrate(newest)
