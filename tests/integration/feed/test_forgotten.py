"""What is no longer kept: a payload leaves its event in the feed, an event leaves a cursor that says so."""

from datetime import timedelta

import pytest

from tests.factories import WebhookFactory
from tests.integration.feed.rows import keys, loop, page
from tests.integration.prune.rows import DAY, NOW, delivery, event
from tms_webhooks.exceptions import CursorError
from tms_webhooks.models import FeedEnds
from tms_webhooks.outbox.prune import prune


def test_an_event_whose_payload_was_pruned_stays_at_its_place():
    webhook = WebhookFactory.create()
    made = [event(webhook, age) for age in (40 * DAY, 2 * DAY)]
    before, _cursor = loop(webhook.organization)

    prune(NOW)

    found = page(webhook.organization)
    assert keys(found.events) == before == keys(made)
    assert [one.body for one in found.events] == ["", '{"id":"evt_1"}']


def test_deleting_events_is_noted_before_they_go():
    webhook = WebhookFactory.create()
    delivery(webhook, 100 * DAY)
    delivery(webhook, 95 * DAY)
    kept = delivery(webhook, 2 * DAY)
    early, late = page(webhook.organization, limit=1).cursor, page(webhook.organization, limit=2).cursor

    prune(NOW)

    assert (FeedEnds.objects.get().forgotten, FeedEnds.objects.get().published) == (2, 3)
    assert loop(webhook.organization)[0] == [kept.event_id]
    assert loop(webhook.organization, after=late)[0] == [kept.event_id]
    with pytest.raises(CursorError) as error:
        page(webhook.organization, after=early)
    assert error.value.code == "expired"


def test_an_event_that_was_never_published_is_forgotten_without_a_mark():
    event(WebhookFactory.create(), 100 * DAY)

    prune(NOW + timedelta(seconds=1))

    assert not FeedEnds.objects.exists()
