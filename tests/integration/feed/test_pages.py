"""One loop over the pages of the feed finds every event of an organization once, and nobody else's."""

import pytest
from django.utils import timezone

from example_project.training.factories import OrganizationFactory
from tests.factories import WebhookFactory
from tests.integration.feed.rows import keys, loop, page, write
from tms_webhooks.models import Event
from tms_webhooks.outbox import feed


@pytest.fixture
def acme():
    return OrganizationFactory.create()


def test_every_event_comes_once_whatever_the_size_of_a_page(acme):
    written = keys(write(acme, 7))

    assert loop(acme, limit=100)[0] == written
    assert loop(acme, limit=1)[0] == written
    assert loop(acme, limit=3)[0] == written
    assert loop(acme, limit=7)[0] == written


def test_events_that_were_made_for_one_subscription_are_left_out(acme):
    (window,) = WebhookFactory(organization=acme, events=["course_assignment.expiring"]).subscriptions.all()
    shown, hidden = write(acme, 1), write(acme, 1, "course_assignment.expiring")
    Event.objects.filter(pk__in=keys(hidden)).update(subscription=window)

    assert loop(acme)[0] == keys(shown)


def test_several_organizations_are_read_in_one_order(acme):
    other = OrganizationFactory.create()
    written = keys([*write(acme), *write(other), *write(acme)])

    assert loop(acme, other, limit=2)[0] == written


def test_who_may_see_no_organization_gets_an_empty_feed(acme):
    write(acme)

    found = page()

    assert (found.events, found.has_more) == ([], False)
    assert page(after=found.cursor).events == []


def test_the_last_cursor_reads_on_at_what_came_since(acme):
    write(acme, 3)
    _seen, cursor = loop(acme)
    assert page(acme, after=cursor).events == []

    new = write(acme, 2)

    assert loop(acme, after=cursor)[0] == keys(new)
    assert loop(acme, after=cursor)[0] == keys(new)  # a cursor is a place: it can be read from again


def test_the_latest_cursor_begins_with_what_comes(acme):
    write(acme, 2)
    found = page(acme, after=feed.LATEST)
    assert (found.events, found.has_more) == ([], False)

    new = write(acme)

    assert loop(acme, after=found.cursor)[0] == keys(new)


def test_a_page_may_have_the_events_of_some_types_only(acme):
    names = ("class.cancelled", "class.completed", "user.updated")
    written = [write(acme, 1, "class.cancelled")[0] for _ in names]
    for event, name in zip(written, names, strict=True):
        Event.objects.filter(pk=event.pk).update(type=name)

    assert loop(acme, types=names[1:])[0] == keys(written[1:])
    assert loop(acme, types=())[0] == keys(written)


def test_an_event_whose_payload_could_not_be_built_is_in_the_feed(acme):
    (event,) = write(acme)
    Event.objects.filter(pk=event.pk).update(body="", error="no name")

    assert [(found.pk, found.body) for found in page(acme).events] == [(event.pk, "")]


def test_a_page_costs_as_many_queries_as_a_small_one(acme, django_assert_num_queries):
    write(acme, 40)
    page(acme)

    for limit in (1, 40):
        # The organizations, whether something is new, the ends, which events: their own and their learners', the events.
        with django_assert_num_queries(6):
            page(acme, limit=limit)


def test_a_hundred_organizations_and_more_are_read_as_well(acme, monkeypatch):
    monkeypatch.setattr(feed, "MOST_LISTED", 1)
    other, third = OrganizationFactory.create_batch(2)
    written = keys([*write(acme), *write(other)])
    write(third)

    seen, cursor = loop(acme, other, limit=1)

    assert seen == written
    assert page(other, acme, after=cursor).events == []


def test_an_event_that_no_worker_takes_is_published_after_a_while(acme):
    """The feed does not depend on workers; but new events are theirs."""
    (event,) = write(acme)
    Event.objects.update(fanned_out_at=None, sequence=None, occurred_at=timezone.now())

    assert page(acme, now=timezone.now()).events == []
    assert keys(page(acme, now=timezone.now() + 2 * feed.FAN_OUT_TIME).events) == [event.pk]
