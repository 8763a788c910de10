"""Whether other processes wait for the one writer of a database."""

import pytest
from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper

from tests.threads import one_writer
from tms_webhooks.db import sql

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def two_connections(tmp_path):
    """Two connections to one file."""
    wrappers = [connection.copy(), connection.copy()]
    for wrapper in wrappers:
        wrapper.settings_dict = {**wrapper.settings_dict, "NAME": str(tmp_path / "shared.sqlite3")}
    with wrappers[0].cursor() as cursor:
        cursor.execute("CREATE TABLE note (text)")
    yield wrappers
    for wrapper in wrappers:
        BaseDatabaseWrapper.close(wrapper)


def write_note(wrapper):
    with wrapper.cursor() as cursor:
        cursor.execute("INSERT INTO note VALUES ('here I was')")


@one_writer
def test_others_write_where_another_connection_has_written_of_late(two_connections, monkeypatch):
    ours, theirs = two_connections
    now = [100.0]
    monkeypatch.setattr(sql, "database", lambda: ours)
    monkeypatch.setattr(sql, "monotonic", lambda: now[0])
    assert not sql.others_write()

    write_note(ours)
    assert not sql.others_write()

    write_note(theirs)
    assert sql.others_write()
    now[0] += sql.LATELY / 2
    assert sql.others_write()
    now[0] += sql.LATELY
    assert not sql.others_write()


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one writer")
def test_where_there_is_more_than_one_writer_nobody_waits_for_it(django_assert_num_queries):
    with django_assert_num_queries(0):
        assert not sql.others_write()
