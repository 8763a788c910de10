"""The feed of one webhook: the events that it would get, in order, each as it would be sent."""

import pytest

from example_project.training.factories import OrganizationFactory
from tests.factories import WebhookFactory
from tests.integration.delivery.rows import new_event, write_event
from tests.integration.feed.rows import NOW, keys, page, write
from tms_webhooks.choices import Audience
from tms_webhooks.models import Delivery, FirstOccurrence, Subscription, Webhook
from tms_webhooks.outbox import feed
from tms_webhooks.outbox.fanout import fan_out


@pytest.fixture
def webhook():
    return pull_only()


def pull_only(*events, **values):
    return WebhookFactory(url="", pull_only=True, events=events or ("class.*",), **values)


def read_all(webhook, *, after="", limit=100):
    """Read on until there are no more; return the events' keys."""
    found = []
    while True:
        one = feed.read_webhook(webhook, now=NOW, after=after, limit=limit)
        found += keys(one.events)
        after = one.cursor
        if not one.has_more:
            return found


# What is kept for it


def test_its_events_have_no_deliveries(webhook):
    other = WebhookFactory(organization=webhook.organization, events=["class.*"])
    write_event(webhook.organization)
    fan_out(NOW)

    assert list(Delivery.objects.values_list("webhook", flat=True)) == [other.pk]


def test_filters_and_conditions_apply(webhook):
    webhook.subscriptions.update(condition={"data.max_students": 7})
    bodies = (f'{{"type":"class.cancelled","data":{{"max_students":{number}}}}}' for number in (6, 7))
    events = [new_event(webhook.organization, body=body) for body in bodies]
    for event in events:
        event.fanned_out_at = NOW
        event.save()

    assert read_all(webhook) == keys(events[1:])


@pytest.mark.parametrize(
    "audience, expected",
    [
        (Audience.OWNER, {"own", "home"}),
        (Audience.LEARNER, {"home", "elsewhere"}),
        (Audience.BOTH, {"own", "home", "elsewhere"}),
    ],
)
def test_the_audience_decides_about_the_events_of_learners(audience, expected):
    webhook = pull_only(audience=audience)
    ours, other = webhook.organization, OrganizationFactory()
    events = {
        "own": (ours, None),
        "home": (ours, ours),
        "elsewhere": (other, ours),
        "foreign": (other, other),
        "guest": (ours, other),
    }
    written = {}
    for name, (owner, learner) in events.items():
        event = new_event(owner)
        event.learner_organization, event.fanned_out_at = learner, NOW
        event.save()
        written[event.pk] = name
    if audience != Audience.LEARNER:
        expected = expected | {"guest"}

    assert {written[key] for key in read_all(webhook)} == expected


def test_child_organizations_are_included_if_the_webhook_says_so():
    webhook = pull_only(include_children=True)
    child = OrganizationFactory(parent=OrganizationFactory(parent=webhook.organization))
    (event,) = write(child)

    assert read_all(webhook) == [event.pk]
    child.parent.parent = None
    child.parent.save()
    assert read_all(webhook) == []


def test_an_event_that_was_made_for_one_subscription_is_in_that_feed_alone(webhook):
    other = pull_only("class.*", organization=webhook.organization)
    event = write_event(webhook.organization, subscription=webhook.subscriptions.get())
    fan_out(NOW)

    assert (read_all(webhook), read_all(other)) == ([event.pk], [])


def test_it_has_no_events_about_itself():
    webhook = pull_only("webhook.*")
    about = [new_event(webhook.organization, "webhook.disabled", body="{}") for _ in range(2)]
    about[0].subject_id = webhook.public_id
    about[1].subject_id = pull_only("webhook.*").public_id
    for event in about:
        event.fanned_out_at = NOW
        event.save()

    assert read_all(webhook) == keys(about[1:])


# Pages


def test_a_page_that_is_full_ends_in_the_middle_of_what_was_examined(webhook):
    write(webhook.organization, 2, "user.updated")
    events = write(webhook.organization, 5)

    assert read_all(webhook, limit=4) == keys(events)


def test_a_page_examines_a_limited_number_of_events(webhook, monkeypatch):
    monkeypatch.setattr(feed, "EXAMINED", 6)
    write(webhook.organization, 13, "user.updated")
    (event,) = write(webhook.organization)

    first = feed.read_webhook(webhook, now=NOW, limit=3)
    second = feed.read_webhook(webhook, now=NOW, after=first.cursor, limit=3)
    third = feed.read_webhook(webhook, now=NOW, after=second.cursor, limit=3)

    assert [(keys(one.events), one.has_more) for one in (first, second, third)] == [
        ([], True),
        ([], True),
        ([event.pk], False),
    ]


def test_a_page_takes_as_many_queries_for_many_events_as_for_few(webhook, django_assert_num_queries):
    write(webhook.organization, 50)
    feed.read_webhook(webhook, now=NOW)

    for limit in (10, 50):
        with django_assert_num_queries(11):
            feed.read_webhook(webhook, now=NOW, limit=limit)


def test_it_takes_the_cursors_of_the_feed_and_gives_such(webhook):
    write(webhook.organization)
    general = page(webhook.organization).cursor
    (event,) = write(webhook.organization)

    assert read_all(webhook, after=general) == [event.pk]
    own = feed.read_webhook(webhook, now=NOW).cursor
    assert page(webhook.organization, after=own).events == []
    assert read_all(webhook, after="latest") == []


# First occurrences


def of_one_object(webhook, number):
    events = [new_event(webhook.organization) for _ in range(number)]
    for sequence, event in enumerate(events, start=1):
        event.subject_id, event.sequence = "7", sequence
        event.save()
    return events


def test_the_first_occurrence_is_the_first_that_the_feed_shows(webhook):
    webhook.subscriptions.update(filters={"first_occurrence": True})
    events = of_one_object(webhook, 3)
    fan_out(NOW)

    assert read_all(webhook) == keys(events[:1])
    assert read_all(webhook, limit=1) == keys(events[:1]), "it is the same when it is read again"


def test_a_webhook_with_a_url_shows_the_first_occurrences_that_were_sent(webhook):
    Webhook.objects.update(pull_only=False, url="https://receiver.example.com/hook")
    webhook.refresh_from_db()
    before = of_one_object(webhook, 1)
    fan_out(NOW)
    Delivery.objects.all().delete()
    Subscription.objects.update(filters={"first_occurrence": True})
    events = of_one_object_after(webhook)
    fan_out(NOW)

    assert read_all(webhook) == keys(events[:1])
    assert list(Delivery.objects.values_list("event", flat=True)) == keys(events[:1])
    assert not FirstOccurrence.objects.filter(event_id=before[0].pk).exists()


def of_one_object_after(webhook):
    events = [new_event(webhook.organization) for _ in range(2)]
    for sequence, event in enumerate(events, start=2):
        event.subject_id, event.sequence = "7", sequence
        event.save()
    return events


# Any webhook


def test_a_webhook_with_a_url_has_a_feed_as_well():
    webhook = WebhookFactory(events=["class.*"])
    (event,) = write(webhook.organization)

    assert read_all(webhook) == [event.pk]
