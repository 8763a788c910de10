"""Much waits for a webhook that is paused: the other one's events go out meanwhile, and what waits when it is up again."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from tests.scenarios.outcome import assert_all_delivered_once, fill, wait_until_all
from tests.scenarios.processes import stop
from tms_webhooks.models import WebhookState
from tms_webhooks.worker.statements import RECENT_LIMIT

pytestmark = pytest.mark.django_db(transaction=True)

# More than a drain looks at in vain with each event.
MANY = RECENT_LIMIT + 6


def test_what_waits_holds_up_nobody_and_goes_out_once_its_webhook_is_awake(receiver, processes, tables):
    fill(processes, receiver, MANY)
    down = WebhookState.objects.using(tables.using).filter(webhook__url__endswith="/second")
    assert down.update(paused_until=timezone.now() + timedelta(hours=1), failures=4, pauses=1) == 1

    with processes.drain() as drain:
        tables.wait_for({"delivered": MANY, "pending": MANY})
        for more in (1, 2):
            tables.add_events(1)
            tables.wait_for({"delivered": MANY + more, "pending": MANY + more})

        down.update(paused_until=None, failures=0, pauses=0)

        wait_until_all(receiver, 2 * (MANY + 2))
        stop(drain)
    assert_all_delivered_once(tables.outcome(), events=MANY + 2)
