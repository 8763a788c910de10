"""While a drain holds the writer of a database that has one, it sends nothing, so that others wait only briefly."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper

from tests.integration.delivery.rows import subscribed, write_events
from tests.threads import Beside, one_writer
from tms_webhooks.db import writer
from tms_webhooks.db.writer import brief_write, with_quiet_neighbours
from tms_webhooks.worker import drain
from tms_webhooks.worker.endpoint_queues import EndpointQueues
from tms_webhooks.worker.results import PendingResults

pytestmark = pytest.mark.django_db(transaction=True)


class Noise:
    """Neighbours that note when they are to be quiet, and whether there was a transaction then."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, bool]] = []

    @contextmanager
    def quiet(self):
        self.heard.append(("quiet", connection.in_atomic_block))
        yield
        self.heard.append(("loud", connection.in_atomic_block))


@one_writer
def test_the_neighbours_are_quiet_before_the_writer_is_taken_and_until_it_is_let_go():
    noise = Noise()

    with with_quiet_neighbours(noise.quiet), brief_write():
        assert connection.in_atomic_block
        assert noise.heard == [("quiet", False)]

    assert noise.heard == [("quiet", False), ("loud", False)]


@one_writer
def test_they_are_loud_again_after_a_write_that_failed():
    priorities = EndpointQueues()

    with pytest.raises(ZeroDivisionError), with_quiet_neighbours(priorities.quiet), brief_write():
        1 / 0  # noqa: B018 (it is to fail)

    assert priorities._quiet is False


@one_writer
def test_who_writes_in_another_thread_disturbs_nobody_here():
    noise = Noise()

    def write() -> None:
        with brief_write():
            pass

    with with_quiet_neighbours(noise.quiet):
        Beside(write).finish()

    assert noise.heard == []


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


def write_note(wrapper: BaseDatabaseWrapper) -> None:
    with wrapper.cursor() as cursor:
        cursor.execute("INSERT INTO note VALUES ('here I was')")


@one_writer
def test_others_write_where_another_connection_has_written_of_late(two_connections, monkeypatch):
    ours, theirs = two_connections
    now = [100.0]
    monkeypatch.setattr(writer, "database", lambda: ours)
    monkeypatch.setattr(writer, "monotonic", lambda: now[0])
    assert not writer.others_write()

    write_note(ours)
    assert not writer.others_write()

    write_note(theirs)
    assert writer.others_write()
    now[0] += writer.LATELY / 2
    assert writer.others_write()
    now[0] += writer.LATELY
    assert not writer.others_write()


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one writer")
def test_where_there_is_more_than_one_writer_nobody_waits_for_it(django_assert_num_queries):
    with django_assert_num_queries(0):
        assert not writer.others_write()


def test_while_others_write_a_drain_claims_and_writes_a_little_at_a_time(settings, monkeypatch, run):
    settings.TMS_WEBHOOKS = {**settings.TMS_WEBHOOKS, "CLAIM_BATCH": 20}
    monkeypatch.setattr(drain, "others_write", lambda: True)
    monkeypatch.setattr(drain, "CLAIMED_WHILE_OTHERS_WRITE", 7)
    monkeypatch.setattr(drain, "RESULTS_WHILE_OTHERS_WRITE", 3)
    claimed, written, claim, write = [], [], drain.claim, PendingResults.write

    def noted_claim(**asked):
        found = claim(**asked)
        claimed.append(len(found.requests))
        return found

    def noted_write(pending):
        written.append(len(pending))
        return write(pending)

    monkeypatch.setattr(drain, "claim", noted_claim)
    monkeypatch.setattr(PendingResults, "write", noted_write)
    write_events(subscribed(max_in_flight=32).organization, 50)

    run()

    assert sum(claimed) == sum(written) == 50
    assert max(claimed) <= 7
    assert max(written) <= 3


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one writer")
def test_where_there_is_more_than_one_writer_nobody_has_to_be_quiet():
    noise = Noise()

    with with_quiet_neighbours(noise.quiet), brief_write():
        pass

    assert noise.heard == []


@one_writer
def test_a_drain_writes_only_while_its_senders_are_quiet(monkeypatch, run):
    """Seen at the statements themselves, whoever makes them."""
    webhook = subscribed(max_in_flight=4)
    write_events(webhook.organization, 40)
    held: list[EndpointQueues] = []
    quiet = EndpointQueues.quiet

    @contextmanager
    def watched(priorities):
        with quiet(priorities):
            held.append(priorities)
            yield
            held.pop()

    monkeypatch.setattr(EndpointQueues, "quiet", watched)
    loud = []

    def look(execute, sql, params, many, context):
        if sql.lstrip().startswith(("INSERT", "UPDATE")) and not held:
            loud.append(sql)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(look):
        tally = run()

    assert tally.delivered == 40
    # Giving back what is left, at the end, is no hurry.
    assert [sql for sql in loud if "lease" not in sql] == []
