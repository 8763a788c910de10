"""Several workers at the same moment keep within each webhook's concurrency, and send nothing twice."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.integration.delivery.wire import Wire
from tests.integration.delivery.worker import Worker
from tests.threads import at_once, several

pytestmark = [pytest.mark.django_db(transaction=True), several]


def test_workers_at_the_same_moment_never_fill_a_share_twice(backlog, clock):
    webhooks = [backlog(40, max_in_flight=2) for _ in range(5)]
    workers = [Worker(name, clock=clock, wire=Wire()) for name in ("alice", "bob", "charlie", "dora")]
    for _ in range(5):
        taken = []
        errors = at_once(*[lambda one=one, taken=taken: taken.extend(one.claim()) for one in workers])

        assert errors == []
        ids = [request.delivery_id for request in taken]
        shares = Counter(request.webhook_id for request in taken)
        assert len(set(ids)) == len(ids)
        assert max(shares.values()) <= 2
        assert set(shares) == {webhook.pk for webhook in webhooks}
        for one in workers:
            one.leases.give_back(dict.fromkeys(one.leases.held))
        workers = [Worker(one.token + "'", clock=clock, wire=Wire()) for one in workers]
