"""A cluster whose database connections come from psycopg's pool, which is opened before the cluster forks."""

import json

import pytest
from django.db import connection

from tests.patience import PATIENCE
from tests.scenarios.clusters import with_queue
from tests.scenarios.logged import logged
from tests.scenarios.outcome import assert_all_delivered_once, came, fill, wait_until_all
from tests.scenarios.queues import QUEUE

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(connection.vendor != "postgresql", reason="only PostgreSQL's driver has a pool"),
]

EVENTS = 150
# Django refuses persistent connections together with a pool.
POOLED = {
    "TMS_SCENARIO_DATABASE": json.dumps({"CONN_MAX_AGE": 0}),
    "TMS_SCENARIO_OPTIONS": json.dumps({"pool": {"min_size": 2, "max_size": 4}}),
}


def test_a_cluster_with_a_pool_delivers_everything_once(receiver, processes, tables, tmp_path):
    pytest.importorskip("psycopg_pool")
    clustered = with_queue(processes, tables).but(environment=POOLED)
    fill(clustered, receiver, EVENTS)

    with logged(clustered, tmp_path / "cluster.log", *QUEUE.command) as cluster:
        wait_until_all(receiver, 2 * EVENTS, seconds=PATIENCE)
        tables.wait_for({"delivered": 2 * EVENTS})
        tables.add_events(1)
        tables.wait_for({"delivered": 2 * EVENTS + 2})
        cluster.assert_alive()

    assert set(came(receiver).values()) == {1}
    assert_all_delivered_once(tables.outcome(), events=EVENTS + 1)
    assert "Traceback" not in cluster.log.read_text()
